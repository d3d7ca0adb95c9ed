//! What handshakes and requests cost with rustls, aws-lc-rs, tokio and hyper, and without a product.
//!
//! The same shape and settings as Sealgate's (a current-thread runtime per worker with a socket of its
//! own, AES-128 first, one ticket per handshake) and nothing else: no limits, no timers, no counts, no
//! log, no choice of certificate or target. Without `--target`, a connection is accepted, shakes
//! hands, is read until `close_notify`, and is closed. With it, its requests are forwarded.

mod pool;
mod proxy;
mod tls;

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use clap::Parser;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

use crate::pool::Target;

/// Accepts TLS connections, and closes them after the client has or forwards their requests.
#[derive(Debug, Parser)]
struct Options {
    /// Where to listen
    #[arg(long)]
    listen: SocketAddr,
    /// The certificate chain, as PEM
    #[arg(long)]
    cert: PathBuf,
    /// Its private key, as PEM
    #[arg(long)]
    key: PathBuf,
    /// How many threads accept connections
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Where to forward requests to, over HTTP/1.1
    #[arg(long)]
    target: Option<SocketAddr>,
    /// Forward over TLS, trusting this CA (PEM)
    #[arg(long, requires = "target")]
    target_ca: Option<PathBuf>,
    /// The name in the target's certificate
    #[arg(long, default_value = "bench.example.com")]
    target_name: String,
}

/// What a worker does with a connection.
#[derive(Clone)]
struct Door {
    acceptor: TlsAcceptor,
    target: Option<Arc<Target>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let door = Door {
        acceptor: TlsAcceptor::from(Arc::new(tls::server(&options.cert, &options.key)?)),
        target: target(&options)?.map(Arc::new),
    };
    let sockets: io::Result<Vec<_>> = (0..options.workers).map(|_| bind(options.listen)).collect();
    let workers = sockets?.into_iter().map(|socket| {
        let door = door.clone();
        thread::spawn(move || work(socket, door))
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.join().map_err(|_| "a worker panicked")??;
    }
    Ok(())
}

fn target(options: &Options) -> Result<Option<Target>, Box<dyn Error>> {
    let Some(address) = options.target else {
        return Ok(None);
    };
    let name = || options.target_name.clone();
    let ca = options.target_ca.as_deref();
    let tls = ca.map(|ca| tls::client(ca, name())).transpose()?;
    Ok(Some(Target { address, tls }))
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn work(socket: std::net::TcpListener, door: Door) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(socket)?;
        loop {
            let (tcp, _) = listener.accept().await?;
            // How a connection fails is the client's affair.
            match door.target.clone() {
                None => drop(tokio::spawn(shake_hands(tcp, door.acceptor.clone()))),
                Some(target) => {
                    drop(tokio::spawn(proxy::serve(
                        tcp,
                        door.acceptor.clone(),
                        target,
                    )));
                }
            }
        }
    })
}

async fn shake_hands(tcp: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    let mut stream = acceptor.accept(tcp).await?;
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    stream.get_mut().1.send_close_notify();
    stream.flush().await
}

const BACKLOG: i32 = 1024;
