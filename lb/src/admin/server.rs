//! Both ways to a running balancer, bound early and served once it can answer.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;
use tracing::{error, warn};

use super::control::Control;
use super::place::Place;
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
    /// Of the socket's file.
    inode: u64,
    _announcement: Option<Announcement>,
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
    /// When the state directory or the socket is gone.
    pub fn serve(
        self,
        runtime: &Handle,
        handler: Arc<dyn Handler>,
        control: Arc<dyn Control>,
    ) -> Result<Served, BindError> {
        let socket = self.socket;
        let gone = |source| BindError::Socket {
            path: self.path.clone(),
            source,
        };
        let place = Place::of(&self.state).map_err(gone)?;
        let inode = std::fs::metadata(&self.path).map_err(gone)?.ino();
        runtime.spawn(async move { ended("socket", socket::serve(socket, place, handler).await) });
        if let Some(listener) = self.http {
            runtime.spawn(async move { ended("http", http::serve(listener, control).await) });
        }
        let announced = Rendezvous::announce(&self.state, &self.path).inspect_err(|error| {
            warn!(%error, "the admin socket is not announced: commands look for DIR/admin.sock");
        });
        Ok(Served {
            path: self.path,
            inode,
            _announcement: announced.ok(),
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Another balancer may have the path by now. One that stays is replaced by the next.
        let own = std::fs::metadata(&self.path).is_ok_and(|found| found.ino() == self.inode);
        if own {
            let _ = std::fs::remove_file(&self.path);
        }
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
