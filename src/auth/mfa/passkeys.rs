//! Passkeys: registering one, and signing in with nothing else. The authenticator must have recognised its user, so that
//! the passkey is no weaker than a password; it is one proof (`aal1`) all the same, as clients expect.

use serde_json::{Value, json};
use uuid::Uuid;

use super::refusal::FactorRefusal;
use super::security_key::{read, refused};
use super::webauthn::{
    AskedUser, Assertion, Credential, Expected, Registration, RelyingParty, authenticate as check_assertion,
    creation_options, new_challenge, register as check_registration, request_options,
};
use super::{refuse_anonymous, span, timeout};
use crate::auth::error::AuthError;
use crate::auth::flow::session::{Grant, begin};
use crate::auth::model::{Account, AssuranceLevel, FactorType, Method, Passkey, Session};
use crate::auth::outbox::{self, Notice};
use crate::auth::refusal::Refusal;
use crate::auth::state::{Connection, Origin, Parts};
use crate::auth::store::{broken_constraint, factors, passkeys, users};

const REGISTRATION: &str = "registration";
const AUTHENTICATION: &str = "authentication";

/// What the browser is asked.
#[derive(Debug)]
pub(crate) struct Begun {
    ceremony: Uuid,
    options: Value,
    expires_at: i64,
}

impl Begun {
    /// The body of the answer.
    pub(crate) fn shown(&self) -> Value {
        json!({"challenge_id": self.ceremony, "options": self.options, "expires_at": self.expires_at})
    }
}

/// The relying party, where there are passkeys.
pub(crate) fn party(state: &Parts) -> Result<&RelyingParty, AuthError> {
    let party = state.relying_party.as_ref().filter(|_| state.settings.config.mfa.passkeys);
    party.ok_or_else(|| FactorRefusal::PasskeysDisabled.into())
}

/// That this session may change the passkeys of its user: who has a second factor must have given it, or a password would
/// do to get around it later (threat B11).
pub(crate) async fn check_level(
    connection: &mut Connection,
    account: &Account,
    session: &Session,
) -> Result<(), AuthError> {
    let lacks = session.aal < AssuranceLevel::Aal2 && factors::has_verified(connection, account.id).await?;
    if lacks { Err(Refusal::InsufficientAal.into()) } else { Ok(()) }
}

/// Begins a registration.
pub(crate) async fn begin_registration(
    state: &Parts,
    account: &Account,
    session: &Session,
) -> Result<Begun, AuthError> {
    let party = party(state)?;
    refuse_anonymous(account)?;
    if account.is_sso_user {
        return Err(Refusal::FeatureDisabled.into());
    }
    let mut connection = state.connection().await?;
    check_level(&mut connection, account, session).await?;
    let known = passkeys::of_user(&mut connection, account.id).await?;
    check_number(state, known.len())?;
    let known: Vec<Credential> = known.into_iter().map(credential).collect();
    let challenge = new_challenge(state.random.bytes());
    let id = account.id.to_string();
    let name = account.email.as_deref().or(account.phone.as_deref()).unwrap_or(&id);
    let user = AskedUser { handle: account.id.as_bytes(), name, is_passkey: true };
    let options = creation_options(party, &challenge, user, (&known, timeout(state)));
    begun(state, &mut connection, (REGISTRATION, Some(account.id)), (challenge, options)).await
}

/// Ends a registration: the user has a passkey more.
pub(crate) async fn register(
    state: &Parts,
    account: &Account,
    session: &Session,
    (ceremony, answer): (Uuid, &Value),
) -> Result<Passkey, AuthError> {
    let party = party(state)?;
    let registration: Registration = read(answer)?;
    let challenge = take(state, ceremony, (REGISTRATION, Some(account.id))).await?;
    let expected = Expected { party, challenge: &challenge, user_verification: true };
    let made = check_registration(expected, &registration);
    let made = made.map_err(|error| refused(error, FactorRefusal::CeremonyFailed))?;
    let passkey = Passkey {
        id: state.new_id(),
        user_id: account.id,
        credential_id: made.id,
        public_key: made.public_key,
        aaguid: (!made.aaguid.is_nil()).then_some(made.aaguid),
        sign_count: i64::from(made.sign_count),
        transports: json!(made.transports),
        backup_eligible: made.backup_eligible,
        backed_up: made.backed_up,
        friendly_name: String::new(),
        created_at: state.now(),
        last_used_at: None,
    };
    let mut transaction = state.begin().await?;
    // One registration of a user after the other, or the limit would not hold.
    users::lock(&mut transaction, account.id).await?.ok_or(Refusal::UserGone)?;
    check_level(&mut transaction, account, session).await?;
    check_number(state, passkeys::of_user(&mut transaction, account.id).await?.len())?;
    passkeys::insert(&mut transaction, &passkey).await.map_err(|error| match broken_constraint(&error) {
        Some("webauthn_credentials_credential_id_key") => FactorRefusal::CredentialExists.into(),
        _ => AuthError::from(error),
    })?;
    let notice = Notice::FactorEnrolled(FactorType::Webauthn);
    outbox::inform(state, &mut transaction, account, &notice).await?;
    state.commit(transaction).await?;
    Ok(passkey)
}

/// Takes a passkey from its user, whoever asks, and tells them.
pub(crate) async fn remove(
    state: &Parts,
    connection: &mut Connection,
    account: &Account,
    id: Uuid,
) -> Result<(), AuthError> {
    if !passkeys::remove(connection, account.id, id).await? {
        return Err(FactorRefusal::PasskeyNotFound.into());
    }
    outbox::inform(state, connection, account, &Notice::FactorUnenrolled(FactorType::Webauthn)).await
}

/// Begins a sign-in. Nothing says whose passkey it will be.
pub(crate) async fn begin_authentication(state: &Parts) -> Result<Begun, AuthError> {
    let challenge = new_challenge(state.random.bytes());
    let options = request_options(party(state)?, &challenge, (&[], timeout(state)));
    let mut connection = state.connection().await?;
    begun(state, &mut connection, (AUTHENTICATION, None), (challenge, options)).await
}

/// Ends a sign-in: the user of the passkey has a session. What is wrong with an account is told to who has its passkey.
pub(crate) async fn authenticate(
    state: &Parts,
    (ceremony, answer): (Uuid, &Value),
    origin: &Origin,
) -> Result<Grant, AuthError> {
    let party = party(state)?;
    let assertion: Assertion = read(answer)?;
    let challenge = take(state, ceremony, (AUTHENTICATION, None)).await?;
    let mut transaction = state.begin().await?;
    let passkey = passkeys::by_credential(&mut transaction, assertion.credential_id()).await?;
    let passkey = passkey.ok_or(FactorRefusal::CeremonyFailed)?;
    let (id, user) = (passkey.id, passkey.user_id);
    let expected = Expected { party, challenge: &challenge, user_verification: true };
    // Other systems call the user by the text of the id.
    let handles = [user.as_bytes().as_slice(), &user.to_string().into_bytes()];
    let seen = check_assertion(expected, &credential(passkey), &handles, &assertion);
    let seen = seen.map_err(|error| refused(error, FactorRefusal::CeremonyFailed))?;
    let account = users::lock(&mut transaction, user).await?;
    let account = account.filter(|account| !account.is_deleted()).ok_or(FactorRefusal::CeremonyFailed)?;
    let now = state.now();
    if account.is_banned(now) {
        return Err(Refusal::UserBanned.into());
    }
    if !account.is_confirmed() {
        return Err(FactorRefusal::Unconfirmed.into());
    }
    let seen = (i64::from(seen.sign_count), seen.backed_up);
    if !passkeys::mark_used(&mut transaction, id, seen, now).await? {
        return Err(FactorRefusal::CeremonyFailed.into());
    }
    let grant = begin(state, &mut transaction, user, Method::Passkey, origin).await?;
    transaction.commit().await?;
    Ok(grant)
}

fn check_number(state: &Parts, there_are: usize) -> Result<(), AuthError> {
    let most = usize::from(state.settings.config.mfa.max_factors);
    if there_are >= most { Err(FactorRefusal::TooManyPasskeys.into()) } else { Ok(()) }
}

async fn begun(
    state: &Parts,
    connection: &mut Connection,
    (kind, user): (&str, Option<Uuid>),
    (challenge, options): (String, Value),
) -> Result<Begun, AuthError> {
    let now = state.now();
    let ceremony = passkeys::Ceremony {
        id: state.new_id(),
        user_id: user,
        challenge_type: kind.to_owned(),
        session_data: json!({"challenge": challenge}),
        created_at: now,
        expires_at: now + span(state.settings.config.mfa.challenge_lifetime),
    };
    passkeys::begin(connection, &ceremony).await?;
    Ok(Begun { ceremony: ceremony.id, options, expires_at: ceremony.expires_at.timestamp() })
}

/// The challenge of a ceremony. It is gone from then on, also where its answer turns out to be wrong.
async fn take(state: &Parts, id: Uuid, of: (&str, Option<Uuid>)) -> Result<String, AuthError> {
    let ceremony = passkeys::take(&mut *state.connection().await?, id, of).await?;
    let ceremony = ceremony.ok_or(FactorRefusal::CeremonyNotFound)?;
    if ceremony.expires_at <= state.now() {
        return Err(FactorRefusal::CeremonyExpired.into());
    }
    let challenge = ceremony.session_data["challenge"].as_str();
    challenge.map(str::to_owned).ok_or_else(|| FactorRefusal::CeremonyNotFound.into())
}

/// A passkey as the standard's checks take it.
fn credential(passkey: Passkey) -> Credential {
    let transports = passkey.transports.as_array().map(Vec::as_slice).unwrap_or_default();
    Credential {
        transports: transports.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        id: passkey.credential_id,
        public_key: passkey.public_key,
        aaguid: passkey.aaguid.unwrap_or_default(),
        sign_count: u32::try_from(passkey.sign_count).unwrap_or(u32::MAX),
        user_verified: true,
        backup_eligible: passkey.backup_eligible,
        backed_up: passkey.backed_up,
    }
}
