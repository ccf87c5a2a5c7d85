//! What second factors and passkeys are refused with: status, code and text of the contract (section 2). Pure.

use crate::auth::model::FactorType;
use crate::auth::refusal::Parts;

/// A refusal of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FactorRefusal {
    /// 403: the user has no identifier, so nobody could help it after a loss.
    Anonymous,
    /// 404: the user has no such factor, or it was not verified in time.
    FactorNotFound,
    /// 422: the factor has no such challenge, or it was answered already.
    ChallengeNotFound,
    /// 422: the challenge came too late, or was tried too often.
    ChallengeExpired,
    /// 422: the answer is wrong.
    VerificationFailed,
    /// 422: the answer comes from elsewhere.
    IpMismatch,
    /// 422: the user has as many factors as there may be.
    TooManyFactors,
    /// 422: another factor of the user is called so.
    NameTaken,
    /// 422: the number is a factor of the user already.
    PhoneTaken,
    /// 403: a user with a factor enrols another with it.
    EnrolmentNeedsFactor,
    /// 422: a factor is removed with a factor.
    RemovalNeedsFactor,
    /// 422: such factors cannot be enrolled here.
    EnrolmentDisabled(FactorType),
    /// 422: such factors do not count here.
    VerificationDisabled(FactorType),
    /// 404: there are no passkeys here.
    PasskeysDisabled,
    /// 422: the user has as many passkeys as there may be.
    TooManyPasskeys,
    /// 404: the user has no such passkey.
    PasskeyNotFound,
    /// 422: the credential is known already.
    CredentialExists,
    /// 400: there is no such challenge, or it was answered already.
    CeremonyNotFound,
    /// 400: the challenge came too late.
    CeremonyExpired,
    /// 400: the answer is wrong.
    CeremonyFailed,
    /// 403: the passkey is good, but no address or number of its user is confirmed.
    Unconfirmed,
}

impl FactorRefusal {
    /// The status, code and text.
    pub(crate) fn parts(self) -> Parts {
        match self {
            Self::EnrolmentDisabled(kind) => enrolment_disabled(kind),
            Self::VerificationDisabled(kind) => verification_disabled(kind),
            Self::Anonymous => Parts {
                status: 403,
                code: "no_authorization",
                message: "Anonymous user not allowed to perform these actions",
            },
            Self::FactorNotFound => {
                Parts { status: 404, code: "mfa_factor_not_found", message: "Factor not found" }
            }
            Self::ChallengeNotFound => Parts {
                status: 422,
                code: "mfa_factor_not_found",
                message: "MFA factor with the provided challenge ID not found",
            },
            Self::ChallengeExpired => Parts {
                status: 422,
                code: "mfa_challenge_expired",
                message: "MFA challenge has expired, verify against another challenge or create a new challenge.",
            },
            Self::VerificationFailed => {
                Parts { status: 422, code: "mfa_verification_failed", message: "Invalid code entered" }
            }
            Self::IpMismatch => Parts {
                status: 422,
                code: "mfa_ip_address_mismatch",
                message: "Challenge and verify IP addresses mismatch.",
            },
            Self::TooManyFactors => Parts {
                status: 422,
                code: "too_many_enrolled_mfa_factors",
                message: "Maximum number of enrolled factors reached, unenroll to continue",
            },
            Self::NameTaken => Parts {
                status: 422,
                code: "mfa_factor_name_conflict",
                message: "A factor with this friendly name exists for this user already",
            },
            Self::PhoneTaken => Parts {
                status: 422,
                code: "mfa_verified_factor_exists",
                message: "A verified phone factor already exists, unenroll the existing factor to continue",
            },
            Self::EnrolmentNeedsFactor => Parts {
                status: 403,
                code: "insufficient_aal",
                message: "AAL2 required to enroll a new factor",
            },
            Self::RemovalNeedsFactor => Parts {
                status: 422,
                code: "insufficient_aal",
                message: "AAL2 required to unenroll verified factor",
            },
            _ => self.passkey_parts(),
        }
    }

    fn passkey_parts(self) -> Parts {
        match self {
            Self::PasskeysDisabled => {
                Parts { status: 404, code: "passkey_disabled", message: "Passkeys are disabled" }
            }
            Self::TooManyPasskeys => Parts {
                status: 422,
                code: "too_many_passkeys",
                message: "Maximum number of passkeys reached, delete one to continue",
            },
            Self::PasskeyNotFound => {
                Parts { status: 404, code: "webauthn_credential_not_found", message: "Passkey not found" }
            }
            Self::CredentialExists => Parts {
                status: 422,
                code: "webauthn_credential_exists",
                message: "This credential is registered already",
            },
            Self::CeremonyNotFound => Parts {
                status: 400,
                code: "webauthn_challenge_not_found",
                message: "Challenge not found, it may have been used already",
            },
            Self::CeremonyExpired => {
                Parts { status: 400, code: "webauthn_challenge_expired", message: "Challenge has expired" }
            }
            Self::Unconfirmed => {
                Parts { status: 403, code: "email_not_confirmed", message: "Email not confirmed" }
            }
            _ => Parts {
                status: 400,
                code: "webauthn_verification_failed",
                message: "The credential could not be verified",
            },
        }
    }
}

fn enrolment_disabled(kind: FactorType) -> Parts {
    match kind {
        FactorType::Totp => Parts {
            status: 422,
            code: "mfa_totp_enroll_not_enabled",
            message: "MFA enroll is disabled for TOTP",
        },
        FactorType::Phone => Parts {
            status: 422,
            code: "mfa_phone_enroll_not_enabled",
            message: "MFA enroll is disabled for Phone",
        },
        FactorType::Webauthn => Parts {
            status: 422,
            code: "mfa_webauthn_enroll_not_enabled",
            message: "MFA enroll is disabled for WebAuthn",
        },
    }
}

fn verification_disabled(kind: FactorType) -> Parts {
    match kind {
        FactorType::Totp => Parts {
            status: 422,
            code: "mfa_totp_verify_not_enabled",
            message: "MFA verification is disabled for TOTP",
        },
        FactorType::Phone => Parts {
            status: 422,
            code: "mfa_phone_verify_not_enabled",
            message: "MFA verification is disabled for Phone",
        },
        FactorType::Webauthn => Parts {
            status: 422,
            code: "mfa_webauthn_verify_not_enabled",
            message: "MFA verification is disabled for WebAuthn",
        },
    }
}
