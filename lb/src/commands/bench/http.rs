//! `sealgate bench http`.

use std::net::SocketAddr;

use ::http::header::{HOST, HeaderName, HeaderValue};
use ::http::{Method, Uri};
use clap::{Args, ValueEnum};

use super::options::{Extent, Series, resolve, size};
use super::series::{Contestant, run_series};
use super::tls::TlsOptions;
use crate::bench::{HttpPlan, Protocol, RequestPlan, TlsPlan};
use crate::commands::failure::Failure;
use crate::commands::session::Session;

/// Options of `sealgate bench http`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Http {
    /// What to ask for; several are measured in turn
    #[arg(long, value_name = "URL", required_unless_present = "connect")]
    pub url: Vec<Uri>,
    /// The server, of whatever make, if it is not the URL's; several are measured in turn
    #[arg(long, value_name = "HOST:PORT")]
    pub connect: Vec<String>,
    /// Without a URL: speak no TLS
    #[arg(long, conflicts_with = "url")]
    pub plain: bool,
    /// Without a URL: the path to ask for
    #[arg(long, value_name = "PATH", default_value = "/", conflicts_with = "url")]
    pub path: String,
    /// The host to ask for [default: the URL's, else the server name, else the server]
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Which version of HTTP to speak
    #[arg(long, value_name = "1.1|2", value_enum, default_value_t = Version::Http1, hide_possible_values = true)]
    pub http: Version,
    /// The request's method
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub method: Method,
    /// A header of the request, `Name: value`; as many as you like
    #[arg(long, value_name = "HEADER", value_parser = header)]
    pub header: Vec<(HeaderName, HeaderValue)>,
    /// How long the request's body is
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = size)]
    pub body_size: usize,
    /// How many connections are open
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub connections: usize,
    /// How many requests are under way at a time on each (HTTP/2)
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub streams: usize,
    /// What to offer.
    #[command(flatten)]
    pub tls: TlsOptions,
    /// How much and how fast.
    #[command(flatten)]
    pub extent: Extent,
    /// Servers and rounds.
    #[command(flatten)]
    pub series: Series,
}

/// Versions of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Version {
    /// HTTP/1.1.
    #[value(name = "1.1")]
    Http1,
    /// HTTP/2.
    #[value(name = "2")]
    Http2,
}

/// Measures requests.
pub(super) fn http(session: &Session, options: &Http) -> Result<(), Failure> {
    let targets = options.targets()?;
    let asked: Vec<_> = targets.iter().map(Target::asked).collect();
    let labels = options.series.labels(&asked)?;
    let pids = options.series.pids(targets.len())?;
    let mut contestants = Vec::new();
    for (((target, asked), label), pid) in targets.iter().zip(asked).zip(labels).zip(pids) {
        contestants.push(Contestant {
            label,
            asked,
            connections: options.connections,
            plan: options.plan(target, pid)?,
        });
    }
    run_series(session, &options.series, contestants)
}

/// Whom to ask for what.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    /// Where to connect to, if it is not where the authority says.
    connect: Option<String>,
    tls: bool,
    /// `shop.example.com`, `127.0.0.1:8443`
    authority: String,
    path: String,
}

impl Target {
    fn of_url(url: &Uri) -> Result<Self, Failure> {
        let (scheme, authority) = (url.scheme_str(), url.authority());
        let (Some(tls), Some(authority)) = (scheme.and_then(is_tls), authority) else {
            return Err(Failure::usage(format!(
                "`--url {url}` is no URL to ask for: write https://HOST[:PORT]/PATH, or http://"
            )));
        };
        Ok(Self {
            connect: None,
            tls,
            authority: authority.as_str().to_owned(),
            path: url
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }

    /// What it is called.
    fn asked(&self) -> String {
        self.connect
            .clone()
            .unwrap_or_else(|| self.authority.clone())
    }

    /// `shop.example.com:443`
    fn place(&self) -> String {
        let port = if self.tls { 443 } else { 80 };
        match &self.connect {
            Some(connect) => connect.clone(),
            None if has_port(&self.authority) => self.authority.clone(),
            None => format!("{}:{port}", self.authority),
        }
    }
}

impl Http {
    fn targets(&self) -> Result<Vec<Target>, Failure> {
        match (self.url.as_slice(), self.connect.as_slice()) {
            (urls, []) => urls.iter().map(Target::of_url).collect(),
            ([], connects) => Ok(connects.iter().map(|connect| self.at(connect)).collect()),
            ([url], connects) => {
                let target = Target::of_url(url)?;
                let at = |connect: &String| Target {
                    connect: Some(connect.clone()),
                    ..target.clone()
                };
                Ok(connects.iter().map(at).collect())
            }
            _ => Err(Failure::usage(
                "`--connect` goes with one `--url`: where else would the others be asked for?",
            )),
        }
    }

    /// A server without a URL.
    fn at(&self, connect: &str) -> Target {
        let name = self.tls.sni.as_ref().map(|name| name.to_str().into_owned());
        Target {
            connect: Some(connect.to_owned()),
            tls: !self.plain,
            authority: name.unwrap_or_else(|| connect.to_owned()),
            path: self.path.clone(),
        }
    }

    fn plan(&self, target: &Target, pid: Option<u32>) -> Result<HttpPlan, Failure> {
        let address = resolve(&target.place())?;
        let authority = self
            .host
            .clone()
            .unwrap_or_else(|| target.authority.clone());
        let request = RequestPlan {
            method: self.method.clone(),
            path: target.path.clone(),
            headers: self.header.clone(),
            body_bytes: self.body_size,
            ..RequestPlan::new(authority)
        };
        Ok(HttpPlan {
            tls: self.tls_plan(target, address)?,
            protocol: self.http.protocol(),
            connections: self.connections,
            streams: self.streams,
            threads: self.extent.threads(),
            end: self.extent.end(),
            rate: self.extent.rate,
            timeout: self.extent.timeout,
            pid,
            ..HttpPlan::new(address, request)
        })
    }

    /// The URL's host is who is asked for, wherever the connection goes.
    fn tls_plan(&self, target: &Target, address: SocketAddr) -> Result<Option<TlsPlan>, Failure> {
        if !target.tls {
            return Ok(None);
        }
        let host = match has_port(&target.authority) {
            true => target.authority.clone(),
            false => format!("{}:443", target.authority),
        };
        Ok(Some(TlsPlan {
            server_name: self.tls.server_name(&host, address),
            offer: self.tls.offer(&[])?,
        }))
    }
}

impl Version {
    fn protocol(self) -> Protocol {
        match self {
            Self::Http1 => Protocol::Http1,
            Self::Http2 => Protocol::Http2,
        }
    }
}

fn is_tls(scheme: &str) -> Option<bool> {
    match scheme {
        "https" => Some(true),
        "http" => Some(false),
        _ => None,
    }
}

/// Whether there is a port behind a host, which may be an IPv6 address in brackets.
fn has_port(authority: &str) -> bool {
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}

/// `Name: value`
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let expected = || "expected a name and a value, as in `Accept: text/html`".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(expected)?;
    let name: HeaderName = name.trim().parse().map_err(|_| expected())?;
    if name == HOST {
        return Err("the host is named with --host".to_owned());
    }
    let value = value.trim().parse().map_err(|_| expected())?;
    Ok((name, value))
}

const EXAMPLES: &str = "\
The server may be of any make. All connections are opened before the clock starts. Requests begin as
fast as others end, or at --rate; latency then counts from when a request was due, whether or not a
connection was free (no coordinated omission). Ctrl-C ends it early and still reports.

Examples:
  sealgate bench http --url https://localhost:8443/ --duration 10s --pid 4711
  sealgate bench http --url http://127.0.0.1:8080/item --method PUT --body-size 16KiB --header x-key:1
  sealgate bench http --connect 127.0.0.1:8443 --sni shop.example.com --http 2 --connections 16 --streams 32
  sealgate bench http --url https://localhost:8443/ --rate 2000 --output json | jq .latency.p99_us
  sealgate bench http --url https://shop.example.com/ --connect 127.0.0.1:8443 --connect 127.0.0.1:9443 \\
      --label sealgate --label nginx --pid 4711 --pid 4712 --rounds 9 --duration 2s --html report.html";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        http: Http,
    }

    fn options(words: &[&str]) -> Http {
        let words = ["http"].iter().chain(words);
        Words::try_parse_from(words)
            .map(|words| words.http)
            .expect("a command line")
    }

    #[test]
    fn a_url_says_whom_to_ask_for_what() {
        let targets =
            options(&["--url", "https://localhost/a?b", "--url", "http://[::1]:81"]).targets();
        let targets = targets.expect("two URLs");
        assert_eq!(targets[0].place(), "localhost:443");
        assert_eq!((targets[0].tls, targets[0].path.as_str()), (true, "/a?b"));
        assert_eq!(targets[1].place(), "[::1]:81");
        assert_eq!((targets[1].tls, targets[1].path.as_str()), (false, "/"));
        for wrong in ["ftp://a/", "/only/a/path", "localhost"] {
            let refused = options(&["--url", wrong])
                .targets()
                .map_err(|failure| failure.status);
            assert_eq!(refused, Err(2), "{wrong}");
        }
    }

    #[test]
    fn one_url_is_asked_for_at_several_servers() {
        let words = [
            "--url",
            "https://shop.example.com/x",
            "--connect",
            "127.0.0.1:1",
            "--connect",
            "[::1]:2",
        ];
        let options = options(&words);
        let targets = options.targets().expect("two servers");
        let asked: Vec<_> = targets.iter().map(Target::asked).collect();
        assert_eq!(asked, ["127.0.0.1:1", "[::1]:2"]);
        let plan = options.plan(&targets[0], None).expect("a plan");
        assert_eq!(plan.url(), "https://shop.example.com/x");
        assert_eq!(plan.address.to_string(), "127.0.0.1:1");
        let name = plan.tls.expect("TLS").server_name;
        assert_eq!(name.to_str(), "shop.example.com");
    }

    #[test]
    fn a_server_alone_is_asked_through_tls() {
        let options_of = |words: &[&str]| {
            let options = options(words);
            let targets = options.targets().expect("a server");
            options.plan(&targets[0], None).expect("a plan")
        };
        let plan = options_of(&["--connect", "127.0.0.1:1", "--sni", "a.example"]);
        assert_eq!(plan.url(), "https://a.example/");
        let plan = options_of(&[
            "--connect",
            "127.0.0.1:1",
            "--plain",
            "--path",
            "/x",
            "--host",
            "b",
        ]);
        assert_eq!(plan.url(), "http://b/x");
        assert!(plan.tls.is_none());
    }

    #[test]
    fn headers_have_a_name_and_a_value() {
        let (name, value) = header("Accept: a:b").expect("a header");
        assert_eq!((name.as_str(), value.as_bytes()), ("accept", &b"a:b"[..]));
        for wrong in ["", "Accept", "a b: c", "a: b\nc", "Host: a"] {
            assert!(header(wrong).is_err(), "{wrong}");
        }
    }
}
