//! What the service refuses, with the status, code and text of the contract (section 2): clients and applications match
//! on all three. Pure.

/// A refusal of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 400: The body is not what it should be.
    BadJson,
    /// 400: Invalid login credentials.
    InvalidCredentials,
    /// 400: unsupported_grant_type.
    UnsupportedGrant,
    /// 400: Email not confirmed.
    EmailNotConfirmed,
    /// 400: Phone not confirmed.
    PhoneNotConfirmed,
    /// 400: Email signups are disabled.
    EmailProviderDisabled,
    /// 422: Email logins are disabled.
    EmailLoginsDisabled,
    /// 400: Phone signups are disabled.
    PhoneProviderDisabled,
    /// 422: Phone logins are disabled.
    PhoneLoginsDisabled,
    /// 400: User is banned.
    UserBannedAtLogin,
    /// 403: User is banned.
    UserBanned,
    /// 400: Invalid Refresh Token: Refresh Token Not Found.
    RefreshTokenNotFound,
    /// 400: Invalid Refresh Token: Already Used.
    RefreshTokenUsed,
    /// 400: Invalid Refresh Token: No Valid Session Found.
    SessionGoneAtRefresh,
    /// 400: Invalid Refresh Token: Session Expired.
    SessionExpired,
    /// 403: Session from session_id claim in JWT does not exist.
    SessionNotFound,
    /// 401: No API key found in request.
    NoApiKey,
    /// 400: The captcha was not passed.
    CaptchaFailed,
    /// 404: There is nothing at this path.
    NotFound,
    /// 404: The user has no such session.
    NoSuchSession,
    /// 401: This endpoint requires a valid Bearer token.
    NoAuthorization,
    /// 403: invalid JWT: unable to parse or verify signature.
    BadJwt,
    /// 400: invalid claim: sub claim must be a UUID.
    BadSubject,
    /// 403: User from sub claim in JWT does not exist.
    UserGone,
    /// 404: User not found.
    UserNotFound,
    /// 403: User not allowed.
    NotAdmin,
    /// 403: Token has expired or is invalid.
    OtpExpired,
    /// 403: Email link is invalid or has expired.
    LinkExpired,
    /// 422: Signups not allowed for otp.
    OtpDisabled,
    /// 422: Signups not allowed for this instance.
    SignupDisabled,
    /// 422: Anonymous sign-ins are disabled.
    AnonymousDisabled,
    /// 422: User already registered.
    UserExists,
    /// 422: A user with this email address has already been registered.
    EmailExists,
    /// 422: A user with this phone number has already been registered.
    PhoneExists,
    /// 422: A user with this username has already been registered.
    UsernameExists,
    /// 422: This sign-up is not allowed here.
    Blocked,
    /// 422: New password should be different from the old password.
    SamePassword,
    /// 400: Current password is required.
    CurrentPasswordRequired,
    /// 400: Current password is wrong.
    CurrentPasswordInvalid,
    /// 400: Password update requires reauthentication.
    ReauthenticationNeeded,
    /// 422: Nonce has expired or is invalid.
    ReauthenticationInvalid,
    /// 403: AAL2 required for this.
    InsufficientAal,
    /// 401: AAL2 session is required to update email or password when MFA is enabled.
    InsufficientAalForUser,
    /// 404: invalid flow state, no valid flow state found.
    FlowStateNotFound,
    /// 422: invalid flow state, flow state has expired.
    FlowStateExpired,
    /// 400: code challenge does not match previously saved code verifier.
    BadCodeVerifier,
    /// 422: Identity doesn't exist.
    IdentityNotFound,
    /// 422: Identity is already linked to another user.
    IdentityExists,
    /// 422: User must have at least 1 identity after unlinking.
    SingleIdentity,
    /// 422: The address of the identity that is left is another account's.
    EmailConflict,
    /// 422: The account is managed by single sign-on.
    SsoManaged,
    /// 400: OAuth state parameter missing.
    BadOauthCallback,
    /// 400: OAuth state not found or expired.
    BadOauthState,
    /// 400: Unsupported provider.
    ProviderNotSupported,
    /// 400: The provider is not enabled.
    ProviderDisabled,
    /// 500: Unable to exchange external code.
    ProviderFailed,
    /// 422: The provider has not verified the address.
    ProviderEmailUnverified,
    /// 422: Error getting user email from external provider.
    ProviderEmailMissing,
    /// 404: Manual linking is disabled.
    ManualLinkingDisabled,
    /// 403: Further MFA verification attempts will be rejected.
    MfaRejected,
    /// 429: Request rate limit reached.
    OverRequests,
    /// 429: email rate limit exceeded.
    OverEmails,
    /// 429: sms rate limit exceeded.
    OverSms,
    /// 409: Too many concurrent token refresh requests on the same session or refresh token.
    Conflict,
    /// 404: the id in the path must be an UUID.
    PathIdNotUuid,
    /// 404: This feature is switched off.
    FeatureDisabled,
    /// 401: This API key is not accepted.
    KeyNotAccepted,
    /// 403: The scopes of this API key do not allow it.
    OutOfScope,
    /// 404: There is no such API key.
    KeyNotFound,
    /// 409: This API key was replaced already.
    KeyReplaced,
    /// 422: This user has too many API keys.
    TooManyKeys,
    /// 422: This API key is known already.
    KeyExists,
}

/// How a refusal is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What programs go by.
    pub(crate) code: &'static str,
    /// What people read.
    pub(crate) message: &'static str,
}

impl Refusal {
    /// The status, code and text.
    #[expect(clippy::too_many_lines, reason = "a table, one row a refusal")]
    pub(crate) fn parts(self) -> Parts {
        match self {
            Self::BadJson => {
                Parts { status: 400, code: "bad_json", message: "The body is not what it should be" }
            }
            Self::InvalidCredentials => {
                Parts { status: 400, code: "invalid_credentials", message: "Invalid login credentials" }
            }
            Self::UnsupportedGrant => {
                Parts { status: 400, code: "invalid_credentials", message: "unsupported_grant_type" }
            }
            Self::EmailNotConfirmed => {
                Parts { status: 400, code: "email_not_confirmed", message: "Email not confirmed" }
            }
            Self::PhoneNotConfirmed => {
                Parts { status: 400, code: "phone_not_confirmed", message: "Phone not confirmed" }
            }
            Self::EmailProviderDisabled => {
                Parts { status: 400, code: "email_provider_disabled", message: "Email signups are disabled" }
            }
            Self::EmailLoginsDisabled => {
                Parts { status: 422, code: "email_provider_disabled", message: "Email logins are disabled" }
            }
            Self::PhoneProviderDisabled => {
                Parts { status: 400, code: "phone_provider_disabled", message: "Phone signups are disabled" }
            }
            Self::PhoneLoginsDisabled => {
                Parts { status: 422, code: "phone_provider_disabled", message: "Phone logins are disabled" }
            }
            Self::UserBannedAtLogin => Parts { status: 400, code: "user_banned", message: "User is banned" },
            Self::UserBanned => Parts { status: 403, code: "user_banned", message: "User is banned" },
            Self::RefreshTokenNotFound => Parts {
                status: 400,
                code: "refresh_token_not_found",
                message: "Invalid Refresh Token: Refresh Token Not Found",
            },
            Self::RefreshTokenUsed => Parts {
                status: 400,
                code: "refresh_token_already_used",
                message: "Invalid Refresh Token: Already Used",
            },
            Self::SessionGoneAtRefresh => Parts {
                status: 400,
                code: "session_not_found",
                message: "Invalid Refresh Token: No Valid Session Found",
            },
            Self::SessionExpired => Parts {
                status: 400,
                code: "session_expired",
                message: "Invalid Refresh Token: Session Expired",
            },
            Self::SessionNotFound => Parts {
                status: 403,
                code: "session_not_found",
                message: "Session from session_id claim in JWT does not exist",
            },
            Self::NoApiKey => {
                Parts { status: 401, code: "no_authorization", message: "No API key found in request" }
            }
            Self::CaptchaFailed => Parts {
                status: 400,
                code: "captcha_failed",
                message: "captcha protection: request disallowed",
            },
            Self::NotFound => {
                Parts { status: 404, code: "not_found", message: "There is nothing at this path" }
            }
            Self::NoSuchSession => {
                Parts { status: 404, code: "session_not_found", message: "The user has no such session" }
            }
            Self::NoAuthorization => Parts {
                status: 401,
                code: "no_authorization",
                message: "This endpoint requires a valid Bearer token",
            },
            Self::BadJwt => Parts {
                status: 403,
                code: "bad_jwt",
                message: "invalid JWT: unable to parse or verify signature",
            },
            Self::BadSubject => {
                Parts { status: 400, code: "bad_jwt", message: "invalid claim: sub claim must be a UUID" }
            }
            Self::UserGone => Parts {
                status: 403,
                code: "user_not_found",
                message: "User from sub claim in JWT does not exist",
            },
            Self::UserNotFound => Parts { status: 404, code: "user_not_found", message: "User not found" },
            Self::NotAdmin => Parts { status: 403, code: "not_admin", message: "User not allowed" },
            Self::OtpExpired => {
                Parts { status: 403, code: "otp_expired", message: "Token has expired or is invalid" }
            }
            Self::LinkExpired => {
                Parts { status: 403, code: "otp_expired", message: "Email link is invalid or has expired" }
            }
            Self::OtpDisabled => {
                Parts { status: 422, code: "otp_disabled", message: "Signups not allowed for otp" }
            }
            Self::SignupDisabled => Parts {
                status: 422,
                code: "signup_disabled",
                message: "Signups not allowed for this instance",
            },
            Self::AnonymousDisabled => Parts {
                status: 422,
                code: "anonymous_provider_disabled",
                message: "Anonymous sign-ins are disabled",
            },
            Self::UserExists => {
                Parts { status: 422, code: "user_already_exists", message: "User already registered" }
            }
            Self::EmailExists => Parts {
                status: 422,
                code: "email_exists",
                message: "A user with this email address has already been registered",
            },
            Self::PhoneExists => Parts {
                status: 422,
                code: "phone_exists",
                message: "A user with this phone number has already been registered",
            },
            Self::UsernameExists => Parts {
                status: 422,
                code: "username_exists",
                message: "A user with this username has already been registered",
            },
            Self::Blocked => {
                Parts { status: 422, code: "signup_blocked", message: "This sign-up is not allowed here" }
            }
            Self::SamePassword => Parts {
                status: 422,
                code: "same_password",
                message: "New password should be different from the old password.",
            },
            Self::CurrentPasswordRequired => Parts {
                status: 400,
                code: "current_password_required",
                message: "Current password is required",
            },
            Self::CurrentPasswordInvalid => {
                Parts { status: 400, code: "current_password_invalid", message: "Current password is wrong" }
            }
            Self::ReauthenticationNeeded => Parts {
                status: 400,
                code: "reauthentication_needed",
                message: "Password update requires reauthentication",
            },
            Self::ReauthenticationInvalid => Parts {
                status: 422,
                code: "reauthentication_not_valid",
                message: "Nonce has expired or is invalid",
            },
            Self::InsufficientAal => {
                Parts { status: 403, code: "insufficient_aal", message: "AAL2 required for this" }
            }
            Self::InsufficientAalForUser => Parts {
                status: 401,
                code: "insufficient_aal",
                message: "AAL2 session is required to update email or password when MFA is enabled.",
            },
            Self::FlowStateNotFound => Parts {
                status: 404,
                code: "flow_state_not_found",
                message: "invalid flow state, no valid flow state found",
            },
            Self::FlowStateExpired => Parts {
                status: 422,
                code: "flow_state_expired",
                message: "invalid flow state, flow state has expired",
            },
            Self::BadCodeVerifier => Parts {
                status: 400,
                code: "bad_code_verifier",
                message: "code challenge does not match previously saved code verifier",
            },
            Self::IdentityNotFound => {
                Parts { status: 422, code: "identity_not_found", message: "Identity doesn't exist" }
            }
            Self::IdentityExists => Parts {
                status: 422,
                code: "identity_already_exists",
                message: "Identity is already linked to another user",
            },
            Self::SingleIdentity => Parts {
                status: 422,
                code: "single_identity_not_deletable",
                message: "User must have at least 1 identity after unlinking",
            },
            Self::EmailConflict => Parts {
                status: 422,
                code: "email_conflict_identity_not_deletable",
                message: "Unable to unlink identity due to email conflict",
            },
            Self::SsoManaged => Parts {
                status: 422,
                code: "user_sso_managed",
                message: "The account is managed by single sign-on",
            },
            Self::BadOauthCallback => {
                Parts { status: 400, code: "bad_oauth_callback", message: "OAuth state parameter missing" }
            }
            Self::BadOauthState => {
                Parts { status: 400, code: "bad_oauth_state", message: "OAuth state not found or expired" }
            }
            Self::ProviderNotSupported => {
                Parts { status: 400, code: "oauth_provider_not_supported", message: "Unsupported provider" }
            }
            Self::ProviderDisabled => {
                Parts { status: 400, code: "provider_disabled", message: "The provider is not enabled" }
            }
            Self::ProviderFailed => {
                Parts { status: 500, code: "unexpected_failure", message: "Unable to exchange external code" }
            }
            Self::ProviderEmailUnverified => Parts {
                status: 422,
                code: "provider_email_needs_verification",
                message: "The provider has not verified the email address",
            },
            Self::ProviderEmailMissing => Parts {
                status: 422,
                code: "email_address_not_provided",
                message: "Error getting user email from external provider",
            },
            Self::ManualLinkingDisabled => {
                Parts { status: 404, code: "manual_linking_disabled", message: "Manual linking is disabled" }
            }
            Self::MfaRejected => Parts {
                status: 403,
                code: "mfa_verification_rejected",
                message: "Further MFA verification attempts will be rejected.",
            },
            Self::OverRequests => {
                Parts { status: 429, code: "over_request_rate_limit", message: "Request rate limit reached" }
            }
            Self::OverEmails => Parts {
                status: 429,
                code: "over_email_send_rate_limit",
                message: "email rate limit exceeded",
            },
            Self::OverSms => {
                Parts { status: 429, code: "over_sms_send_rate_limit", message: "sms rate limit exceeded" }
            }
            Self::Conflict => Parts {
                status: 409,
                code: "conflict",
                message: "Too many concurrent token refresh requests on the same session or refresh token",
            },
            Self::PathIdNotUuid => Parts {
                status: 404,
                code: "validation_failed",
                message: "the id in the path must be an UUID",
            },
            Self::FeatureDisabled => {
                Parts { status: 404, code: "feature_disabled", message: "This feature is switched off" }
            }
            Self::KeyNotAccepted => Parts {
                status: 401,
                code: "api_key_not_accepted",
                message: "This API key is wrong, has ended, or may not be used from this address",
            },
            Self::OutOfScope => Parts {
                status: 403,
                code: "insufficient_scope",
                message: "The scopes of this API key do not allow it",
            },
            Self::KeyNotFound => {
                Parts { status: 404, code: "api_key_not_found", message: "There is no such API key" }
            }
            Self::KeyReplaced => {
                Parts { status: 409, code: "api_key_replaced", message: "This API key was replaced already" }
            }
            Self::TooManyKeys => Parts {
                status: 422,
                code: "too_many_api_keys",
                message: "This user has as many API keys as are allowed",
            },
            Self::KeyExists => {
                Parts { status: 422, code: "api_key_exists", message: "This API key is known already" }
            }
        }
    }
}
