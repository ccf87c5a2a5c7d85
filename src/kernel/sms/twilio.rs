//! Twilio's Messages API (version 2010-04-01), which several services imitate: a form, basic authentication, JSON back.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use url::Url;

use super::{Sms, SmsChannel, SmsError, SmsSender, international};
use crate::kernel::outbound::{OutboundClient, Request};
use crate::kernel::secret::Secret;

/// The account that sends.
#[derive(Clone, Debug)]
pub struct TwilioConfig {
    /// `https://api.twilio.com`, or another service that speaks the same.
    pub base_url: Url,
    /// The account's SID (`AC...`).
    pub account_sid: String,
    /// The account's token.
    pub auth_token: Secret,
    /// The sender: a number, an alphanumeric name, or the SID of a messaging service (`MG...`).
    pub from: String,
}

/// Sends through a Twilio account.
#[derive(Clone)]
pub struct TwilioSender {
    client: OutboundClient,
    config: TwilioConfig,
    messages: Url,
}

#[derive(Deserialize)]
struct Accepted {
    sid: String,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
}

impl TwilioSender {
    /// A sender of this account; `None` if the base URL cannot have a path.
    pub fn new(client: OutboundClient, config: TwilioConfig) -> Option<Self> {
        let mut messages = config.base_url.clone();
        messages.path_segments_mut().ok()?.pop_if_empty().extend([
            "2010-04-01",
            "Accounts",
            &config.account_sid,
            "Messages.json",
        ]);
        Some(Self { client, config, messages })
    }

    fn request(&self, sms: &Sms) -> Request {
        let prefix = match sms.channel {
            SmsChannel::Sms => "",
            SmsChannel::Whatsapp => "whatsapp:",
        };
        let from = &self.config.from;
        let is_number = from.trim_start_matches('+').bytes().all(|b| b.is_ascii_digit());
        let sender = match sms.channel {
            _ if from.starts_with("MG") => ("MessagingServiceSid", from.clone()),
            _ if is_number => ("From", format!("{prefix}{}", international(from))),
            _ => ("From", format!("{prefix}{from}")),
        };
        let to = format!("{prefix}{}", international(&sms.to));
        let fields = [("To", to.as_str()), (sender.0, sender.1.as_str()), ("Body", sms.text.as_str())];
        Request::form(self.messages.clone(), fields)
            .basic_auth(&self.config.account_sid, &self.config.auth_token)
    }
}

impl SmsSender for TwilioSender {
    fn send<'a>(&'a self, sms: &'a Sms) -> BoxFuture<'a, Result<String, SmsError>> {
        async move {
            let answer = self.client.send(self.request(sms)).await?;
            if answer.status.is_success() {
                return answer.json::<Accepted>().map(|accepted| accepted.sid).map_err(|_| SmsError::Answer);
            }
            let code = answer.json::<Refusal>().ok().map(|refusal| refusal.code);
            Err(SmsError::Refused { status: answer.status.as_u16(), code })
        }
        .boxed()
    }
}
