//! Mail addresses: `local@domain` in lower case ASCII, the domain as IDNA writes it (`xn--...`).
//!
//! The canonical form is the identity of an account, so it is exact: no display name, no comment, no quoted local part,
//! no address literal, no second spelling. Nothing invisible is cleaned away: an address that needs it is refused, since
//! cleaning would turn it into somebody else's. Dots and `+tags` stay: they are the business of the receiving server.
//! An address of ASCII in canonical form is recognised in one pass and borrowed.

use std::borrow::Cow;

use super::characters::unfit_in_line;
use super::class::{Class, Findings};
use super::{Checked, confusable, pattern, text};

/// The longest address, local part and label in bytes (RFC 5321 section 4.5.3.1, RFC 1035 section 2.3.4).
const LONGEST: usize = 254;
const LONGEST_LOCAL: usize = 64;
const LONGEST_LABEL: usize = 63;
/// The bytes that an input may have to be looked at: IDNA shortens some domains.
const MEASURED: usize = 4 * LONGEST;

/// The shape of an address in its canonical form, the domain as people read it: equal for two addresses that look alike.
/// By it a new address is found to imitate one of an existing user.
pub fn address_skeleton(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => {
            confusable::skeleton(&format!("{local}@{}", idna::domain_to_unicode(domain).0))
        }
        None => confusable::skeleton(address),
    }
}

/// The address of plain ASCII that an address in its canonical form reads like, if its domain has letters that pretend to be
/// such. Of local parts there is none: they are ASCII.
pub fn imitated_address(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    if !domain.contains("xn--") {
        return None;
    }
    let domain: String = idna::domain_to_unicode(domain).0.chars().map(confusable::as_ascii).collect();
    (is_host(&domain)).then(|| format!("{local}@{domain}"))
}

pub(super) fn check(input: &str) -> Checked<'_> {
    if is_canonical(input.as_bytes()) {
        return Checked { value: Cow::Borrowed(input), findings: Findings::default() };
    }
    if input.len() > MEASURED {
        return text::too_long(input);
    }
    let trimmed = input.trim_matches(' ');
    let mut findings = unfit_in_line(trimmed);
    if let Some(value) = canonical(trimmed, &mut findings) {
        if has_pattern_characters(&value) {
            findings.extend(pattern::scan(&value));
        }
        return Checked { value, findings };
    }
    findings.extend(pattern::scan(trimmed));
    Checked::refused(input, findings)
}

/// The one-pass check: every byte is allowed where it stands, no pattern is possible, and IDNA has nothing to do.
fn is_canonical(bytes: &[u8]) -> bool {
    if bytes.len() > LONGEST {
        return false;
    }
    let Some(at) = memchr::memchr(b'@', bytes) else { return false };
    let (local, domain) = (&bytes[..at], &bytes[at + 1..]);
    let plain = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'+');
    local.iter().all(plain) && is_local(local) && !has_double_dash(local) && is_plain_domain(domain)
}

fn has_double_dash(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"--")
}

/// A dot-atom of RFC 5322 in lower case, at most 64 bytes.
fn is_local(local: &[u8]) -> bool {
    let mut before = b'.';
    for &byte in local {
        if byte == b'.' && before == b'.' || !is_atom(byte) {
            return false;
        }
        before = byte;
    }
    before != b'.' && local.len() <= LONGEST_LOCAL
}

fn is_atom(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'+' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*'
        | b'/' | b'=' | b'?' | b'^' | b'`' | b'{' | b'|' | b'}' | b'~')
}

/// Labels of lower case letters, digits and inner hyphens; at least two; the last not a number; none that IDNA reads.
fn is_plain_domain(domain: &[u8]) -> bool {
    let mut labels = 0;
    let mut start = 0;
    for at in 0..=domain.len() {
        if at < domain.len() && domain[at] != b'.' {
            if !matches!(domain[at], b'a'..=b'z' | b'0'..=b'9' | b'-') {
                return false;
            }
            continue;
        }
        let label = &domain[start..at];
        let inner = label.first() != Some(&b'-') && label.last() != Some(&b'-');
        let encoded = label.get(2..4) == Some(b"--");
        if label.is_empty() || label.len() > LONGEST_LABEL || !inner || encoded {
            return false;
        }
        labels += 1;
        start = at + 1;
    }
    let last = domain.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    labels >= 2 && last.len() >= 2 && !last.iter().all(u8::is_ascii_digit)
}

/// The canonical form, or nothing and the reasons why there is none.
fn canonical<'a>(input: &'a str, findings: &mut Findings) -> Option<Cow<'a, str>> {
    let Some((local, domain)) = input.rsplit_once('@') else {
        findings.insert(Class::Malformed);
        if input.len() > LONGEST {
            findings.insert(Class::Length);
        }
        return None;
    };
    findings.extend(confusable::check_words(local));
    let local = local.to_ascii_lowercase();
    if !is_local(local.as_bytes()) {
        let reason = if local.len() > LONGEST_LOCAL { Class::Length } else { Class::Malformed };
        findings.insert(reason);
        if confusable::reads_like_ascii(&local) {
            findings.insert(Class::Homoglyph);
        }
    }
    let domain = canonical_domain(domain, findings);
    if !findings.iter().all(|class| matches!(class, Class::Homoglyph | Class::MixedScript)) {
        return None;
    }
    let value = format!("{local}@{}", domain?);
    if value.len() > LONGEST {
        findings.insert(Class::Length);
        return None;
    }
    Some(if value == input { Cow::Borrowed(input) } else { Cow::Owned(value) })
}

/// The domain as IDNA writes it, under the rules for host names; look-alikes of ASCII domains are reported.
fn canonical_domain(domain: &str, findings: &mut Findings) -> Option<String> {
    let ascii = idna::domain_to_ascii_strict(domain).ok().filter(|ascii| is_host(ascii));
    let Some(ascii) = ascii else {
        let too_long = domain.len() > LONGEST || domain.split('.').any(|label| label.len() > LONGEST_LABEL);
        findings.insert(if too_long { Class::Length } else { Class::Malformed });
        findings.extend(confusable::check_words(domain));
        return None;
    };
    // The labels as people read them, also when they were typed as `xn--...`.
    let (shown, _) = idna::domain_to_unicode(&ascii);
    for label in shown.split('.') {
        if confusable::reads_like_ascii(label) {
            findings.insert(Class::Homoglyph);
        }
        findings.extend(confusable::check_words(label));
    }
    // Letters that IDNA folds to ASCII (full width, mathematical) are a disguise too.
    if domain.chars().any(confusable::is_styled_letter) {
        findings.insert(Class::Homoglyph);
    }
    Some(ascii)
}

fn is_host(ascii: &str) -> bool {
    let labels: Vec<&str> = ascii.split('.').collect();
    let last = labels.last().copied().unwrap_or_default();
    let fits = |label: &&str| {
        !label.is_empty()
            && label.len() <= LONGEST_LABEL
            && label.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    labels.len() >= 2
        && labels.iter().all(fits)
        && last.len() >= 2
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether an address holds characters that a pattern needs.
fn has_pattern_characters(value: &str) -> bool {
    value.bytes().any(|byte| {
        matches!(
            byte,
            b'\'' | b'=' | b'/' | b'|' | b'{' | b'$' | b'*' | b'%' | b'`' | b'&' | b'#' | b'~' | b'!'
        )
    }) || value.contains("--")
}
