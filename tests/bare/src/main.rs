//! A bare accept loop: what handshakes cost with rustls, aws-lc-rs and tokio and without a product.
//!
//! The same shape and settings as Sealgate's (a current-thread runtime per worker with a socket of its
//! own, AES-128 first, one ticket per handshake) and nothing else: no limits, no timers, no counts, no
//! choice of certificate. A connection is accepted, shakes hands, is read until `close_notify`, and is
//! closed.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use clap::Parser;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ServerConfig};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

/// Accepts TLS connections and closes them after the client has.
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
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let acceptor = TlsAcceptor::from(Arc::new(config(&options.cert, &options.key)?));
    let sockets: io::Result<Vec<_>> = (0..options.workers).map(|_| bind(options.listen)).collect();
    let workers = sockets?.into_iter().map(|socket| {
        let acceptor = acceptor.clone();
        thread::spawn(move || work(socket, acceptor))
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.join().map_err(|_| "a worker panicked")??;
    }
    Ok(())
}

fn config(cert: &Path, key: &Path) -> Result<ServerConfig, Box<dyn Error>> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert)?.collect();
    let mut config = ServerConfig::builder_with_provider(Arc::new(aes_128_first()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain?, PrivateKeyDer::from_pem_file(key)?)?;
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    config.ignore_client_order = true;
    Ok(config)
}

fn aes_128_first() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let is_aes_128 = |suite| {
        matches!(
            suite,
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    // The sort is stable: the rest stays in its order.
    provider
        .cipher_suites
        .sort_by_key(|suite| !is_aes_128(suite.suite()));
    provider
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

fn work(socket: std::net::TcpListener, acceptor: TlsAcceptor) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(socket)?;
        loop {
            let (tcp, _) = listener.accept().await?;
            // How a connection fails is the client's affair.
            tokio::spawn(serve(tcp, acceptor.clone()));
        }
    })
}

async fn serve(tcp: TcpStream, acceptor: TlsAcceptor) -> io::Result<()> {
    let mut stream = acceptor.accept(tcp).await?;
    let mut ignored = [0; 1024];
    while stream.read(&mut ignored).await? > 0 {}
    stream.get_mut().1.send_close_notify();
    stream.flush().await
}

const BACKLOG: i32 = 1024;
