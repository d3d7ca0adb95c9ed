//! Both ways to a running balancer, bound early and served once it can answer.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::{error, warn};

use super::control::Control;
use super::place::Place;
use super::rendezvous::{Announcement, Rendezvous};
use super::socket::{Audience, Handler};
use super::{http, socket};

/// The admin endpoints, bound and not yet served.
#[derive(Debug)]
pub struct Bound {
    state: PathBuf,
    admin: BoundSocket,
    kms: Option<BoundSocket>,
    http: Option<TcpListener>,
}

/// Where a balancer answers.
#[derive(Debug, Clone)]
pub struct Endpoints {
    /// The admin socket.
    pub admin: PathBuf,
    /// The socket of the KMS, for every user.
    pub kms: Option<PathBuf>,
    /// The HTTP endpoint.
    pub http: Option<SocketAddr>,
}

#[derive(Debug)]
struct BoundSocket {
    path: PathBuf,
    audience: Audience,
    listener: UnixListener,
}

/// Keeps the sockets and the announcement; dropping it withdraws all.
#[derive(Debug)]
pub struct Served {
    _sockets: Vec<SocketFile>,
    endpoints: Vec<JoinHandle<()>>,
    _announcement: Option<Announcement>,
}

/// The file of a socket that is served, removed with this.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: u64,
}

/// Why an admin endpoint cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The Unix socket.
    #[error(
        "cannot listen on the socket {}: {source}; its directory must be there and writable, and its \
         path at most 107 bytes long ({setting} in the configuration names another)",
        path.display()
    )]
    Socket {
        /// Where.
        path: PathBuf,
        /// Which setting names it.
        setting: &'static str,
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

/// Binds the endpoints of the balancer of the state directory `state`, whose lock the caller holds.
///
/// # Errors
/// Which of them cannot be had, and why.
pub fn bind(state: &Path, endpoints: &Endpoints) -> Result<Bound, BindError> {
    let admin = BoundSocket::bind(&endpoints.admin, Audience::Administrators)?;
    let kms = endpoints.kms.as_deref();
    let kms = kms.map(|path| BoundSocket::bind(path, Audience::Everybody));
    let http = endpoints
        .http
        .map(|address| bind_http(address).map_err(|source| BindError::Http { address, source }));
    Ok(Bound {
        state: state.to_owned(),
        admin,
        kms: kms.transpose()?,
        http: http.transpose()?,
    })
}

impl BoundSocket {
    fn bind(path: &Path, audience: Audience) -> Result<Self, BindError> {
        let listener = socket::bind(path, audience);
        Ok(Self {
            listener: listener.map_err(|source| unusable(path, audience, source))?,
            path: path.to_owned(),
            audience,
        })
    }

    fn serve(
        self,
        runtime: &Handle,
        place: Place,
        handler: Arc<dyn Handler>,
    ) -> Result<(SocketFile, JoinHandle<()>), BindError> {
        let (audience, listener) = (self.audience, self.listener);
        let found = std::fs::metadata(&self.path);
        let found = found.map_err(|source| unusable(&self.path, audience, source))?;
        let endpoint = runtime.spawn(async move {
            ended(
                "socket",
                socket::serve(listener, audience, place, handler).await,
            );
        });
        let file = SocketFile {
            inode: found.ino(),
            path: self.path,
        };
        Ok((file, endpoint))
    }
}

fn unusable(path: &Path, audience: Audience, source: io::Error) -> BindError {
    BindError::Socket {
        path: path.to_owned(),
        setting: match audience {
            Audience::Administrators => "admin.socket",
            Audience::Everybody => "kms.socket",
        },
        source,
    }
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
        let place = Place::of(&self.state)
            .map_err(|source| unusable(&self.admin.path, Audience::Administrators, source))?;
        let announced = Rendezvous::announce(&self.state, &self.admin.path);
        let announced = announced.inspect_err(|error| {
            warn!(%error, "the admin socket is not announced: commands look for DIR/admin.sock");
        });
        let (mut sockets, mut endpoints) = (Vec::new(), Vec::new());
        for socket in [Some(self.admin), self.kms].into_iter().flatten() {
            let (file, endpoint) = socket.serve(runtime, place, handler.clone())?;
            sockets.push(file);
            endpoints.push(endpoint);
        }
        if let Some(listener) = self.http {
            let http = async move { ended("http", http::serve(listener, control).await) };
            endpoints.push(runtime.spawn(http));
        }
        Ok(Served {
            _sockets: sockets,
            endpoints,
            _announcement: announced.ok(),
        })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Who is being answered is answered to the end.
        self.endpoints.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for SocketFile {
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
