//! Captchas: asks the provider that the operator chose whether a person has passed one (contract section 4).

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::error::AuthError;
use super::refusal::Refusal;
use crate::kernel::config::{CaptchaConfig, CaptchaProvider};
use crate::kernel::outbound::{OutboundClient, Request};
use crate::kernel::secret::Secret;

/// The longest that the provider may take.
const TIME_LIMIT: Duration = Duration::from_secs(5);
/// Providers' answers are a few hundred bytes.
const SIZE_LIMIT: usize = 16 * 1024;
/// The longest token, in bytes: those of hCaptcha have a few thousand.
const LONGEST_TOKEN: usize = 16 * 1024;
/// The longest code of a provider's that is told.
const LONGEST_CODE: usize = 64;

/// Why captchas cannot be checked as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptchaConfigError {
    /// A provider without a secret.
    #[error("auth.captcha.secret is needed with auth.captcha.provider")]
    Secret,
    /// Not an address.
    #[error("auth.captcha.url must be like https://captcha.example.com/siteverify")]
    Address,
}

/// Checks captchas.
#[derive(Clone)]
pub struct Captcha {
    client: OutboundClient,
    url: Url,
    secret: Secret,
}

/// What a provider answers; more is for statistics.
#[derive(Debug, Deserialize)]
struct Verdict {
    success: bool,
    #[serde(default, rename = "error-codes")]
    error_codes: Vec<String>,
}

impl Captcha {
    /// As configured; none where no provider is.
    pub fn new(config: &CaptchaConfig, client: OutboundClient) -> Result<Option<Self>, CaptchaConfigError> {
        let default = match config.provider {
            CaptchaProvider::Off => return Ok(None),
            CaptchaProvider::Hcaptcha => "https://api.hcaptcha.com/siteverify",
            CaptchaProvider::Turnstile => "https://challenges.cloudflare.com/turnstile/v0/siteverify",
        };
        let url = Url::parse(config.url.as_deref().unwrap_or(default));
        let url = url.ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let secret = config.secret.clone().filter(|secret| !secret.is_empty());
        Ok(Some(Self {
            client,
            url: url.ok_or(CaptchaConfigError::Address)?,
            secret: secret.ok_or(CaptchaConfigError::Secret)?,
        }))
    }

    /// Whether the token of a request is that of a captcha which was passed just now. Without a token nobody is asked.
    pub(crate) async fn check(&self, token: &str, ip: IpAddr) -> Result<(), AuthError> {
        let token = token.trim();
        if token.is_empty() || token.len() > LONGEST_TOKEN {
            return Err(refused("no captcha_token found"));
        }
        let ip = ip.to_string();
        let fields = [("secret", self.secret.expose()), ("response", token), ("remoteip", &ip)];
        let request = Request::form(self.url.clone(), fields).time_limit(TIME_LIMIT).size_limit(SIZE_LIMIT);
        let down = |cause: String| AuthError::Unavailable(format!("the captcha cannot be checked: {cause}"));
        let answer = self.client.send(request).await.map_err(|error| down(error.to_string()))?;
        let verdict = answer.json::<Verdict>();
        let verdict = verdict.map_err(|_| down(format!("an answer of status {}", answer.status.as_u16())))?;
        match verdict {
            Verdict { success: true, .. } => Ok(()),
            // The secret is ours, so the fault is.
            Verdict { error_codes, .. } if error_codes.iter().any(|code| code.ends_with("-secret")) => {
                Err(down("the provider does not know auth.captcha.secret".to_owned()))
            }
            Verdict { error_codes, .. } => Err(refused(&told(&error_codes))),
        }
    }
}

fn refused(why: &str) -> AuthError {
    AuthError::Told(Refusal::CaptchaFailed, format!("captcha protection: request disallowed ({why})"))
}

/// Codes of the provider, such as `timeout-or-duplicate`.
fn told(codes: &[String]) -> String {
    let is_code = |code: &&String| {
        code.len() <= LONGEST_CODE
            && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let codes: Vec<&str> = codes.iter().filter(is_code).take(3).map(String::as_str).collect();
    if codes.is_empty() { "not passed".to_owned() } else { codes.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::outbound::OutboundOptions;

    fn configured(
        provider: CaptchaProvider,
        secret: &str,
        url: Option<&str>,
    ) -> Result<Option<Url>, CaptchaConfigError> {
        let config =
            CaptchaConfig { provider, secret: Some(Secret::new(secret)), url: url.map(str::to_owned) };
        let client = OutboundClient::new(OutboundOptions::default()).unwrap();
        Captcha::new(&config, client).map(|captcha| captcha.map(|captcha| captcha.url))
    }

    #[test]
    fn each_provider_has_its_address_and_needs_a_secret() {
        let host =
            |provider| configured(provider, "s", None).unwrap().map(|url| url.host_str().unwrap().to_owned());
        assert_eq!(host(CaptchaProvider::Off), None);
        assert_eq!(host(CaptchaProvider::Hcaptcha).as_deref(), Some("api.hcaptcha.com"));
        assert_eq!(host(CaptchaProvider::Turnstile).as_deref(), Some("challenges.cloudflare.com"));
        let own = configured(CaptchaProvider::Turnstile, "s", Some("http://127.0.0.1:1/verify")).unwrap();
        assert_eq!(own.unwrap().as_str(), "http://127.0.0.1:1/verify");
        assert_eq!(configured(CaptchaProvider::Hcaptcha, "", None), Err(CaptchaConfigError::Secret));
        let file = configured(CaptchaProvider::Hcaptcha, "s", Some("file:///etc/passwd"));
        assert_eq!(file, Err(CaptchaConfigError::Address));
    }

    #[test]
    fn codes_are_told_and_other_texts_are_not() {
        let codes = |codes: &[&str]| told(&codes.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>());
        assert_eq!(codes(&["timeout-or-duplicate"]), "timeout-or-duplicate");
        assert_eq!(codes(&["<b>", "bad-request"]), "bad-request");
        assert_eq!(codes(&[]), "not passed");
    }
}
