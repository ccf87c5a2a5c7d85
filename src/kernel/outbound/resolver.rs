//! Turns host names into addresses that may be dialled.
//!
//! The HTTP client dials exactly what comes out of here, so a name that changes its address between check and connection
//! (DNS rebinding) gains nothing: there is one lookup, and it is the checked one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::address::AddressGuard;
use super::target::TargetError;

/// Looks a name up. Tests answer from a list; the server asks the operating system.
pub trait Resolver: Send + Sync {
    /// All addresses of the name.
    fn lookup(&self, host: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn lookup(&self, host: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()) }
            .boxed()
    }
}

/// What the HTTP client asks: a lookup, then the guard.
pub(super) struct GuardedResolver {
    resolver: Arc<dyn Resolver>,
    guard: Arc<AddressGuard>,
}

impl GuardedResolver {
    pub(super) fn new(resolver: Arc<dyn Resolver>, guard: Arc<AddressGuard>) -> Self {
        Self { resolver, guard }
    }
}

impl reqwest::dns::Resolve for GuardedResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let found = self.resolver.lookup(name.as_str().to_owned());
        let guard = Arc::clone(&self.guard);
        async move {
            let found = found.await?;
            // One bad address condemns the name: an honest one does not mix the internet with our network.
            for address in &found {
                guard.check(*address).map_err(TargetError::Address)?;
            }
            let addresses = found.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as reqwest::dns::Addrs)
        }
        .boxed()
    }
}
