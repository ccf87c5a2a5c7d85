//! Mail: what one is, the port that sends it, and the two ways to send.
//!
//! [`SmtpMailer`] hands mails to a server that the operator names; [`Captured`] keeps them for development. Whoever sends takes a
//! [`Mailer`] and decides by [`MailError::is_transient`] whether another try makes sense.
//!
//! `message.rs` holds the parsed types: what reaches a header or the SMTP dialogue cannot contain a line break.
//! `format.rs` writes a mail as RFC 5322 text, `connection.rs` opens the connection, TLS included, `smtp.rs` sends.

mod capture;
mod connection;
mod format;
mod message;
mod none;
mod reply;
mod smtp;

use futures_util::future::BoxFuture;

pub use capture::{Captured, CapturedMessage, MessageKind};
pub use message::{Address, AddressError, HeaderText, HeaderTextError, Mail};
pub use none::NoMailer;
pub use smtp::{SmtpConfig, SmtpConfigError, SmtpMailer, TlsMode};

/// Sends mails. The port between the services and the way that mail leaves.
pub trait Mailer: Send + Sync {
    /// Sends one mail; done when the next server has taken responsibility for it.
    ///
    /// # Errors
    /// [`MailError::Permanent`] if another try would end the same way, otherwise [`MailError::Transient`].
    fn send(&self, mail: Mail) -> BoxFuture<'_, Result<(), MailError>>;
}

/// Why a mail was not sent. The text is for the operator's log: it holds the codes that the server
/// answered with and nothing of the mail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// This mail cannot be sent, now or later: the server refused its recipient or its content.
    #[error("the mail was refused: {0}")]
    Permanent(String),
    /// Something between us and the recipient does not work: worth another try.
    #[error("the mail could not be sent for now: {0}")]
    Transient(String),
}

impl MailError {
    /// Whether another try makes sense.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }
}
