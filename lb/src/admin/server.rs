//! Both ways to a running balancer, bound early and served once it can answer.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;
use tracing::error;

use super::control::Control;
use super::rendezvous::{Announcement, Rendezvous};
use super::socket::Handler;
use super::{http, socket};

/// The admin socket and `admin.http`, bound and not yet served.
#[derive(Debug)]
pub struct Bound {
    state: PathBuf,
    path: PathBuf,
    socket: UnixListener,
    http: Option<TcpListener>,
}

/// Keeps the announcement of the admin socket; dropping it withdraws both.
#[derive(Debug)]
pub struct Served {
    path: PathBuf,
    _announcement: Announcement,
}

/// Why an admin endpoint cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The Unix socket.
    #[error(
        "cannot listen on the admin socket {}: {source}; its directory must be there and writable, \
         and its path at most 107 bytes long (admin.socket in the configuration names another)",
        path.display()
    )]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The HTTP endpoint.
    #[error("cannot listen on {address} (admin.http in the configuration): {source}")]
    Http {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The note by which commands find the socket.
    #[error("cannot announce the admin socket in the state directory {}: {source}", path.display())]
    Announce {
        /// The state directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Binds the socket at `socket` and the HTTP endpoint at `http` for the balancer of the state
/// directory `state`, whose lock the caller holds.
///
/// # Errors
/// Which of them cannot be had, and why.
pub fn bind(state: &Path, socket: &Path, http: Option<SocketAddr>) -> Result<Bound, BindError> {
    let bound = socket::bind(socket).map_err(|source| BindError::Socket {
        path: socket.to_owned(),
        source,
    })?;
    let http = match http {
        Some(address) => {
            Some(bind_http(address).map_err(|source| BindError::Http { address, source })?)
        }
        None => None,
    };
    Ok(Bound {
        state: state.to_owned(),
        path: socket.to_owned(),
        socket: bound,
        http,
    })
}

impl Bound {
    /// The address of the HTTP endpoint, with the port that the kernel chose.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
            .as_ref()
            .and_then(|listener| listener.local_addr().ok())
    }

    /// Answers on `runtime` from here on, and announces the socket to the commands.
    ///
    /// # Errors
    /// When the announcement cannot be written.
    pub fn serve(
        self,
        runtime: &Handle,
        handler: Arc<dyn Handler>,
        control: Arc<dyn Control>,
    ) -> Result<Served, BindError> {
        let socket = self.socket;
        runtime.spawn(async move { ended("socket", socket::serve(socket, handler).await) });
        if let Some(listener) = self.http {
            runtime.spawn(async move { ended("http", http::serve(listener, control).await) });
        }
        let announcement = Rendezvous::announce(&self.state, &self.path).map_err(|source| {
            BindError::Announce {
                path: self.state,
                source,
            }
        })?;
        Ok(Served {
            path: self.path,
            _announcement: announcement,
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // One that stays is replaced by the next balancer.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn bind_http(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn ended(endpoint: &str, outcome: io::Result<()>) {
    if let Err(error) = outcome {
        error!(endpoint, %error, "an admin endpoint has ended");
    }
}
