//! Any other SMS service: a signed JSON message to a URL of the operator.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use url::Url;

use super::{Sms, SmsError, SmsSender, international};
use crate::kernel::clock::Clock;
use crate::kernel::outbound::{OutboundClient, Request, WebhookSigner};
use crate::kernel::random::Random;

/// Posts `{"to","text","channel"}`, signed by Standard Webhooks. Any 2xx is success; a JSON reply may name the message in
/// `message_id`.
pub struct WebhookSender {
    /// Sends the request.
    pub client: OutboundClient,
    /// Where to.
    pub url: Url,
    /// Signs it.
    pub signer: WebhookSigner,
    /// Dates it.
    pub clock: Clock,
    /// Names it.
    pub random: Random,
}

#[derive(Default, Deserialize)]
struct Taken {
    #[serde(default)]
    message_id: String,
}

impl WebhookSender {
    fn request(&self, sms: &Sms) -> Result<Request, SmsError> {
        let sms = Sms { to: international(&sms.to), ..sms.clone() };
        let body = serde_json::to_vec(&sms).map_err(|_| SmsError::Answer)?;
        let id = format!("msg_{}", hex::encode(self.random.bytes::<16>()));
        let headers = self.signer.headers(&id, self.clock.unix_seconds(), &body);
        let request = Request::post(self.url.clone(), "application/json", body);
        Ok(headers.into_iter().fold(request, |request, (name, value)| request.header(name, value)))
    }
}

impl SmsSender for WebhookSender {
    fn send<'a>(&'a self, sms: &'a Sms) -> BoxFuture<'a, Result<String, SmsError>> {
        async move {
            let answer = self.client.send(self.request(sms)?).await?;
            if !answer.status.is_success() {
                return Err(SmsError::Refused { status: answer.status.as_u16(), code: None });
            }
            Ok(answer.json::<Taken>().unwrap_or_default().message_id)
        }
        .boxed()
    }
}
