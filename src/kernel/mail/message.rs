//! The parsed parts of a mail. Pure.
//!
//! A header ends at a line break, and so does a command of SMTP. The types here cannot hold one, nor any other control
//! character, so that no value that a user chose can start a header, a body or a command of its own.

use std::fmt;
use std::str::FromStr;

use url::Host;

/// A mail to one recipient. The sender is a matter of the [`Mailer`](super::Mailer).
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// Whom it is for.
    pub to: Address,
    /// The subject line.
    pub subject: HeaderText,
    /// The plain text, which every mail has.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
}

/// Subjects and bodies carry codes and links that log in: they stay out of logs.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("to", &self.to).finish_non_exhaustive()
    }
}

/// A mail address: a local part as it was given, and a domain in its ASCII form (RFC 5890), lower case.
///
/// Narrower than RFC 5321 where mail programs disagree: no quoted local part, no comment, no address literal as domain.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(lettre::Address);

/// Why a text is no [`Address`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No `@`, or nothing on one side of it.
    #[error("a mail address has the form name@domain")]
    Form,
    /// More than 64 bytes before the `@`, or 254 in all (RFC 5321 section 4.5.3.1).
    #[error("the mail address is too long")]
    Length,
    /// A local part with characters that it may not have, or a quoted one.
    #[error("the part before the @ has characters that are not allowed")]
    LocalPart,
    /// Not a name of the domain name system.
    #[error("the part after the @ is no domain name")]
    Domain,
}

impl Address {
    /// The longest address that SMTP carries, in bytes.
    const LONGEST: usize = 254;
    /// The longest local part, in bytes.
    const LONGEST_LOCAL_PART: usize = 64;

    /// The domain, in ASCII.
    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    /// The address as the SMTP library takes it.
    pub(super) fn for_envelope(&self) -> lettre::Address {
        self.0.clone()
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (local_part, domain) = text.rsplit_once('@').ok_or(AddressError::Form)?;
        if local_part.is_empty() || domain.is_empty() {
            return Err(AddressError::Form);
        }
        let is_allowed = |c: char| !c.is_control() && !c.is_whitespace() && c != '"';
        if !local_part.chars().all(is_allowed) {
            return Err(AddressError::LocalPart);
        }
        // The parser of hosts undoes percent encoding, which an address does not have.
        let domain = match Host::parse(domain) {
            Ok(Host::Domain(ascii)) if !domain.contains('%') && !ascii.ends_with('.') => ascii,
            _ => return Err(AddressError::Domain),
        };
        if local_part.len() > Self::LONGEST_LOCAL_PART || local_part.len() + 1 + domain.len() > Self::LONGEST
        {
            return Err(AddressError::Length);
        }
        lettre::Address::new(local_part, &domain).map(Self).map_err(|error| match error {
            lettre::address::AddressError::InvalidDomain => AddressError::Domain,
            _ => AddressError::LocalPart,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.as_str())
    }
}

/// Text that fits in one header: no control character, nothing that breaks or reorders a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderText(String);

/// Why a text is no [`HeaderText`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("text for a header of a mail has no line breaks and no other control characters")]
pub struct HeaderTextError;

impl HeaderText {
    /// Longer subjects are cut: mail programs show a fraction of it.
    const LONGEST: usize = 250;

    /// Makes text fit: each run of unfit characters and white space becomes one space, and what is too long is cut.
    ///
    /// For text that contains what a user chose, where a refusal would mean that the user gets no mail.
    pub fn fitted(text: &str) -> Self {
        let spaced = text.chars().map(|c| if is_unfit(c) { ' ' } else { c }).collect::<String>();
        let words = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
        Self(words.chars().take(Self::LONGEST).collect())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderText {
    type Err = HeaderTextError;

    /// Takes the text as it is or not at all.
    fn from_str(text: &str) -> Result<Self, HeaderTextError> {
        if text.chars().any(is_unfit) { Err(HeaderTextError) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Display for HeaderText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Control characters, the line and paragraph separators, and the marks that turn the direction of text around: a subject
/// that uses them shows something else than it says.
fn is_unfit(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_kept_as_given_with_its_domain_in_ascii() {
        for (given, kept) in [
            ("ada@example.com", "ada@example.com"),
            ("Ada.L+list@Example.COM", "Ada.L+list@example.com"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("jürgen@example.com", "jürgen@example.com"),
        ] {
            assert_eq!(given.parse::<Address>().map(|address| address.to_string()), Ok(kept.to_owned()));
        }
    }

    #[test]
    fn texts_that_are_no_address_are_refused() {
        for (text, error) in [
            ("", AddressError::Form),
            ("ada", AddressError::Form),
            ("@example.com", AddressError::Form),
            ("ada@", AddressError::Form),
            ("ada lovelace@example.com", AddressError::LocalPart),
            ("\"ada\"@example.com", AddressError::LocalPart),
            ("ada\r\nRCPT TO:<eve@example.com>@example.com", AddressError::LocalPart),
            ("ada>@example.com", AddressError::LocalPart),
            ("eve@example.org,ada@example.com", AddressError::LocalPart),
            ("ada@example.com\r\nX-Evil: 1", AddressError::Domain),
            ("ada@exam%70le.com", AddressError::Domain),
            ("ada@example.com>", AddressError::Domain),
            ("ada@127.0.0.1", AddressError::Domain),
            ("ada@[127.0.0.1]", AddressError::Domain),
            ("ada@example.com.", AddressError::Domain),
        ] {
            assert_eq!(text.parse::<Address>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_longest_address_has_254_bytes_and_64_before_the_at() {
        let with = |local: usize, domain: usize| {
            let labels = "abcdefghi.".repeat(domain);
            format!("{}@{}com", "a".repeat(local), &labels[labels.len() + 3 - domain..])
        };
        assert!(with(64, 189).parse::<Address>().is_ok());
        assert_eq!(with(65, 100).parse::<Address>(), Err(AddressError::Length));
        assert_eq!(with(64, 190).parse::<Address>(), Err(AddressError::Length));
    }

    #[test]
    fn text_for_a_header_is_refused_or_made_to_fit() {
        let hostile = "Hello\r\nBcc: eve@example.org\u{202e}\u{0}!";

        assert_eq!(hostile.parse::<HeaderText>(), Err(HeaderTextError));
        assert_eq!(HeaderText::fitted(hostile).as_str(), "Hello Bcc: eve@example.org !");
        assert_eq!("Grüße".parse::<HeaderText>().map(|text| text.to_string()), Ok("Grüße".to_owned()));
        assert_eq!(HeaderText::fitted(&"ä".repeat(1000)).as_str().chars().count(), 250);
    }

    proptest! {
        #[test]
        fn b18_no_text_at_all_brings_a_line_break_into_a_mail(text in any::<String>()) {
            prop_assert!(!HeaderText::fitted(&text).as_str().contains(is_unfit));
            if let Ok(address) = text.parse::<Address>() {
                prop_assert!(!address.as_str().contains(|c: char| c.is_control() || c.is_whitespace()));
            }
        }
    }
}
