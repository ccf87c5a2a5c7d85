//! Making accounts, wherever they come from.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::auth::error::AuthError;
use crate::auth::event::{SecurityEvent, raise};
use crate::auth::input::Username;
use crate::auth::model::{Account, Contact, Identity};
use crate::auth::oauth::Profile;
use crate::auth::outbox;
use crate::auth::refusal::Refusal;
use crate::auth::state::{Connection, Origin, Parts};
use crate::auth::store::{blocklists, broken_constraint, identities, users};
use crate::kernel::sanitise::{imitated_address, username_key};

/// An account to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewUser<'a> {
    /// How it is reached.
    pub(crate) contact: Option<&'a Contact>,
    /// The name to sign in with.
    pub(crate) username: Option<&'a Username>,
    /// The hash of its password.
    pub(crate) password_hash: Option<&'a str>,
    /// What the user says of itself; a JSON object.
    pub(crate) metadata: &'a Value,
    /// What the server says of it; unless set, that its provider is the contact's.
    pub(crate) app_metadata: Option<&'a Value>,
    /// The provider that it comes from and what that says; unless set, its identity is the one of the contact.
    pub(crate) identity: Option<(&'a str, &'a Profile)>,
    /// Its id; a random one unless set.
    pub(crate) id: Option<Uuid>,
    /// The role that its tokens name; that of signed-in users unless set.
    pub(crate) role: Option<&'a str>,
    /// Whether it has no identifier.
    pub(crate) is_anonymous: bool,
    /// Who asks for it; none for a server.
    pub(crate) origin: Option<&'a Origin>,
}

impl Default for NewUser<'_> {
    fn default() -> Self {
        static NOTHING: Value = Value::Null;
        Self {
            contact: None,
            username: None,
            password_hash: None,
            metadata: &NOTHING,
            app_metadata: None,
            identity: None,
            id: None,
            role: None,
            is_anonymous: false,
            origin: None,
        }
    }
}

/// Refuses what the project has blocked: domains of addresses, names, words in names.
pub(crate) async fn check_blocklists(state: &Parts, new: &NewUser<'_>) -> Result<(), AuthError> {
    let domain = match new.contact {
        Some(Contact::Email(email)) => email.rsplit_once('@').map(|(_, domain)| domain),
        _ => None,
    };
    let username = new.username.map(|username| username.normalised.as_str());
    // Blocked words are kept in this form too: neither case nor another style of letters gets past them.
    let words: Vec<String> =
        ["name", "full_name", "first_name", "last_name", "user_name", "preferred_username"]
            .iter()
            .filter_map(|field| new.metadata.get(field).and_then(Value::as_str))
            .chain(username)
            .map(username_key)
            .collect();
    if domain.is_none() && username.is_none() && words.is_empty() {
        return Ok(());
    }
    let mut connection = state.connection().await?;
    if blocklists::blocks(&mut connection, domain, username, &words).await? {
        return Err(Refusal::Blocked.into());
    }
    Ok(())
}

/// Asks the hook that may refuse new users, if there is one.
pub(crate) async fn ask_hook(state: &Parts, new: &NewUser<'_>, origin: &Origin) -> Result<(), AuthError> {
    let mut user = pretend(state, new);
    user["role"] = new.role.unwrap_or(state.settings.authenticated_role).into();
    user["is_anonymous"] = new.is_anonymous.into();
    Ok(state.hooks.before_user_created(user, origin.ip.to_string()).await?)
}

/// Makes the account, its settings and the identity of its contact.
pub(crate) async fn create(
    state: &Parts,
    connection: &mut Connection,
    new: &NewUser<'_>,
) -> Result<Account, AuthError> {
    let id = new.id.unwrap_or_else(|| state.new_id());
    let by_contact = new.contact.map_or_else(|| json!({}), app_metadata);
    let (email, phone) = match new.contact {
        Some(Contact::Email(email)) => (Some(email.as_str()), None),
        Some(Contact::Phone(phone)) => (None, Some(phone.as_str())),
        None => (None, None),
    };
    let row = users::NewAccount {
        id,
        role: new.role.unwrap_or(state.settings.authenticated_role),
        email,
        phone,
        encrypted_password: new.password_hash,
        app_metadata: new.app_metadata.unwrap_or(&by_contact),
        user_metadata: new.metadata,
        is_anonymous: new.is_anonymous,
        now: state.now(),
    };
    users::insert(connection, &row).await.map_err(taken)?;
    if let Some((provider, profile)) = new.identity {
        identities::put(connection, id, (provider, &profile.subject), &profile.identity_data()).await?;
    } else if let Some(contact) = new.contact {
        let data = identity_data(id, contact, false);
        let name = (contact.provider(), id.to_string());
        identities::put(connection, id, (name.0, &name.1), &data).await?;
    }
    if let Some(username) = new.username {
        let names = (username.shown.as_str(), username.normalised.as_str());
        users::set_username(connection, id, names).await.map_err(taken)?;
    }
    if let (Some(Contact::Email(email)), Some(origin)) = (new.contact, new.origin) {
        flag_look_alike(connection, (id, email), origin).await?;
    }
    outbox::tell_of_user(state, connection, id, new.origin.map(|origin| origin.ip)).await?;
    let account = users::by_id(connection, id).await?;
    account.ok_or_else(|| AuthError::Internal("the new account is gone".to_owned()))
}

/// Reports an address that reads like that of an existing user, whom its owner may want to be taken for. It is no reason to
/// refuse it.
async fn flag_look_alike(
    connection: &mut Connection,
    (id, email): (Uuid, &str),
    origin: &Origin,
) -> Result<(), AuthError> {
    let Some(imitated) = imitated_address(email).map(Contact::Email) else { return Ok(()) };
    let Some(other) = users::by_contact(connection, &imitated).await? else { return Ok(()) };
    let event = SecurityEvent::LookAlikeAddress { resembles: other.id };
    raise(connection, event, Some(id), origin).await
}

/// Whether there is nothing to an account but a contact: no password, no other way in.
pub(crate) async fn is_bare(connection: &mut Connection, account: &Account) -> Result<bool, AuthError> {
    let own = account.id.to_string();
    let others = identities::of_user(connection, account.id).await?.into_iter();
    let mut others = others.filter(|identity| {
        !(matches!(identity.provider.as_str(), "email" | "phone") && identity.provider_id == own)
    });
    Ok(account.encrypted_password.is_none() && others.next().is_none())
}

/// Which refusal a broken constraint comes to.
pub(crate) fn taken(error: sqlx::Error) -> AuthError {
    match broken_constraint(&error) {
        Some("users_phone_key") => Refusal::PhoneExists.into(),
        Some("auth_usernames_normalised_key") => Refusal::UsernameExists.into(),
        Some("users_email_partial_key" | "users_email_key" | "users_pkey") => Refusal::EmailExists.into(),
        _ => error.into(),
    }
}

/// Counts the contact as confirmed, in the account and in its identity.
pub(crate) async fn confirm(
    connection: &mut Connection,
    account: &Account,
    contact: &Contact,
) -> Result<(), AuthError> {
    users::confirm(connection, account.id, contact).await?;
    let data = identity_data(account.id, contact, true);
    identities::put(connection, account.id, (contact.provider(), &account.id.to_string()), &data).await?;
    describe(connection, account.id).await
}

/// What the identity of a contact says.
pub(crate) fn identity_data(user: Uuid, contact: &Contact, is_confirmed: bool) -> Value {
    match contact {
        Contact::Email(email) => {
            json!({"sub": user, "email": email, "email_verified": is_confirmed, "phone_verified": false})
        }
        Contact::Phone(phone) => {
            json!({"sub": user, "phone": phone, "email_verified": false, "phone_verified": is_confirmed})
        }
    }
}

/// What the server says of a user with this contact.
pub(crate) fn app_metadata(contact: &Contact) -> Value {
    json!({"provider": contact.provider(), "providers": [contact.provider()]})
}

/// The answer for an address that has an account, as the contract has it for confirmed ones: without role and identities.
pub(crate) fn pretend(state: &Parts, new: &NewUser<'_>) -> Value {
    let now = state.now();
    let text = now.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    let (email, phone) = match new.contact {
        Some(Contact::Email(email)) => (email.as_str(), ""),
        Some(Contact::Phone(phone)) => ("", phone.as_str()),
        None => ("", ""),
    };
    let mut user = json!({
        "id": state.new_id(), "aud": state.settings.audience, "role": "", "email": email, "phone": phone,
    });
    if let Some(username) = new.username {
        user["username"] = json!(username.shown);
    }
    user["confirmation_sent_at"] = json!(text);
    user["app_metadata"] = new.contact.map(app_metadata).unwrap_or_default();
    user["user_metadata"] = new.metadata.clone();
    user["identities"] = json!([]);
    user["created_at"] = json!(text);
    user["updated_at"] = json!(text);
    user["is_anonymous"] = json!(false);
    user
}

/// The same, but like the answer for a new account in every field: of what there is nobody learns anything.
pub(crate) fn pretend_new(state: &Parts, new: &NewUser<'_>) -> Value {
    let mut user = pretend(state, new);
    user["role"] = new.role.unwrap_or(state.settings.authenticated_role).into();
    let (Some(contact), Some(id)) =
        (new.contact, user["id"].as_str().and_then(|id| Uuid::parse_str(id).ok()))
    else {
        return user;
    };
    let now = Some(state.now());
    let identity = Identity {
        id: state.new_id(),
        provider_id: id.to_string(),
        user_id: id,
        identity_data: identity_data(id, contact, false),
        provider: contact.provider().to_owned(),
        last_sign_in_at: now,
        created_at: now,
        updated_at: now,
        email: matches!(contact, Contact::Email(_)).then(|| contact.as_str().to_owned()),
    };
    user["identities"] = json!([identity.shown()]);
    user
}

/// Says in the account which providers it has: all of them, and the one that it began with.
pub(crate) async fn describe(connection: &mut Connection, user: Uuid) -> Result<(), AuthError> {
    let account = users::by_id(connection, user).await?;
    let account = account.ok_or_else(|| AuthError::Internal("the account is gone".to_owned()))?;
    let known = identities::of_user(connection, user).await?;
    let app = with_providers(&account.raw_app_meta_data, &known);
    Ok(users::set_metadata(connection, user, (&app, &account.raw_user_meta_data)).await?)
}

fn with_providers(app: &Value, identities: &[Identity]) -> Value {
    let mut app = app.as_object().cloned().unwrap_or_default();
    let mut providers: Vec<&str> = Vec::new();
    for identity in identities {
        if !providers.contains(&identity.provider.as_str()) {
            providers.push(&identity.provider);
        }
    }
    match providers.first() {
        Some(first) => app.insert("provider".to_owned(), json!(first)),
        None => app.remove("provider"),
    };
    app.insert("providers".to_owned(), json!(providers));
    Value::Object(app)
}
