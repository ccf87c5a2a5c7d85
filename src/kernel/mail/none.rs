//! Where no mail server is configured: mails wait in the queue, and the log says why.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::{Mail, MailError, Mailer};

/// Sends nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoMailer;

impl Mailer for NoMailer {
    fn send(&self, _: Mail) -> BoxFuture<'_, Result<(), MailError>> {
        let why = "no mail server is configured: set auth.smtp.host".to_owned();
        std::future::ready(Err(MailError::Transient(why))).boxed()
    }
}
