//! What is to be asked of whom.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body_util::Full;
use rustls::pki_types::ServerName;

use crate::bench::offer::Offer;
use crate::bench::plan::{End, InvalidPlan, check_extent, check_path};
use crate::bench::run;

/// What is to be asked of whom.
#[derive(Debug, Clone)]
pub struct HttpPlan {
    /// Where to connect to.
    pub address: SocketAddr,
    /// How to speak TLS; none: in the clear.
    pub tls: Option<TlsPlan>,
    /// Which version of HTTP.
    pub protocol: Protocol,
    /// What to send.
    pub request: RequestPlan,
    /// How many connections are open.
    pub connections: usize,
    /// How many requests are under way at a time on each.
    pub streams: usize,
    /// On how many threads.
    pub threads: usize,
    /// When it is over.
    pub end: End,
    /// Requests per second; none: as many as go.
    pub rate: Option<f64>,
    /// How long a request may take, connecting included.
    pub timeout: Duration,
    /// The server's process, whose children count as well.
    pub pid: Option<u32>,
}

/// How to speak TLS.
#[derive(Debug, Clone)]
pub struct TlsPlan {
    /// The name to ask for; an IP address is sent to nobody.
    pub server_name: ServerName<'static>,
    /// What to offer; its application protocol is that of the plan.
    pub offer: Offer,
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 with connections that are kept alive.
    Http1,
    /// HTTP/2; without TLS with prior knowledge (RFC 9113 section 3.3).
    Http2,
}

/// What to send.
#[derive(Debug, Clone)]
pub struct RequestPlan {
    /// `GET`
    pub method: Method,
    /// Whom to ask: a host, with a port if it is not the usual one.
    pub authority: String,
    /// Path and query.
    pub path: String,
    /// More headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long the body is.
    pub body_bytes: usize,
}

impl RequestPlan {
    /// A GET of `/`.
    pub fn new(authority: String) -> Self {
        Self {
            method: Method::GET,
            authority,
            path: "/".to_owned(),
            headers: Vec::new(),
            body_bytes: 0,
        }
    }
}

impl HttpPlan {
    /// A plan with nothing particular about it: in the clear, as fast as possible for ten seconds.
    pub fn new(address: SocketAddr, request: RequestPlan) -> Self {
        Self {
            address,
            tls: None,
            protocol: Protocol::Http1,
            request,
            connections: 64,
            streams: 1,
            threads: 1,
            end: End::After(Duration::from_secs(10)),
            rate: None,
            timeout: Duration::from_secs(10),
            pid: None,
        }
    }

    /// `https://shop.example.com/cart`
    pub fn url(&self) -> String {
        format!(
            "{}://{}{}",
            self.scheme(),
            self.request.authority,
            self.request.path
        )
    }

    /// This plan if it can be carried out.
    ///
    /// # Errors
    /// The first thing in it that cannot.
    pub fn checked(mut self) -> Result<Self, InvalidPlan> {
        if self.connections == 0 || self.threads == 0 || self.streams == 0 {
            return Err(InvalidPlan::NoConnections);
        }
        if self.protocol == Protocol::Http1 && self.streams > 1 {
            return Err(InvalidPlan::Streams(self.streams));
        }
        check_extent(self.rate, self.end)?;
        check_path(&self.request.path)?;
        if let Some(tls) = &mut self.tls {
            tls.offer.check()?;
            tls.offer.alpn = vec![self.protocol.alpn().to_owned()];
        }
        self.template()?;
        self.threads = self.threads.min(self.connections);
        Ok(self)
    }

    /// The request that is sent again and again; copies share the body.
    pub(super) fn template(&self) -> Result<Request<Full<Bytes>>, InvalidPlan> {
        let plan = &self.request;
        let body = Full::new(Bytes::from(vec![b'x'; plan.body_bytes]));
        let request = Request::builder()
            .method(plan.method.clone())
            .header(USER_AGENT, run::USER_AGENT);
        // The target's form: RFC 9112 section 3.2.1, RFC 9113 section 8.3.1.
        let mut request = match self.protocol {
            Protocol::Http1 => request.uri(&plan.path).header(HOST, &plan.authority),
            Protocol::Http2 => request.uri(self.url()),
        };
        for (name, value) in &plan.headers {
            request = request.header(name, value);
        }
        let refused = |error: http::Error| InvalidPlan::Request(error.to_string());
        request.body(body).map_err(refused)
    }

    fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

impl Protocol {
    /// Its name in ALPN.
    pub(super) fn alpn(self) -> &'static str {
        match self {
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> HttpPlan {
        let request = RequestPlan::new("localhost:1".to_owned());
        HttpPlan::new(([127, 0, 0, 1], 1).into(), request)
    }

    #[test]
    fn plans_that_lead_nowhere_are_refused() {
        let refused = |change: fn(&mut HttpPlan)| {
            let mut plan = plan();
            change(&mut plan);
            plan.checked().expect_err("it leads nowhere")
        };
        assert_eq!(refused(|p| p.connections = 0), InvalidPlan::NoConnections);
        assert_eq!(refused(|p| p.streams = 2), InvalidPlan::Streams(2));
        assert_eq!(refused(|p| p.rate = Some(-1.0)), InvalidPlan::NoRate);
        let nowhere = refused(|p| p.request.path = "nowhere".to_owned());
        assert_eq!(nowhere, InvalidPlan::Path("nowhere".to_owned()));
        let nobody = refused(|p| {
            p.protocol = Protocol::Http2;
            p.request.authority = "no body".to_owned();
        });
        assert!(matches!(nobody, InvalidPlan::Request(_)), "{nobody}");
    }

    #[test]
    fn the_target_has_the_form_of_its_protocol() {
        let mut plan = plan();
        let first = plan.template().expect("a request");
        assert_eq!(first.uri(), "/");
        assert_eq!(first.headers()[HOST], "localhost:1");
        plan.protocol = Protocol::Http2;
        let second = plan.template().expect("a request");
        assert_eq!(second.uri(), "http://localhost:1/");
        assert!(!second.headers().contains_key(HOST));
    }
}
