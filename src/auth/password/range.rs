//! Leaked passwords at an endpoint that is told the first five digits of a digest only (k-anonymity), as at Have I Been Pwned.

use std::time::Duration;

use url::Url;

use super::leaked::{RangeError, RangeSource, Reading};
use crate::kernel::outbound::{OutboundClient, Request};

/// The longest that a new password waits for the answer.
const TIME_LIMIT: Duration = Duration::from_secs(3);
/// The largest answer: about a thousand lines are usual.
const SIZE_LIMIT: usize = 512 * 1024;

/// The endpoint; the digits are appended to its address.
pub struct RangeEndpoint {
    client: OutboundClient,
    base: Url,
}

impl RangeEndpoint {
    /// `base` is as in `https://api.pwnedpasswords.com/range/`.
    pub fn new(client: OutboundClient, base: Url) -> Self {
        Self { client, base }
    }

    async fn ask(&self, prefix: &str) -> Result<String, RangeError> {
        let failed = |why: String| RangeError(why);
        let url = self.base.join(prefix).map_err(|error| failed(error.to_string()))?;
        let request = Request::get(url).time_limit(TIME_LIMIT).size_limit(SIZE_LIMIT);
        let answer = self.client.send(request).await.map_err(|error| failed(error.to_string()))?;
        if !answer.status.is_success() {
            return Err(failed(format!("it answered {}", answer.status)));
        }
        String::from_utf8(answer.body.to_vec()).map_err(|error| failed(error.to_string()))
    }
}

impl RangeSource for RangeEndpoint {
    fn range<'a>(&'a self, prefix: &'a str) -> Reading<'a> {
        Box::pin(self.ask(prefix))
    }
}
