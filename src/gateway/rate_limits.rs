//! How many requests a service takes, by address, key and user.

use std::sync::Arc;

use crate::kernel::http::RequestContext;
use crate::kernel::limits::{LimitKey, LimitSubject, Limiter, Quota};

/// The quotas of one service; all off by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct RateLimits {
    /// For each client address (IPv6 by /64).
    pub per_ip: Option<Quota>,
    /// For each API key or token.
    pub per_key: Option<Quota>,
    /// For each user.
    pub per_user: Option<Quota>,
}

impl RateLimits {
    /// Counts the request against each quota; the seconds to wait where one is exhausted.
    pub(super) async fn check(
        &self,
        rule: &'static str,
        context: &RequestContext,
        limiter: &Arc<dyn Limiter>,
    ) -> Option<u64> {
        let caller = context.caller.as_ref();
        let by_ip = self.per_ip.map(|quota| (LimitSubject::ip(context.client_ip), quota));
        let fingerprint = caller.and_then(|caller| caller.token_fingerprint.clone());
        let by_key = self.per_key.zip(fingerprint).map(|(quota, key)| (LimitSubject::Key(key), quota));
        let user = caller.and_then(|caller| caller.subject.clone());
        let by_user = self.per_user.zip(user).map(|(quota, user)| (LimitSubject::User(user), quota));
        for (subject, quota) in [by_ip, by_key, by_user].into_iter().flatten() {
            let key = LimitKey { rule, object: None, subject };
            if let Some(seconds) = limiter.take(&key, quota).await.retry_after_seconds() {
                return Some(seconds);
            }
        }
        None
    }
}
