//! Configuration of identity and accounts: how tokens are verified, which API keys exist, who may sign up and how,
//! what mails and messages go by. It holds the material as written; `kernel::identity` turns it into keys, `auth` into
//! rules.

use std::collections::BTreeMap;

use super::external::ExternalProviderConfig;
use super::schema::{choice, section};
use super::values::{SettingDefault, TimeSpan};
use crate::kernel::secret::Secret;

choice! {
    /// How strict the defaults for accounts are.
    pub enum AuthProfile {
        /// What clients of Supabase expect.
        Standard = "standard",
        /// Tokens of 15 minutes, passwords of 8 characters, no answer that tells whether an account exists.
        Strict = "strict",
    }
}

choice! {
    /// What answers tell of accounts that exist.
    pub enum Enumeration {
        /// What the wire contract's own answers give away: 422 for an address that is confirmed already under automatic
        /// confirmation, and for a one-time password of an unknown user who may not be created.
        Standard = "standard",
        /// Nothing.
        Strict = "strict",
    }
}

choice! {
    /// How passwords are hashed; hashes of the other kind are replaced at the next login.
    pub enum PasswordAlgorithm {
        /// argon2id.
        Argon2id = "argon2id",
        /// bcrypt.
        Bcrypt = "bcrypt",
    }
}

choice! {
    /// How the connection to the mail server is protected.
    pub enum SmtpTls {
        /// Plain first, then STARTTLS, and no mail without it.
        Required = "starttls_required",
        /// STARTTLS where the server offers it: somebody in between can take the offer away.
        Opportunistic = "starttls",
        /// TLS from the first byte.
        Implicit = "tls",
        /// Not at all: for a mail server on this machine.
        Off = "none",
    }
}

choice! {
    /// Who sends text messages.
    pub enum SmsProvider {
        /// Nobody; in development they are kept for `/dev/mail`.
        Off = "none",
        /// Twilio, or a service with the same API.
        Twilio = "twilio",
        /// A signed POST to an address of yours.
        Webhook = "webhook",
    }
}

choice! {
    /// Who makes captchas.
    pub enum CaptchaProvider {
        /// Nobody asks for one.
        Off = "none",
        /// hCaptcha.
        Hcaptcha = "hcaptcha",
        /// Turnstile, of Cloudflare.
        Turnstile = "turnstile",
    }
}

section! {
    /// Tokens, API keys and accounts.
    pub struct AuthConfig {
        /// Secret that signs and verifies tokens (HS256), at least 32 bytes; or a JWK or JWKS as JSON text; or
        /// `@file`. The embedded database generates one and keeps it in the data directory.
        pub jwt_secret: Option<Secret> = None, as "jwt-secret";
        /// Whether `jwt_secret` is base64 of the real secret.
        pub jwt_secret_is_base64: bool = false, as "jwt-secret-is-base64";
        /// Audience that a token's `aud` must hold, where it has one.
        pub jwt_audience: Option<String> = None, as "jwt-aud";
        /// JSON path of the claim that holds the role.
        pub jwt_role_claim_path: String = "$.role".to_owned(), as "jwt-role-claim-key";
        /// Verified tokens that are remembered; 0 turns that off.
        pub jwt_cache_entries: usize = 10_000, in 0, 10_000_000, as "jwt-cache-max-entries", profile 1_000;
        /// Whether a user's token without `exp` is refused.
        pub require_expiry: bool = true, profile false;
        /// API key of anonymous callers; made from `jwt_secret` unless set.
        pub anon_key: Option<Secret> = None;
        /// API key of servers that may do everything; made from `jwt_secret` unless set.
        pub service_role_key: Option<Secret> = None;
        /// API key of the form `sb_publishable_...` that stands for the anonymous role.
        pub publishable_key: Option<Secret> = None;
        /// API key of the form `sb_secret_...` that stands for the service role.
        pub secret_key: Option<Secret> = None;
        /// Whether a request needs a valid API key. Unless set: yes, except in development, where a request
        /// without one, or with an unknown one, is anonymous.
        pub require_api_key: Option<bool> = None, profile Some(false);
        /// How strict the defaults below are.
        pub profile: AuthProfile = AuthProfile::Standard;
        /// Secret that stored secrets and messages between nodes are encrypted with, and the keys of refresh tokens,
        /// one-time tokens and codes are derived from; derived from `jwt_secret` unless set. Set it before you rotate `jwt_secret`.
        pub root_secret: Option<Secret> = None;
        /// Secrets beside `root_secret` that still count, at most 8: what they sealed opens, and tokens, codes and keys made
        /// under them are recognised. See `goforward keys rotate`.
        pub previous_root_secrets: Vec<Secret> = Vec::new();
        /// Where the application is: links lead there after sign-in. The server's own address unless set.
        pub site_url: Option<String> = None;
        /// Addresses besides `site_url` that links may lead to, with `*` for anything but `.` and `/`, and `**` for anything.
        pub redirect_urls: Vec<String> = Vec::new();
        /// Claim `iss` of the tokens issued here; the server's own address and `/auth/v1` unless set.
        pub issuer: Option<String> = None;
        /// Life of an access token; an hour unless set, 15 minutes under `profile: strict`.
        pub access_token_lifetime: Option<TimeSpan> = None, in TimeSpan::seconds(60), TimeSpan::seconds(604_800);
        /// Whether new accounts may be made by their users.
        pub signup: bool = true;
        /// Whether accounts without any identifier may be made.
        pub anonymous_users: bool = false;
        /// How long an account without an identifier is kept that nobody signs in to; 0s for ever.
        pub anonymous_users_kept: TimeSpan = TimeSpan::seconds(2_592_000), in TimeSpan::seconds(0), TimeSpan::seconds(315_360_000);
        /// How long records of security events are kept; 0s for ever.
        pub security_events_kept: TimeSpan = TimeSpan::seconds(31_536_000), in TimeSpan::seconds(0), TimeSpan::seconds(315_360_000);
        /// Whether users may link further identities to their account themselves.
        pub manual_linking: bool = false;
        /// What answers tell of accounts that exist; `strict` under `profile: strict` unless set.
        pub enumeration: Option<Enumeration> = None;
        /// Identity providers that users may sign in with, by name: `apple`, `azure` (Microsoft), `discord`, `facebook`,
        /// `github`, `gitlab`, `google`, or any other name for an OpenID Connect issuer. Each has `client_id`, `client_secret`,
        /// and where needed `url`, `scopes`, `redirect_uri`, `enabled`, `skip_nonce_check`, `email_optional`, `tenants`.
        pub external: BTreeMap<String, ExternalProviderConfig> = BTreeMap::new();
        /// Settings that every user has, with their defaults, as in `theme: light`. The default says the type: JSON, or a text.
        pub user_settings: BTreeMap<String, SettingDefault> = BTreeMap::new();
        /// Accounts with an e-mail address.
        pub email: EmailAuthConfig = EmailAuthConfig::default();
        /// Accounts with a phone number.
        pub phone: PhoneAuthConfig = PhoneAuthConfig::default();
        /// Passwords.
        pub password: PasswordConfig = PasswordConfig::default();
        /// Sessions and their refresh tokens.
        pub sessions: SessionConfig = SessionConfig::default();
        /// Second factors and passkeys.
        pub mfa: MfaConfig = MfaConfig::default();
        /// API keys of users and of other backends.
        pub api_keys: ApiKeyConfig = ApiKeyConfig::default();
        /// Locking of accounts after failures.
        pub lockout: LockoutConfig = LockoutConfig::default();
        /// Requests per time to the routes of accounts, per address.
        pub rate_limits: AuthRateLimits = AuthRateLimits::default();
        /// Captchas before sign-ups, sign-ins by password, and requests for codes and links.
        pub captcha: CaptchaConfig = CaptchaConfig::default();
        /// Code of yours that takes part.
        pub hooks: HooksConfig = HooksConfig::default();
        /// The mail server. Without one mails are kept for `/dev/mail` in development and fail elsewhere.
        pub smtp: SmtpConfig = SmtpConfig::default();
        /// Text messages.
        pub sms: SmsConfig = SmsConfig::default();
    }
}

section! {
    /// Accounts with an e-mail address.
    pub struct EmailAuthConfig {
        /// Whether there are any.
        pub enabled: bool = true;
        /// Whether an address counts as confirmed without a mail to it.
        pub autoconfirm: bool = false;
        /// Whether a change of address must be confirmed at the old address too.
        pub secure_change: bool = true;
        /// Digits of a code.
        pub otp_length: u16 = 6, in 6, 10;
        /// Life of a code and of a link.
        pub otp_lifetime: TimeSpan = TimeSpan::seconds(3600), in TimeSpan::seconds(60), TimeSpan::seconds(86_400);
        /// Time between two mails to one account.
        pub resend_after: TimeSpan = TimeSpan::seconds(60), in TimeSpan::seconds(0), TimeSpan::seconds(86_400);
        /// Whether a link leads to a page with a button first, so that programs that look at links of mails use none up.
        pub confirm_page: bool = false;
        /// Whether a new account gets a mail of welcome once its address is confirmed.
        pub welcome: bool = false;
    }
}

section! {
    /// Accounts with a phone number.
    pub struct PhoneAuthConfig {
        /// Whether there are any.
        pub enabled: bool = false;
        /// Whether a number counts as confirmed without a message to it.
        pub autoconfirm: bool = false;
        /// Digits of a code.
        pub otp_length: u16 = 6, in 6, 10;
        /// Life of a code.
        pub otp_lifetime: TimeSpan = TimeSpan::seconds(60), in TimeSpan::seconds(30), TimeSpan::seconds(86_400);
        /// Time between two messages to one account.
        pub resend_after: TimeSpan = TimeSpan::seconds(60), in TimeSpan::seconds(0), TimeSpan::seconds(86_400);
        /// Text of a message; `{{ .Code }}` is the code.
        pub template: String = "Your code is {{ .Code }}".to_owned();
    }
}

section! {
    /// Passwords.
    pub struct PasswordConfig {
        /// Fewest characters; 6 unless set, 8 under `profile: strict`.
        pub min_length: Option<u16> = None, in 6, 256;
        /// Sets of characters of which each must be there, with `:` between, as in `abc...xyz:0123456789`; empty: any will do.
        pub required_characters: String = String::new();
        /// How passwords are hashed.
        pub algorithm: PasswordAlgorithm = PasswordAlgorithm::Argon2id;
        /// Memory of an argon2id hash, in KiB.
        pub argon2_memory_kib: u32 = 19_456, in 8_192, 1_048_576;
        /// Passes of an argon2id hash.
        pub argon2_passes: u32 = 2, in 1, 32;
        /// Lanes of an argon2id hash.
        pub argon2_lanes: u32 = 1, in 1, 16;
        /// Cost of a bcrypt hash.
        pub bcrypt_cost: u32 = 12, in 10, 16;
        /// Passwords hashed at the same time; as many as there are processors unless set.
        pub parallel_hashes: Option<usize> = None, in 1, 256;
        /// File with the SHA-1 of leaked passwords, sorted, one `HASH:COUNT` a line; passwords in it are refused.
        pub leaked_list: Option<std::path::PathBuf> = None;
        /// Address of a service that is told the first five digits of the SHA-1 of a new password, as in
        /// `https://api.pwnedpasswords.com/range/`; passwords that it knows are refused.
        pub leaked_url: Option<String> = None;
        /// Whether a change needs a code by mail (`/reauthenticate`) once the session is older than a day.
        pub require_reauthentication: bool = false;
        /// Whether a change needs the current password.
        pub require_current: bool = false;
    }
}

section! {
    /// Sessions and their refresh tokens.
    pub struct SessionConfig {
        /// Life of a session, however much it is used; 0s for no end.
        pub lifetime: TimeSpan = TimeSpan::seconds(0), in TimeSpan::seconds(0), TimeSpan::seconds(315_360_000);
        /// Time without a refresh after which a session ends; 0s for no end.
        pub inactivity: TimeSpan = TimeSpan::seconds(604_800), in TimeSpan::seconds(0), TimeSpan::seconds(315_360_000);
        /// Whether a new session ends the account's others.
        pub single_per_user: bool = false;
        /// Time within which a refresh token that was used already still gets the current one.
        pub reuse_interval: TimeSpan = TimeSpan::seconds(10), in TimeSpan::seconds(0), TimeSpan::seconds(3_600);
        /// Whether tokens count until they expire, whatever becomes of their session.
        pub stateless: bool = false;
    }
}

section! {
    /// Second factors and passkeys.
    pub struct MfaConfig {
        /// Whether authenticator apps may be enrolled.
        pub totp_enroll: bool = true;
        /// Whether authenticator apps count.
        pub totp_verify: bool = true;
        /// Whether phones may be enrolled.
        pub phone_enroll: bool = false;
        /// Whether phones count.
        pub phone_verify: bool = false;
        /// Whether security keys may be enrolled.
        pub webauthn_enroll: bool = false;
        /// Whether security keys count.
        pub webauthn_verify: bool = false;
        /// Whether users may sign in with passkeys.
        pub passkeys: bool = false;
        /// Whether a user who has a second factor must give it after signing in: until then the session gives access to
        /// nothing but the factor's verification, `GET /user` and sign-out.
        pub required_for_login: bool = false;
        /// Factors of a user, and passkeys.
        pub max_factors: u16 = 10, in 1, 100;
        /// Time within which a challenge must be answered.
        pub challenge_lifetime: TimeSpan = TimeSpan::seconds(300), in TimeSpan::seconds(30), TimeSpan::seconds(3_600);
        /// Time within which a new factor must be verified.
        pub enrollment_lifetime: TimeSpan = TimeSpan::seconds(300), in TimeSpan::seconds(30), TimeSpan::seconds(86_400);
        /// What authenticator apps call the application; the host of `site_url` unless set.
        pub issuer: Option<String> = None;
        /// Domain that security keys and passkeys are bound to; the host of `site_url` unless set.
        pub webauthn_rp_id: Option<String> = None;
        /// Origins from which they are used, as in `https://app.example.com`; that of `site_url` unless set.
        pub webauthn_origins: Vec<String> = Vec::new();
    }
}

section! {
    /// API keys of users and of other backends.
    pub struct ApiKeyConfig {
        /// Most keys of one user, beside those that end with a session.
        pub per_user: u32 = 50, in 0, 10_000;
        /// How long a key that was replaced (`/keys/{id}/rotate`) still works beside the new one.
        pub rotation_overlap: TimeSpan = TimeSpan::seconds(86_400), in TimeSpan::seconds(0), TimeSpan::seconds(31_536_000);
        /// Life of an access token that a key is exchanged for.
        pub token_lifetime: TimeSpan = TimeSpan::seconds(300), in TimeSpan::seconds(30), TimeSpan::seconds(3_600);
    }
}

section! {
    /// Locking of accounts after failures.
    pub struct LockoutConfig {
        /// Failures of an account from one address until that pair is locked; 0 for never.
        pub failures: u32 = 10, in 0, 10_000;
        /// Failures of an account from all unknown devices until it is locked for these; 0 for never.
        pub failures_per_account: u32 = 100, in 0, 1_000_000;
        /// Time within which failures are counted.
        pub window: TimeSpan = TimeSpan::seconds(900), in TimeSpan::seconds(1), TimeSpan::seconds(86_400);
        /// How long a lock lasts.
        pub lasts: TimeSpan = TimeSpan::seconds(900), in TimeSpan::seconds(1), TimeSpan::seconds(86_400);
    }
}

section! {
    /// Requests per time to the routes of accounts, per address; 0 for no limit.
    pub struct AuthRateLimits {
        /// Mails per hour, over all addresses.
        pub emails_per_hour: u32 = 30, in 0, 10_000_000;
        /// Text messages per hour, over all addresses.
        pub sms_per_hour: u32 = 30, in 0, 10_000_000;
        /// Sign-ups and requests for codes and links, in 5 minutes.
        pub otp: u32 = 30, in 0, 10_000_000;
        /// Codes and links tried, in 5 minutes.
        pub verify: u32 = 30, in 0, 10_000_000;
        /// Sign-ins and refreshes, in 5 minutes.
        pub token: u32 = 150, in 0, 10_000_000;
        /// Accounts without an identifier, per hour.
        pub anonymous: u32 = 30, in 0, 10_000_000;
        /// Challenges of second factors and answers to them, per minute.
        pub factors: u32 = 15, in 0, 10_000_000;
        /// API keys verified, exchanged and changed, and tokens introspected, per minute.
        pub keys: u32 = 6_000, in 0, 10_000_000;
    }
}

section! {
    /// Captchas before sign-ups, sign-ins by password, and requests for codes and links. Requests with the secret key need none.
    pub struct CaptchaConfig {
        /// Who makes them.
        pub provider: CaptchaProvider = CaptchaProvider::Off;
        /// Secret of the site, from the provider.
        pub secret: Option<Secret> = None;
        /// Where it is asked whether somebody has passed; the provider's own address unless set.
        pub url: Option<String> = None;
    }
}

section! {
    /// Code of yours that takes part: functions in the database and signed addresses.
    pub struct HooksConfig {
        /// Before an access token is signed; may change its claims.
        pub custom_access_token: HookConfig = HookConfig::default();
        /// Before a user is made; may refuse.
        pub before_user_created: HookConfig = HookConfig::default();
        /// After a user was made; told of it in the background, again until it answers, and can refuse nothing.
        pub after_user_created: HookConfig = HookConfig::default();
        /// After a password was tried; may refuse.
        pub password_verification_attempt: HookConfig = HookConfig::default();
        /// After a second factor was tried; may refuse.
        pub mfa_verification_attempt: HookConfig = HookConfig::default();
        /// Sends mails in place of `smtp`.
        pub send_email: HookConfig = HookConfig::default();
        /// Sends messages in place of `sms`.
        pub send_sms: HookConfig = HookConfig::default();
        /// Knows people who have no account here, by what they sign in with.
        pub authentication_provider: HookConfig = HookConfig::default();
        /// Roles of PostgreSQL, besides the user's own, that `custom_access_token` may choose.
        pub allowed_roles: Vec<String> = Vec::new();
    }
}

section! {
    /// A hook.
    pub struct HookConfig {
        /// Where it is: `https://example.com/hook`, or a function as in `pg-functions://postgres/public/my_hook`.
        pub uri: Option<String> = None;
        /// What calls of an address are signed with (Standard Webhooks), as in `v1,whsec_<base64>`; several with `|` between.
        pub secrets: Option<Secret> = None;
    }
}

section! {
    /// The mail server.
    pub struct SmtpConfig {
        /// Its name or address.
        pub host: Option<String> = None;
        /// Its port.
        pub port: u16 = 587, in 1, u16::MAX;
        /// Login.
        pub user: Option<String> = None;
        /// Password.
        pub password: Option<Secret> = None;
        /// Address that mails come from.
        pub from: Option<String> = None;
        /// Name that mails come from.
        pub sender_name: Option<String> = None;
        /// How the connection is protected.
        pub tls: SmtpTls = SmtpTls::Required;
        /// Time for one mail.
        pub timeout: TimeSpan = TimeSpan::seconds(20), in TimeSpan::seconds(1), TimeSpan::seconds(300);
    }
}

section! {
    /// Text messages.
    pub struct SmsConfig {
        /// Who sends them.
        pub provider: SmsProvider = SmsProvider::Off;
        /// Address of the service: Twilio's unless set, or the webhook's.
        pub url: Option<String> = None;
        /// Account (Twilio).
        pub account: Option<String> = None;
        /// Password of the account (Twilio), or the secret that webhooks are signed with, as in `v1,whsec_...`.
        pub secret: Option<Secret> = None;
        /// Number or messaging service that messages come from (Twilio).
        pub from: Option<String> = None;
    }
}
