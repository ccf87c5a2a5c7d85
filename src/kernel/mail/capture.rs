//! The outbox of development: mails and SMS are kept in memory instead of being sent.
//!
//! Bounded: the newest 200 messages stay. They hold links and codes that log in, so nothing of this is for production.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SecondsFormat};
use futures_util::future::BoxFuture;
use serde::Serialize;

use super::{Mail, MailError, Mailer};
use crate::kernel::clock::Clock;

/// How many messages are kept.
const CAPACITY: usize = 200;

/// What was captured, cheap to clone and shared by the mail and the SMS side.
#[derive(Clone)]
pub struct Captured {
    clock: Clock,
    outbox: Arc<Mutex<Outbox>>,
}

#[derive(Default)]
struct Outbox {
    /// Oldest first.
    messages: VecDeque<Arc<CapturedMessage>>,
    last_id: u64,
}

/// How a message would have travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageKind {
    /// By mail.
    Mail,
    /// By SMS, or another message to a telephone.
    Sms,
}

/// A message that was not sent but kept, as `/dev/mail` shows it.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct CapturedMessage {
    /// Counts up from 1 and is never used again, also after [`Captured::clear`].
    pub id: u64,
    /// Mail or SMS.
    pub kind: MessageKind,
    /// The address or the telephone number.
    pub to: String,
    /// The subject of a mail.
    pub subject: Option<String>,
    /// The plain text.
    pub text: String,
    /// The HTML of a mail that has it.
    pub html: Option<String>,
    /// When it was captured, RFC 3339 in UTC.
    pub created_at: String,
}

/// Messages carry links and codes that log in: they stay out of logs.
impl std::fmt::Debug for CapturedMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CapturedMessage").field("id", &self.id).field("to", &self.to).finish_non_exhaustive()
    }
}

impl Captured {
    /// An empty outbox.
    pub fn new(clock: Clock) -> Self {
        Self { clock, outbox: Arc::default() }
    }

    /// Keeps a mail.
    pub fn mail(&self, mail: Mail) {
        let Mail { to, subject, text, html } = mail;
        self.keep(MessageKind::Mail, to.to_string(), Some(subject.to_string()), text, html);
    }

    /// Keeps an SMS to a telephone number.
    pub fn sms(&self, to: &str, text: &str) {
        self.keep(MessageKind::Sms, to.to_owned(), None, text.to_owned(), None);
    }

    /// The messages, newest first; with `to`, those to this address or number alone, letter case aside.
    pub fn messages(&self, to: Option<&str>) -> Vec<Arc<CapturedMessage>> {
        let is_wanted = |message: &&Arc<CapturedMessage>| {
            to.is_none_or(|to| message.to.to_lowercase() == to.trim().to_lowercase())
        };
        self.outbox().messages.iter().rev().filter(is_wanted).cloned().collect()
    }

    /// One message, as long as it is among the newest.
    pub fn message(&self, id: u64) -> Option<Arc<CapturedMessage>> {
        self.outbox().messages.iter().find(|message| message.id == id).cloned()
    }

    /// Forgets all messages.
    pub fn clear(&self) {
        self.outbox().messages.clear();
    }

    fn keep(
        &self,
        kind: MessageKind,
        to: String,
        subject: Option<String>,
        text: String,
        html: Option<String>,
    ) {
        let created_at = DateTime::from_timestamp_millis(self.clock.unix_millis()).unwrap_or_default();
        let created_at = created_at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut outbox = self.outbox();
        outbox.last_id += 1;
        let message = CapturedMessage { id: outbox.last_id, kind, to, subject, text, html, created_at };
        if outbox.messages.len() == CAPACITY {
            outbox.messages.pop_front();
        }
        outbox.messages.push_back(Arc::new(message));
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mailer for Captured {
    fn send(&self, mail: Mail) -> BoxFuture<'_, Result<(), MailError>> {
        self.mail(mail);
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::mail::HeaderText;

    fn outbox() -> Captured {
        Captured::new(Clock::manual(1_700_000_000))
    }

    fn mail(to: &str) -> Mail {
        let subject = HeaderText::fitted("Hello");
        Mail { to: to.parse().unwrap(), subject, text: "Hello".to_owned(), html: Some("<p>Hello".to_owned()) }
    }

    #[test]
    fn messages_of_both_kinds_come_newest_first() {
        let captured = outbox();
        captured.mail(mail("ada@example.com"));
        captured.sms("+4915100000000", "123456");

        let all = captured.messages(None);
        assert_eq!(
            serde_json::to_value(&all).unwrap(),
            serde_json::json!([
                {"id": 2, "kind": "sms", "to": "+4915100000000", "subject": null, "text": "123456", "html": null,
                    "created_at": "2023-11-14T22:13:20.000Z"},
                {"id": 1, "kind": "mail", "to": "ada@example.com", "subject": "Hello", "text": "Hello",
                    "html": "<p>Hello", "created_at": "2023-11-14T22:13:20.000Z"},
            ])
        );
    }

    #[test]
    fn a_recipient_is_found_in_any_letter_case() {
        let captured = outbox();
        captured.mail(mail("Ada@example.com"));
        captured.mail(mail("eve@example.com"));

        let found = captured.messages(Some("ADA@example.com"));
        assert_eq!(found.iter().map(|message| message.id).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn the_newest_200_are_kept_and_ids_never_come_again() {
        let captured = outbox();
        for _ in 0..205 {
            captured.sms("+49", "a code");
        }
        assert_eq!(captured.messages(None).len(), 200);
        assert!(captured.message(5).is_none());
        assert!(captured.message(6).is_some());

        captured.clear();
        captured.sms("+49", "a code");
        assert_eq!(captured.messages(None)[0].id, 206);
    }

    #[tokio::test]
    async fn as_a_mailer_it_takes_everything() {
        let captured = outbox();
        assert_eq!(captured.send(mail("ada@example.com")).await, Ok(()));
        assert_eq!(captured.messages(None).len(), 1);
    }
}
