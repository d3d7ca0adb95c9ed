//! `sealgate demo`: everything at once, on this machine alone, and nothing left behind.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use certstore::Import;
use certstore::ca::TestCa;
use clap::Args;
use http::{Request, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kms::{DirectoryLock, Environment, InitOptions, StateDirectory};
use tempfile::TempDir;

use super::failure::Failure;
use super::leave;
use super::session::Session;
use crate::admin::Control;
use crate::admin::custody::{Custody, CustodyOptions};
use crate::app::{self, App, Keys};

/// Options of `sealgate demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "Everything is made in a scratch directory that goes away with Ctrl-C; a state directory that is named \
                        by --state is left alone.\n\n\
                        Example:\n  sealgate demo --port 9443"
)]
pub struct Demo {
    /// Port on 127.0.0.1; 0 for one that is free
    #[arg(long, default_value_t = 8443)]
    pub port: u16,
}

/// Makes a state directory with a certificate, starts two targets, and serves until it is told to end.
///
/// # Errors
/// When the port is taken, or the scratch directory cannot be written.
pub fn run(session: &Session, options: &Demo) -> Result<(), Failure> {
    refuse_taken(options.port)?;
    let scratch = TempDir::with_prefix("sealgate-demo-").map_err(Failure::failed)?;
    let state = scratch.path().join("state");
    let directory = StateDirectory::init(&state, &InitOptions::default(), &Environment::system())
        .map_err(Failure::failed)?;
    let ca = scratch.path().join("ca.pem");
    let lock = app::lock(&directory, &super::ask::holder())?;
    let certificate = certificate(session, directory.clone(), &lock)?;
    fs::write(&ca, certificate).map_err(Failure::failed)?;
    let targets = [target("one")?, target("two")?];
    let config = scratch.path().join("sealgate.yaml");
    let yaml = yaml(options.port, targets);
    fs::write(&config, &yaml).map_err(Failure::failed)?;
    let loaded = super::check::load(session, &config)?;
    let keys = Keys {
        kms: session.open_kms(&directory, None)?,
        directory: directory.clone(),
        lock,
        runtime: app::admin_runtime()?,
    };
    let app = App::start(keys, &config, loaded)?;
    end_on_signals(app.clone()).map_err(Failure::failed)?;
    let port = bound_port(&app).unwrap_or(options.port);
    session
        .output
        .print(&story(&directory, port, &ca, targets, &yaml))?;
    app.wait();
    Ok(())
}

/// Ends it on Ctrl-C, SIGTERM, and when its terminal goes away; at once on the second of them.
fn end_on_signals(app: Arc<App>) -> io::Result<()> {
    let mut leaving = false;
    leave::on_signal("signals", move |_| {
        if leaving {
            std::process::exit(1);
        }
        leaving = true;
        app.drain();
        app.leave();
    })
}

/// The port that the system chose for port 0.
fn bound_port(app: &App) -> Option<u16> {
    let status = app.status();
    let bound: SocketAddr = status.listeners.first()?.bind.parse().ok()?;
    Some(bound.port())
}

/// Says so before anything is made: most often another demonstration runs.
fn refuse_taken(port: u16) -> Result<(), Failure> {
    let tried = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    tried.map(drop).map_err(|error| {
        Failure::failed(format!(
            "cannot listen on 127.0.0.1:{port}: {error}; `--port` names another port"
        ))
    })
}

/// Seals a certificate for this machine, and gives the certificate of the CA that issued it.
fn certificate(
    session: &Session,
    directory: StateDirectory,
    lock: &DirectoryLock,
) -> Result<String, Failure> {
    let ca = TestCa::new(&Environment::system()).map_err(Failure::failed)?;
    let (chain, key) = ca
        .issue(&["localhost", "127.0.0.1"])
        .map_err(Failure::failed)?;
    let kms = session.open_kms(&directory, None)?;
    let custody = Custody::open(directory, kms, &CustodyOptions::default(), Some(lock))?;
    let import = Import {
        name: "localhost".to_owned(),
        chain_pem: vec![("the test CA's answer".to_owned(), chain)],
        key: Some(key),
        exportable: false,
        allow_expired: false,
        allow_name_change: false,
    };
    custody.store().import(import).map_err(Failure::failed)?;
    Ok(ca.pem().to_owned())
}

/// Starts a small web server that says who it is and how the request came.
fn target(name: &'static str) -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Failure::failed)?;
    let address = listener.local_addr().map_err(Failure::failed)?;
    listener.set_nonblocking(true).map_err(Failure::failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::failed)?;
    let thread = std::thread::Builder::new().name(format!("target {name}"));
    let serving = move || {
        if let Err(error) = runtime.block_on(serve(name, listener)) {
            tracing::error!(%error, target = name, "a target of the demonstration ended");
        }
    };
    thread.spawn(serving).map_err(Failure::failed)?;
    Ok(address)
}

async fn serve(name: &'static str, listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service =
            service_fn(move |request| async move { Ok::<_, Infallible>(answer(name, &request)) });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn answer<B>(name: &str, request: &Request<B>) -> Response<Full<Bytes>> {
    let header = |field| {
        request
            .headers()
            .get(field)
            .and_then(|value| value.to_str().ok())
    };
    let text = format!(
        "Hello from target {name}.\n{} {} came in plain HTTP; the client spoke {} to Sealgate as {}.\n",
        request.method(),
        request.uri().path(),
        header("x-forwarded-proto").unwrap_or("?"),
        header("x-forwarded-for").unwrap_or("?"),
    );
    Response::new(Full::new(text.into()))
}

fn yaml(port: u16, [one, two]: [SocketAddr; 2]) -> String {
    format!(
        r#"version: 1
listeners:
  https:
    bind: "127.0.0.1:{port}"
    tls:
      policy: modern
      certificates: [localhost]
      on_unknown_sni: {{ default_certificate: localhost }}   # clients that connect to an address ask for no name
rules:
  - forward: hello
target_groups:
  hello:
    targets: ["{one}", "{two}"]
    health_check: {{ path: /, interval: 2s }}
"#
    )
}

/// What was done, in plain sentences.
fn story(
    directory: &StateDirectory,
    port: u16,
    ca: &Path,
    [one, two]: [SocketAddr; 2],
    yaml: &str,
) -> String {
    format!(
        "Sealgate serves HTTPS on 127.0.0.1:{port}. This is what it did:\n\n\
         1. It made a root key, which opens everything else: {}\n\
         2. It made a local KMS whose keys are sealed under the root key, and a certificate store\n   \
            whose private keys are sealed under the KMS: {}\n\
         3. A test CA, made for this minute, issued a certificate for localhost and 127.0.0.1; its\n   \
            private key went from memory into the store, and was never on the disk in the clear.\n\
         4. Two small targets answer on {one} and {two}.\n\
         5. It runs on this configuration:\n\n{}\n\
         See for yourself, more than once: both targets answer.\n\n  \
         curl --cacert {} https://localhost:{port}/\n\n\
         Ctrl-C ends it, and removes everything that it made.",
        directory.root_key().place(),
        directory.path().display(),
        yaml.lines()
            .map(|line| format!("     {line}\n"))
            .collect::<String>(),
        ca.display(),
    )
}
