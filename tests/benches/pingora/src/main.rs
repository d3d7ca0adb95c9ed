//! A small Pingora proxy: TLS in, HTTP/1.1 out, to one target, with nothing that a proxy may leave out.

use std::net::SocketAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use clap::Parser;
use pingora::listeners::tls::TlsSettings;
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora::{BError, Result};

/// Forwards requests.
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
    /// How many threads
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Where to forward requests to
    #[arg(long)]
    target: SocketAddr,
    /// Forward over TLS, trusting this CA (PEM)
    #[arg(long)]
    target_ca: Option<PathBuf>,
    /// The name in the target's certificate
    #[arg(long, default_value = "bench.example.com")]
    target_name: String,
}

struct Forward {
    target: SocketAddr,
    tls: bool,
    name: String,
}

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.target, self.tls, self.name.clone())))
    }
}

fn main() -> Result<(), BError> {
    let options = Options::parse();
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let conf = ServerConf {
        threads: options.workers,
        upstream_keepalive_pool_size: 1024,
        ca_file: options.target_ca.as_ref().map(text),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let forward = Forward {
        target: options.target,
        tls: options.target_ca.is_some(),
        name: options.target_name,
    };
    let mut service = http_proxy_service(&server.configuration, forward);
    let mut tls = TlsSettings::intermediate(&text(&options.cert), &text(&options.key))?;
    tls.enable_h2();
    service.add_tls_with_settings(&options.listen.to_string(), None, tls);
    server.add_service(service);
    server.run_forever();
}
