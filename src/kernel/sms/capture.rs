//! Messages that nobody carries: kept in development, waiting elsewhere.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::{Sms, SmsError, SmsSender, international};
use crate::kernel::mail::Captured;

impl SmsSender for Captured {
    fn send<'a>(&'a self, sms: &'a Sms) -> BoxFuture<'a, Result<String, SmsError>> {
        self.sms(&international(&sms.to), &sms.text);
        std::future::ready(Ok(String::new())).boxed()
    }
}

/// Carries nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSms;

impl SmsSender for NoSms {
    fn send<'a>(&'a self, _: &'a Sms) -> BoxFuture<'a, Result<String, SmsError>> {
        std::future::ready(Err(SmsError::NotConfigured)).boxed()
    }
}
