//! Tells caches in front of the server what they must not serve any more: a POST, signed by Standard Webhooks.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::SettingError;
use crate::kernel::clock::Clock;
use crate::kernel::config::PurgeWebhookConfig;
use crate::kernel::jobs::{Job, JobHandler, JobOutcome, RunningJob};
use crate::kernel::outbound::{OutboundClient, Request, WebhookSigner};
use crate::storage::metrics;
use crate::storage::store::purges::PURGE_JOB;

/// The longest that one call may take.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// The largest answer that is read; nothing in it matters.
const LARGEST: usize = 64 * 1024;

/// Tells caches.
pub struct TellCaches {
    url: Url,
    signer: WebhookSigner,
    client: OutboundClient,
    clock: Clock,
}

/// What changed. Without names it is all of the bucket, without a bucket everything.
#[derive(Serialize, Deserialize)]
struct Change {
    #[serde(rename = "type", default = "kind")]
    kind: String,
    bucket: Option<String>,
    names: Option<Vec<String>>,
}

fn kind() -> String {
    PURGE_JOB.to_owned()
}

impl TellCaches {
    /// As the configuration says; none where nobody is to be told.
    pub fn new(
        config: &PurgeWebhookConfig,
        client: OutboundClient,
        clock: Clock,
    ) -> Result<Option<Self>, SettingError> {
        let Some(url) = config.url.as_deref() else { return Ok(None) };
        let url = Url::parse(url)
            .map_err(|error| SettingError::new("storage.purge_webhook.url", error.to_string()))?;
        let wrong = |reason: &str| SettingError::new("storage.purge_webhook.secret", reason);
        let secret = config.secret.as_ref().ok_or_else(|| wrong("is needed with `url`"))?;
        let signer = WebhookSigner::parse(secret).map_err(|error| wrong(&error.to_string()))?;
        Ok(Some(Self { url, signer, client, clock }))
    }

    async fn tell(&self, job: &Job) -> JobOutcome {
        let change = Change::deserialize(&job.payload).and_then(|change| serde_json::to_vec(&change));
        let body = match change {
            Ok(body) => body,
            Err(error) => return JobOutcome::Dead(error.to_string()),
        };
        // The same at every attempt, so that the receiver knows what it has done already.
        let id = format!("purge_{}", job.id);
        let headers = self.signer.headers(&id, self.clock.unix_seconds(), &body);
        let request = Request::post(self.url.clone(), "application/json", body)
            .time_limit(TIME_LIMIT)
            .size_limit(LARGEST);
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        let failure = match self.client.send(request).await {
            Ok(answer) if answer.status.is_success() => {
                metrics::told_caches("done");
                return JobOutcome::Done;
            }
            Ok(answer) => format!("it answers {}", answer.status.as_u16()),
            Err(error) => error.to_string(),
        };
        metrics::told_caches("failed");
        tracing::warn!(
            job = job.id,
            attempt = job.attempt,
            "caches cannot be told what is out of date: {failure}"
        );
        JobOutcome::Retry(failure)
    }
}

impl JobHandler for TellCaches {
    fn kind(&self) -> &'static str {
        PURGE_JOB
    }

    fn run<'a>(&'a self, job: &'a Job) -> RunningJob<'a> {
        Box::pin(self.tell(job))
    }
}
