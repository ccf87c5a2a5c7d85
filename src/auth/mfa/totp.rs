//! Time-based one-time passwords as authenticator apps make them: HMAC-SHA-1, six digits, a step of 30 seconds
//! (RFC 6238, RFC 4226). Pure.

use aws_lc_rs::hmac;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use qrcode::QrCode;
use qrcode::render::svg;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::kernel::secret::Secret;

/// Bytes of a new secret (RFC 4226 section 4, R6).
pub(crate) const SECRET_LENGTH: usize = 20;

/// Seconds of a step.
const PERIOD: i64 = 30;
/// Steps before and after the present one whose codes count too, as clocks differ.
const TOLERANCE: i64 = 1;
const DIGITS: usize = 6;

/// RFC 4648 section 6, as authenticator apps read it: without padding.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What stands in an address as it is (RFC 3986 section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The secret that a user's app and we share.
pub(crate) struct TotpSecret(Zeroizing<Vec<u8>>);

impl TotpSecret {
    /// A secret from random bytes.
    pub(crate) fn generate(random: [u8; SECRET_LENGTH]) -> Self {
        Self(Zeroizing::new(random.to_vec()))
    }

    /// Reads base 32; `None` for what is none, and for secrets under 80 bits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() * 5 / 8));
        let (mut bits, mut held) = (0_u32, 0_u32);
        for character in text.trim_end_matches('=').bytes() {
            let digit = BASE32.iter().position(|known| *known == character.to_ascii_uppercase())?;
            bits = bits << 5 | u32::try_from(digit).ok()?;
            held += 5;
            if held >= 8 {
                held -= 8;
                bytes.push(bits.checked_shr(held)?.to_le_bytes()[0]);
                bits &= (1 << held) - 1;
            }
        }
        (bytes.len() >= 10).then_some(Self(bytes))
    }

    /// The secret as it is typed into an app.
    pub(crate) fn base32(&self) -> Secret {
        let digit = |chunk: &[u8], at: usize| {
            let mut block = [0; 8];
            block[3..3 + chunk.len()].copy_from_slice(chunk);
            let bits = u64::from_be_bytes(block) >> (35 - at * 5);
            char::from(BASE32[usize::from(bits.to_le_bytes()[0] & 31)])
        };
        let chunks = self.0.chunks(5);
        let text =
            chunks.flat_map(|chunk| (0..(chunk.len() * 8).div_ceil(5)).map(move |at| digit(chunk, at)));
        Secret::new(text.collect::<String>())
    }

    /// The newest step around `now` (seconds since the epoch) that has this code. Takes as long whatever the code is.
    pub(crate) fn matching_step(&self, code: &str, now: i64) -> Option<i64> {
        let code: String = code.chars().filter(|character| !character.is_whitespace()).collect();
        let step = now.div_euclid(PERIOD);
        let mut found = None;
        for step in step - TOLERANCE..=step + TOLERANCE {
            if bool::from(self.code(step).as_bytes().ct_eq(code.as_bytes())) {
                found = Some(step);
            }
        }
        found
    }

    /// The code of a step (RFC 4226 section 5.3).
    fn code(&self, step: i64) -> Zeroizing<String> {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        let offset = usize::from(tag[tag.len() - 1] & 0x0f);
        let mut word = [0; 4];
        word.copy_from_slice(&tag[offset..offset + 4]);
        let number = (u32::from_be_bytes(word) & 0x7fff_ffff) % 1_000_000;
        Zeroizing::new(format!("{number:0DIGITS$}"))
    }

    /// The address that sets up an app: the key URI format that all of them read.
    pub(crate) fn uri(&self, issuer: &str, account: &str) -> Secret {
        let escaped = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let (issuer, account) = (escaped(issuer), escaped(account));
        Secret::new(format!(
            "otpauth://totp/{issuer}:{account}?algorithm=SHA1&digits={DIGITS}&issuer={issuer}&period={PERIOD}&secret={}",
            self.base32().expose()
        ))
    }
}

/// The address as a picture that apps scan: the text of an `<svg>`. `None` where it is too long for one.
///
/// Colours are words, as clients put the text into a `data:` address, where `#` would end it.
pub(crate) fn qr_code(uri: &Secret) -> Option<Secret> {
    let code = QrCode::new(uri.expose()).ok()?;
    let (black, white) = (svg::Color("black"), svg::Color("white"));
    let drawing = code.render().min_dimensions(200, 200).dark_color(black).light_color(white).build();
    let start = drawing.find("<svg")?;
    drawing.get(start..).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The secret of RFC 6238 appendix B.
    fn secret() -> TotpSecret {
        TotpSecret(Zeroizing::new(b"12345678901234567890".to_vec()))
    }

    #[test]
    fn codes_are_the_ones_of_rfc_6238() {
        for (now, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(*secret().code(now / PERIOD), code, "{now}");
            assert_eq!(secret().matching_step(code, now), Some(now / PERIOD), "{now}");
        }
    }

    #[test]
    fn clocks_may_differ_by_one_step_and_no_more() {
        let step = 41_152_263;
        let code = secret().code(step);
        for (apart, counts) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            let found = secret().matching_step(&code, (step + apart) * PERIOD);
            assert_eq!(found.is_some(), counts, "{apart}");
        }
    }

    #[test]
    fn a_code_may_be_typed_in_groups_but_is_six_digits() {
        let matches = |code| secret().matching_step(code, 1_234_567_890).is_some();
        assert!(matches("005 924") && matches(" 005924 "));
        for code in ["", "5924", "0005924", "005925", "٠٠٥٩٢٤"] {
            assert!(!matches(code), "{code}");
        }
    }

    #[test]
    fn base32_is_the_one_of_rfc_4648() {
        let text = |bytes: &[u8]| TotpSecret(Zeroizing::new(bytes.to_vec())).base32().expose().to_owned();
        for (bytes, expected) in [("f", "MY"), ("fo", "MZXQ"), ("foob", "MZXW6YQ"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(text(bytes.as_bytes()), expected);
        }
        assert!(TotpSecret::parse("MZXW6YTBOI").is_none(), "too short a secret");
        assert!(TotpSecret::parse("0EZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").is_none(), "no 0 in base 32");
        let typed = TotpSecret::parse("gezdgnbvgy3tqojqgezdgnbvgy3tqojq").unwrap();
        assert_eq!(*typed.0, *secret().0);
    }

    #[test]
    fn the_address_names_issuer_and_account_and_the_picture_is_bare_svg() {
        let uri = secret().uri("Shop: Ä", "ada@example.com");
        assert_eq!(
            uri.expose(),
            "otpauth://totp/Shop%3A%20%C3%84:ada%40example.com?algorithm=SHA1&digits=6&issuer=Shop%3A%20%C3%84\
            &period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        );
        let picture = qr_code(&uri).unwrap();
        assert!(picture.expose().starts_with("<svg ") && picture.expose().ends_with("</svg>"));
        assert!(!picture.expose().contains('#'));
    }

    proptest! {
        #[test]
        fn every_secret_comes_back_from_base32(random: [u8; SECRET_LENGTH]) {
            let secret = TotpSecret::generate(random);
            let back = TotpSecret::parse(secret.base32().expose()).unwrap();
            prop_assert_eq!(&*back.0, &random[..]);
        }

        #[test]
        fn any_text_is_read_without_a_panic(text: String, now: i64) {
            let _ = TotpSecret::parse(&text);
            prop_assert_eq!(secret().matching_step(&text, now / 2), None);
        }
    }
}
