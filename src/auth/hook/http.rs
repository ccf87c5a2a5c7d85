//! Calls hooks over HTTP: a POST signed by Standard Webhooks, a few tries, one time limit over all of them.
//!
//! The limit is for the whole call, tries and pauses included: a login never waits longer for a hook (threat J03).

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use ::http::header::RETRY_AFTER;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::error::{HookError, read_reply};
use crate::kernel::clock::Clock;
use crate::kernel::outbound::{OutboundClient, OutboundError, Request, Response, WebhookSigner};
use crate::kernel::random::Random;

/// Largest reply, in bytes.
pub const REPLY_LIMIT: usize = 200 * 1024;
const TRIES: u32 = 3;
/// Before another try, unless the hook asks for another pause.
const PAUSE: Duration = Duration::from_secs(2);

/// Waits between tries; the server sleeps, tests only note it.
pub type Pause = Arc<dyn Fn(Duration) -> BoxFuture<'static, ()> + Send + Sync>;

/// The pause that does sleep.
pub fn sleep() -> Pause {
    Arc::new(|pause| tokio::time::sleep(pause).boxed())
}

/// One configured hook.
#[derive(Clone)]
pub struct HttpHook {
    /// Where it is.
    pub url: Url,
    /// Signs what it gets.
    pub signer: WebhookSigner,
}

/// Calls hooks.
#[derive(Clone)]
pub struct HookCaller {
    /// Sends the requests.
    pub client: OutboundClient,
    /// Dates them.
    pub clock: Clock,
    /// Names them.
    pub random: Random,
    /// Waits between tries: [`sleep`].
    pub pause: Pause,
    /// For one call with all its tries: 5 seconds on the wire's terms.
    pub time_limit: Duration,
}

impl HookCaller {
    /// Calls the hook and reads its output.
    pub async fn call<T: DeserializeOwned>(
        &self,
        hook: &HttpHook,
        input: &impl Serialize,
    ) -> Result<T, HookError> {
        let body = Bytes::from(serde_json::to_vec(input).map_err(HookError::Input)?);
        let answer = tokio::time::timeout(self.time_limit, self.tries(hook, body))
            .await
            .unwrap_or_else(|_| Err(self.timed_out()))?;
        read_answer(&answer)
    }

    async fn tries(&self, hook: &HttpHook, body: Bytes) -> Result<Response, HookError> {
        let id = format!("msg_{}", hex::encode(self.random.bytes::<16>()));
        for turn in 1..=TRIES {
            let pause = match self.try_once(hook, &id, &body).await? {
                ControlFlow::Break(answer) => return Ok(answer),
                ControlFlow::Continue(pause) => pause,
            };
            if turn == TRIES || pause >= self.time_limit {
                break;
            }
            (self.pause)(pause).await;
        }
        Err(HookError::TimeoutAfterRetry)
    }

    /// An answer that ends the call, or the pause before another try.
    async fn try_once(
        &self,
        hook: &HttpHook,
        id: &str,
        body: &Bytes,
    ) -> Result<ControlFlow<Response, Duration>, HookError> {
        let headers = hook.signer.headers(id, self.clock.unix_seconds(), body);
        let request = Request::post(hook.url.clone(), "application/json", body.clone())
            .time_limit(self.time_limit)
            .size_limit(REPLY_LIMIT);
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        match self.client.send(request).await {
            Ok(answer) => Ok(judge(answer)),
            Err(OutboundError::Connect(_) | OutboundError::Exchange(_)) => Ok(ControlFlow::Continue(PAUSE)),
            Err(OutboundError::TimedOut) => Err(self.timed_out()),
            Err(OutboundError::TooLarge(limit)) => Err(HookError::TooLarge(limit)),
            Err(other) => Err(HookError::Outbound(other)),
        }
    }

    fn timed_out(&self) -> HookError {
        HookError::Timeout(self.time_limit.as_secs_f32())
    }
}

/// Tries again on a server's trouble, and on "too many requests" if the hook says that later is fine.
fn judge(answer: Response) -> ControlFlow<Response, Duration> {
    let retry_after = answer.headers.get(RETRY_AFTER);
    // A date, or `true` as some hooks say, means the usual pause.
    let seconds = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let pause = seconds.map_or(PAUSE, Duration::from_secs);
    match answer.status {
        StatusCode::TOO_MANY_REQUESTS if retry_after.is_some() => ControlFlow::Continue(pause),
        status if status.is_server_error() => ControlFlow::Continue(pause),
        _ => ControlFlow::Break(answer),
    }
}

fn read_answer<T: DeserializeOwned>(answer: &Response) -> Result<T, HookError> {
    match answer.status {
        StatusCode::NO_CONTENT => read_reply(b""),
        status if status.is_success() && !answer.is_json() => Err(HookError::ContentType),
        status if status.is_success() => read_reply(&answer.body),
        // A refusal in the agreed form is passed on whatever the status; all else is not for users to read.
        status => match read_reply::<serde::de::IgnoredAny>(&answer.body) {
            Err(rejected @ HookError::Rejected { .. }) if answer.is_json() => Err(rejected),
            _ => Err(HookError::Status(status.as_u16())),
        },
    }
}
