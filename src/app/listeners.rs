//! The listeners before anything is accepted on them, and where they are.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};

use crate::app::Stopping;
use crate::app::edge;
use crate::app::error::AppError;
use crate::app::front::Front;
use crate::app::unix_socket::{self, SocketFile};
use crate::gateway::Health;
use crate::gateway::health::RenderMetrics;
use crate::gateway::server::{self, Stop};
use crate::kernel::config::{Config, ServerConfig};

/// Where the public listener is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Place {
    /// The address, unless it is a Unix socket.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// The public URL, or the listener's own.
    pub(super) fn url(&self, config: &Config) -> String {
        match (&config.server.public_url, self) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Self::Tcp(address)) => format!("http://{address}"),
            (None, Self::Unix(path)) => format!("unix:{}", path.display()),
        }
    }

    /// Where links lead that accounts are sent: no mail can hold one to a Unix socket.
    pub(super) fn link_base(&self, config: &Config) -> String {
        if config.server.public_url.is_none() && matches!(self, Self::Unix(_)) {
            tracing::warn!("links to accounts lead to http://localhost: set server.public_url");
            return "http://localhost".to_owned();
        }
        self.url(config)
    }
}

enum Public {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

impl Public {
    async fn bind(config: &ServerConfig) -> Result<(Self, Place), AppError> {
        let Some(path) = &config.unix_socket else {
            let (listener, address) = listen(&config.host, config.port).await?;
            return Ok((Self::Tcp(listener), Place::Tcp(address)));
        };
        let bound = unix_socket::bind(path, config.unix_socket_mode.bits()).await;
        let (listener, file) = bound.map_err(|cause| AppError::Socket { path: path.clone(), cause })?;
        Ok((Self::Unix(listener, file), Place::Unix(path.clone())))
    }
}

/// Bound listeners.
pub(super) struct Listeners {
    public: Public,
    admin: Option<TcpListener>,
    /// Where the public one is.
    pub(super) place: Place,
    /// Where the admin listener is.
    pub(super) admin_address: Option<SocketAddr>,
}

impl Listeners {
    pub(super) async fn bind(config: &ServerConfig) -> Result<Self, AppError> {
        let (public, place) = Public::bind(config).await?;
        let (admin, admin_address) = match config.admin_port {
            Some(port) => Some(listen(&config.admin_host, port).await?).unzip(),
            None => (None, None),
        };
        Ok(Self { public, admin, place, admin_address })
    }

    /// Starts to answer. The admin listener goes on until the services end, so that probes see the stop.
    pub(super) fn serve(
        self,
        config: &ServerConfig,
        front: Front,
        health: &Health,
        metrics: Option<RenderMetrics>,
        stop: &Stopping,
    ) {
        let options = edge::server_options(config);
        let requests = stop.requests.clone();
        match self.public {
            Public::Tcp(listener) => {
                stop.listeners.spawn(server::serve(listener, front, options, requests));
            }
            Public::Unix(listener, file) => {
                stop.listeners.spawn(async move {
                    server::serve(listener, front, options, requests).await;
                    drop(file);
                });
            }
        }
        if let Some(listener) = self.admin {
            let render = metrics.unwrap_or_else(|| Arc::new(String::new));
            let routes = health.admin_routes(render);
            let until = Stop { soft: stop.services.clone(), hard: stop.services.clone() };
            stop.tracker.spawn(server::serve(listener, routes, options, until));
        }
    }
}

async fn listen(host: &str, port: u16) -> Result<(TcpListener, SocketAddr), AppError> {
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let bound = async {
        let listener = TcpListener::bind(&address).await?;
        let local = listener.local_addr()?;
        Ok((listener, local))
    };
    bound.await.map_err(|cause| AppError::Listen { address: address.clone(), cause })
}
