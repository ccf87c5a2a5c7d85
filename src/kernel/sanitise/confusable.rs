//! Look-alikes: words of mixed scripts, letters that pretend to be ASCII (Unicode TS 39).

use unicode_normalization::UnicodeNormalization as _;
use unicode_security::mixed_script::AugmentedScriptSet;

use super::class::{Class, Findings};

/// The shape of a text: two texts that look alike have one skeleton (TS 39, section 4). For warnings
/// only: what looks alike is not the same.
pub fn skeleton(text: &str) -> String {
    unicode_security::skeleton(text).collect()
}

/// Mixed scripts within a word, and letters that are ASCII in disguise.
pub(super) fn check_words(text: &str) -> Findings {
    let mut findings = Findings::default();
    if text.is_ascii() {
        return findings;
    }
    if text.split(|c: char| !is_letter(c)).any(is_mixed) {
        findings.insert(Class::MixedScript);
    }
    if text.chars().any(is_styled_letter) {
        findings.insert(Class::Homoglyph);
    }
    findings
}

/// Whether an identifier of one word, all of it in another script, reads like ASCII.
pub(super) fn reads_like_ascii(text: &str) -> bool {
    !text.is_ascii() && unicode_security::skeleton(text).all(|c| c.is_ascii())
}

/// The letter of ASCII that a letter looks like; itself where there is none.
pub(super) fn as_ascii(letter: char) -> char {
    if letter.is_ascii() {
        return letter;
    }
    let mut shape =
        unicode_security::skeleton(letter.encode_utf8(&mut [0; 4])).collect::<Vec<_>>().into_iter();
    match (shape.next(), shape.next()) {
        (Some(only), None) if only.is_ascii_alphanumeric() => only.to_ascii_lowercase(),
        _ => letter,
    }
}

/// Whether the letters of a word come from scripts that no language mixes. Japanese, Chinese and Korean words may hold
/// Latin letters (TS 39, "highly restrictive").
pub(super) fn is_mixed(word: &str) -> bool {
    if word.is_ascii() || !AugmentedScriptSet::for_str(word).is_empty() {
        return false;
    }
    let others = word.chars().filter(|c| !c.is_ascii());
    let set = others.map(AugmentedScriptSet::from).fold(AugmentedScriptSet::default(), |mut all, one| {
        all.intersect_with(one);
        all
    });
    !(set.hanb || set.jpan || set.kore)
}

/// Letters and the marks that belong to them.
fn is_letter(character: char) -> bool {
    character.is_alphanumeric() || unicode_normalization::char::is_combining_mark(character)
}

/// Letters of other shapes that compatibility folds to one of ASCII: full width, enclosed, mathematical. Neither the ordinals
/// of Spanish and Portuguese (`Mª`) nor signs that fold to words (`№`).
pub(super) fn is_styled_letter(character: char) -> bool {
    let may_be = matches!(
        character,
        '\u{ff01}'..='\u{ff5e}' | '\u{1d400}'..='\u{1d7ff}' | '\u{24b6}'..='\u{24e9}' | '\u{2100}'..='\u{214f}'
            | '\u{1f130}'..='\u{1f189}' | '\u{1fbf0}'..='\u{1fbf9}'
    );
    may_be && {
        let mut folded = std::iter::once(character).nfkc();
        folded.next().is_some_and(|c| c.is_ascii_alphanumeric()) && folded.next().is_none()
    }
}
