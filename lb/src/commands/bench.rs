//! `sealgate bench`: the load generator.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};

use super::failure::Failure;
use super::session::Session;
use crate::bench::{
    Broken, End, Group, Offer, Plan, Progress, Report, Share, Suite, Trust, Version,
};

/// Options of `sealgate bench`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sealgate bench handshake --connect 127.0.0.1:8443 --sni localhost"
)]
pub struct Bench {
    /// What to measure.
    #[command(subcommand)]
    pub what: What,
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Measure TLS handshakes: how many, how long, what they cost the server
    Handshake(Box<Handshake>),
}

/// Options of `sealgate bench handshake`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Handshake {
    /// The server, of whatever make
    #[arg(long, value_name = "HOST:PORT")]
    pub connect: String,
    /// The server name to ask for [default: the host, unless it is an address]
    #[arg(long, value_name = "NAME", value_parser = server_name)]
    pub sni: Option<ServerName<'static>>,
    /// Which version to offer
    #[arg(long, value_name = "1.2|1.3|any", value_enum, default_value_t = Tls::Any, hide_possible_values = true)]
    pub tls: Tls,
    /// Which key exchange groups to offer, best first [default: the usual ones]
    #[arg(long, value_name = "GROUP", value_enum, value_delimiter = ',')]
    pub group: Vec<Group>,
    /// Which ciphers to offer [default: all]
    #[arg(long, value_name = "CIPHER", value_enum, value_delimiter = ',')]
    pub suite: Vec<Suite>,
    /// Which application protocols to offer, best first [default: none]
    #[arg(long, value_name = "PROTOCOL", value_delimiter = ',')]
    pub alpn: Vec<String>,
    /// Verify the server's certificates against this PEM file, or `system` [default: verify nothing]
    #[arg(long, value_name = "FILE|system")]
    pub ca: Option<String>,
    /// Which share of the handshakes resumes a session
    #[arg(long, value_name = "SHARE", default_value = "0")]
    pub resume: Share,
    /// GET this path with HTTP/1.1 after each handshake
    #[arg(long, value_name = "PATH")]
    pub request: Option<String>,
    /// How many connections are open at a time
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub concurrency: usize,
    /// How many threads open them [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// For how long
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// How many connections, instead of for how long
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    pub count: Option<u64>,
    /// Open this many connections per second [default: as many as go]
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// How long a connection may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub timeout: Duration,
    /// The server's process: say what CPU time and memory it uses, its children included
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
}

/// Versions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Tls {
    /// TLS 1.2 only.
    #[value(name = "1.2")]
    Tls12,
    /// TLS 1.3 only.
    #[value(name = "1.3")]
    Tls13,
    /// Both.
    Any,
}

/// Measures.
///
/// # Errors
/// When the server cannot be reached, or not one handshake goes well.
pub fn bench(session: &Session, options: &Bench) -> Result<(), Failure> {
    match &options.what {
        What::Handshake(options) => handshake(session, options),
    }
}

fn handshake(session: &Session, options: &Handshake) -> Result<(), Failure> {
    let plan = options.plan()?;
    allow_descriptors(plan.concurrency);
    let bar = bar(session, &plan);
    let end = plan.end;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let report = runtime
        .map_err(Failure::failed)?
        .block_on(crate::bench::run(plan, interrupted(), |progress| {
            show(&bar, end, progress);
        }));
    bar.finish_and_clear();
    let report = report.map_err(broken)?;
    conclude(session, options, &report)
}

/// Shows the report, unless there is nothing in it, and fails if no handshake went well.
fn conclude(session: &Session, options: &Handshake, report: &Report) -> Result<(), Failure> {
    if report.gave_up {
        return Err(unreachable(&options.connect, report));
    }
    session.output.result(report, |_| report.text())?;
    if report.handshakes.succeeded == 0 && report.handshakes.failed > 0 {
        return Err(Failure::failed(format!(
            "not one handshake with {} went well",
            options.connect
        )));
    }
    Ok(())
}

fn unreachable(connect: &str, report: &Report) -> Failure {
    let why: Vec<_> = report.failures.keys().map(String::as_str).collect();
    let mut failure = Failure::failed(format!(
        "cannot connect to {connect} ({}): {}; is the server running, and is it this port?",
        report.address,
        why.join(", ")
    ));
    failure.details = serde_json::to_value(report).ok();
    failure
}

fn broken(broken: Broken) -> Failure {
    match broken {
        Broken::Plan(_) => Failure::usage(broken),
        Broken::Process(_) | Broken::System(_) => Failure::failed(broken),
    }
}

impl Handshake {
    fn plan(&self) -> Result<Plan, Failure> {
        let address = resolve(&self.connect)?;
        let server_name = match &self.sni {
            Some(name) => name.clone(),
            None => host(&self.connect, address),
        };
        Ok(Plan {
            offer: Offer {
                versions: self.tls.versions(),
                suites: self.suite.clone(),
                groups: self.group.clone(),
                alpn: self.alpn.clone(),
                trust: self.ca.as_deref().map_or(Ok(Trust::Blind), trust)?,
            },
            resume: self.resume,
            request: self.request.clone(),
            concurrency: self.concurrency,
            threads: self.threads.unwrap_or_else(cores),
            end: self.count.map_or(End::After(self.duration), End::Count),
            rate: self.rate,
            timeout: self.timeout,
            pid: self.pid,
            ..Plan::new(address, server_name)
        })
    }
}

impl Tls {
    fn versions(self) -> Vec<Version> {
        match self {
            Self::Tls12 => vec![Version::Tls12],
            Self::Tls13 => vec![Version::Tls13],
            Self::Any => Vec::new(),
        }
    }
}

/// The first address of `connect` that takes a connection, if there are several.
fn resolve(connect: &str) -> Result<SocketAddr, Failure> {
    if !connect.contains(':') {
        return Err(Failure::usage(format!(
            "`--connect {connect}` lacks the port: write {connect}:443"
        )));
    }
    let found = connect.to_socket_addrs();
    let found = found.map_err(|error| {
        Failure::failed(format!("the address of {connect} cannot be found: {error}"))
    })?;
    let found: Vec<_> = found.collect();
    let open = |address: &&SocketAddr| TcpStream::connect_timeout(address, PATIENCE).is_ok();
    let chosen = match found.as_slice() {
        [_, _, ..] => found.iter().find(open).or(found.first()),
        _ => found.first(),
    };
    chosen
        .copied()
        .ok_or_else(|| Failure::failed(format!("{connect} has no address")))
}

fn host(connect: &str, address: SocketAddr) -> ServerName<'static> {
    let host = connect.rsplit_once(':').map_or(connect, |(host, _)| host);
    ServerName::try_from(host.to_owned()).unwrap_or_else(|_| address.ip().into())
}

fn trust(ca: &str) -> Result<Trust, Failure> {
    let certificates = match ca {
        "system" => rustls_native_certs::load_native_certs().certs,
        file => read_certificates(Path::new(file))?,
    };
    let mut roots = RootCertStore::empty();
    let (good, _) = roots.add_parsable_certificates(certificates);
    match good {
        0 => Err(Failure::failed(format!(
            "there is no usable certificate in `--ca {ca}`"
        ))),
        _ => Ok(Trust::Roots(Arc::new(roots))),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let text = std::fs::read(path).map_err(|error| Failure::reading(path, &error))?;
    let certificates: Result<_, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    certificates.map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

/// Each connection takes a descriptor; the hard limit is the user's say.
fn allow_descriptors(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = connections as u64 + SPARE_DESCRIPTORS;
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |maximum| wanted.min(maximum)));
        // Where it fails, connections fail and say why.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Done at the first Ctrl-C; the second one ends the process at once.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        return std::future::pending().await;
    }
    tokio::spawn(async {
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(BY_SIGINT);
        }
    });
}

/// It fills with the time or the number of connections, whichever has an end.
fn bar(session: &Session, plan: &Plan) -> ProgressBar {
    let bar = session.output.progress("");
    if let Ok(look) = ProgressStyle::with_template("{wide_bar} {msg}") {
        bar.set_style(look);
    }
    bar.set_length(match plan.end {
        End::After(duration) => milliseconds(duration),
        End::Count(count) => count,
    });
    bar
}

fn show(bar: &ProgressBar, end: End, progress: Progress) {
    let Progress {
        elapsed,
        succeeded,
        failed,
    } = progress;
    bar.set_position(match end {
        End::After(_) => milliseconds(elapsed),
        End::Count(_) => succeeded + failed,
    });
    let rate = succeeded as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
    bar.set_message(format!(
        "{:.1} s  {succeeded} handshakes, {rate:.0}/s  {failed} failed",
        elapsed.as_secs_f64()
    ));
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned()).map_err(|_| "expected a host name".to_owned())
}

/// `500ms`, `10s`, `2m`
fn duration(text: &str) -> Result<Duration, String> {
    let expected = || "expected a time with its unit, as in 500ms, 10s or 2m".to_owned();
    let time = jiff::SignedDuration::from_str(text).map_err(|_| expected())?;
    Duration::try_from(time).map_err(|_| expected())
}

const EXAMPLES: &str = "\
The server may be of any make. Connections begin as fast as others end, or at --rate; latency then
counts from when a connection was due. Ctrl-C ends it early and still reports.

Examples:
  sealgate bench handshake --connect 127.0.0.1:8443 --sni shop.example.com --duration 10s
  sealgate bench handshake --connect 127.0.0.1:8443 --tls 1.3 --group x25519 --suite aes128 --resume 50% --pid 4711
  sealgate bench handshake --connect localhost:8443 --request / --rate 200 --count 1000 --output json | jq .latency";

/// For everything but connections.
const SPARE_DESCRIPTORS: u64 = 64;
const PATIENCE: Duration = Duration::from_secs(2);
const BY_SIGINT: i32 = 130;

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn times_carry_their_unit() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["", "10", "-1s", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_is_asked_for_follows_from_the_address() {
        let address = ([127, 0, 0, 1], 443).into();
        assert_eq!(
            host("shop.example.com:443", address).to_str(),
            "shop.example.com"
        );
        assert_eq!(host("127.0.0.1:443", address).to_str(), "127.0.0.1");
        let v6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 443));
        assert_eq!(host("[::1]:443", v6).to_str(), "::1");
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let failure = command(&["--connect", &address]).expect_err("nobody listens");
        assert_eq!(failure.status, 1);
        let message = &failure.message;
        assert!(
            message.starts_with(&format!("cannot connect to {address}")),
            "{message}"
        );
        assert!(message.contains("refused"), "{message}");
        let details = failure.details.expect("the report");
        assert_eq!(details["gave_up"], true);
    }

    #[test]
    fn a_plan_that_leads_nowhere_is_wrong_usage() {
        let wrong = ["--connect", "127.0.0.1:1", "--request", "nowhere"];
        assert_eq!(command(&wrong).map_err(|failure| failure.status), Err(2));
        let own = std::process::id().to_string();
        let itself = command(&["--connect", "127.0.0.1:1", "--pid", &own]);
        assert_eq!(itself.map_err(|failure| failure.status), Err(1));
    }

    fn command(options: &[&str]) -> Result<(), Failure> {
        let words = ["sealgate", "bench", "handshake"].iter().chain(options);
        let cli = crate::commands::Cli::try_parse_from(words).expect("a command line");
        let crate::commands::cli::Command::Bench(options) = cli.command else {
            panic!("another command: {:?}", cli.command);
        };
        bench(&Session::from(cli.common), &options)
    }

    #[test]
    fn a_server_without_a_port_is_wrong_usage() {
        let failure = resolve("localhost").expect_err("no port");
        assert_eq!(failure.status, 2);
        assert!(
            failure.message.contains("localhost:443"),
            "{}",
            failure.message
        );
    }
}
