//! A mail as the text that SMTP carries (RFC 5322, MIME). Pure.
//!
//! Bodies leave as quoted-printable or base64 wherever they are not short ASCII lines, so that every server can carry them.

use std::time::{Duration, SystemTime};

use lettre::Message;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

use super::{Mail, MailError};

/// What a message needs besides the mail itself.
pub(super) struct Stamp {
    /// Seconds since the Unix epoch, for the header `Date`.
    pub now: i64,
    /// Random bytes for `Message-ID` and the boundary of the parts: who can foretell the boundary can end a part within a
    /// text of his own.
    pub random: [u8; 32],
}

/// Writes `mail` from `from`.
pub(super) fn message(mail: Mail, from: &Mailbox, stamp: &Stamp) -> Result<Message, MailError> {
    let (id, boundary) = stamp.random.split_at(16);
    let since_epoch = Duration::from_secs(u64::try_from(stamp.now).unwrap_or_default());
    let builder = Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, mail.to.for_envelope()))
        .subject(mail.subject.as_str())
        .date(SystemTime::UNIX_EPOCH + since_epoch)
        .message_id(Some(format!("<{}@{}>", hex::encode(id), from.email.domain())))
        // RFC 3834: asks programs that answer mails by themselves not to.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ));
    let text = part(ContentType::TEXT_PLAIN, mail.text);
    let message = match mail.html {
        None => builder.singlepart(text),
        Some(html) => {
            let parts = MultiPart::alternative().boundary(hex::encode(boundary));
            builder.multipart(parts.singlepart(text).singlepart(part(ContentType::TEXT_HTML, html)))
        }
    };
    message.map_err(|error| MailError::Permanent(error.to_string()))
}

fn part(kind: ContentType, body: String) -> SinglePart {
    SinglePart::builder().header(kind).header(ContentTransferEncoding::QuotedPrintable).body(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::mail::HeaderText;

    fn formatted(subject: &str, html: Option<&str>) -> String {
        let mail = Mail {
            to: "ada@example.com".parse().unwrap(),
            subject: HeaderText::fitted(subject),
            text: "Line one\n.\nGrüße\n".to_owned(),
            html: html.map(str::to_owned),
        };
        let from = Mailbox::new(Some("Größter Anbieter".to_owned()), "no-reply@example.org".parse().unwrap());
        let stamp = Stamp { now: 1_700_000_000, random: [7; 32] };
        String::from_utf8(message(mail, &from, &stamp).unwrap().formatted()).unwrap()
    }

    /// The names of the headers, in order.
    fn headers(message: &str) -> Vec<&str> {
        let (head, _) = message.split_once("\r\n\r\n").unwrap();
        let lines = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        lines.map(|line| line.split_once(": ").unwrap().0).collect()
    }

    #[test]
    fn a_mail_has_its_date_its_id_of_our_domain_and_asks_for_no_automatic_answer() {
        let message = formatted("Hello", None);

        for line in [
            "From: =?utf-8?b?",
            "To: ada@example.com\r\n",
            "Subject: Hello\r\n",
            "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n",
            "Message-ID: <07070707070707070707070707070707@example.org>\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Content-Type: text/plain; charset=utf-8\r\n",
            "Gr=C3=BC=C3=9Fe",
        ] {
            assert!(message.contains(line), "{line} is missing in\n{message}");
        }
    }

    #[test]
    fn text_and_html_are_alternatives_with_the_better_one_last() {
        let message = formatted("Hello", Some("<p>Grüße</p>"));
        let text = message.find("Content-Type: text/plain").unwrap();
        let html = message.find("Content-Type: text/html").unwrap();

        assert!(message.contains("Content-Type: multipart/alternative;"));
        assert!(message.contains(&format!("boundary=\"{}\"", "07".repeat(16))));
        assert!(text < html);
        assert!(message.is_ascii());
    }

    #[test]
    fn b18_a_subject_with_line_breaks_adds_no_header() {
        let plain = formatted("Hello", Some("<p>Hello</p>"));
        for subject in [
            "Hello\r\nBcc: eve@example.org",
            "Hello\nX-Evil: 1",
            "Hello\rX-Evil: 1",
            "Grüße\r\n\r\n<script>",
            "=?utf-8?q?a=0D=0ABcc:_eve@example.org?=",
        ] {
            let message = formatted(subject, Some("<p>Hello</p>"));
            assert_eq!(headers(&message), headers(&plain), "{message}");
        }
    }
}
