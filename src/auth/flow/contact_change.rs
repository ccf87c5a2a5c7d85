//! Giving an account the address or number that it was to get, in one place for both ways there: at once, and after a
//! confirmation.

use super::sign_up;
use crate::auth::error::AuthError;
use crate::auth::model::{Account, Contact};
use crate::auth::outbox::{self, Notice};
use crate::auth::state::{Connection, Parts};
use crate::auth::store::users;

/// Makes the pending contact the account's, confirmed, and tells whoever had the account before: a former address hears of
/// the new one, the address hears of a new number.
pub(crate) async fn apply(
    state: &Parts,
    connection: &mut Connection,
    account: &Account,
    contact: &Contact,
) -> Result<(), AuthError> {
    users::apply_change(connection, account.id, contact, state.now()).await.map_err(sign_up::taken)?;
    sign_up::confirm(connection, account, contact).await?;
    let notice = match contact {
        Contact::Email(to) => Notice::EmailChanged { to },
        Contact::Phone(to) => Notice::PhoneChanged { to },
    };
    outbox::inform(state, connection, account, &notice).await
}
