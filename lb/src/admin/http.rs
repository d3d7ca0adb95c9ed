//! `/livez`, `/readyz` and `/metrics`, for machines that watch.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

use super::control::Control;
use crate::listener::Backoff;
use crate::metrics::in_plain_text;

/// Answers on `listener` (non-blocking) for as long as the future lives.
///
/// # Errors
/// When the runtime does not take the socket.
pub async fn serve(listener: StdListener, control: Arc<dyn Control>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut backoff = Backoff::default();
    loop {
        let permit = permits.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                backoff.works_again();
                let connection = connection(stream, control.clone());
                tokio::spawn(async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => backoff.after(&error, "admin.http").await,
        }
    }
}

async fn connection(stream: TcpStream, control: Arc<dyn Control>) {
    let service = service_fn(move |request: Request<_>| {
        let control = control.clone();
        async move { Ok::<_, Infallible>(answer(request, control).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(CONNECTION_TIME, connection).await {
        debug!(%error, "a connection on admin.http broke off");
    }
}

async fn answer<B>(request: Request<B>, control: Arc<dyn Control>) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD\n".to_owned(),
        );
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let path = request.uri().path().to_owned();
    let open_metrics = takes_open_metrics(&request);
    let answered = tokio::task::spawn_blocking(move || page(&path, open_metrics, &*control)).await;
    answered.unwrap_or_else(|_| text(StatusCode::INTERNAL_SERVER_ERROR, String::new()))
}

/// Whether the one who asks names the format; others are given the older one, which all can read.
fn takes_open_metrics<B>(request: &Request<B>) -> bool {
    let accepted = request.headers().get_all(ACCEPT).iter();
    let mut accepted = accepted.filter_map(|value| value.to_str().ok());
    accepted.any(|value| value.contains("application/openmetrics-text"))
}

fn page(path: &str, open_metrics: bool, control: &dyn Control) -> Response<Full<Bytes>> {
    match path {
        "/livez" => text(StatusCode::OK, "live\n".to_owned()),
        "/readyz" => match control.ready() {
            Ok(()) => text(StatusCode::OK, "ready\n".to_owned()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
        },
        "/metrics" => {
            let (page, kind) = match open_metrics {
                true => (control.metrics(), OPENMETRICS),
                false => (in_plain_text(&control.metrics()), PLAIN_METRICS),
            };
            let mut metrics = text(StatusCode::OK, page);
            metrics
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            metrics
        }
        _ => text(
            StatusCode::NOT_FOUND,
            "/livez, /readyz and /metrics are here\n".to_owned(),
        ),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// What prometheus-client writes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const CONNECTIONS: usize = 64;
const HEADER_TIME: Duration = Duration::from_secs(10);
const CONNECTION_TIME: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream as StdStream};

    use super::*;
    use crate::admin::control::Draining;
    use crate::admin::protocol::{
        Entry, ExplainRequest, Explanation, Publication, Refusal, Reloaded, Status,
    };

    /// A balancer that is draining.
    struct Leaving;

    impl Control for Leaving {
        fn ready(&self) -> Result<(), String> {
            Err("draining".to_owned())
        }

        fn metrics(&self) -> String {
            "# EOF\n".to_owned()
        }

        fn status(&self) -> Status {
            unreachable!("not asked over HTTP")
        }

        fn reload(&self) -> Result<Reloaded, Refusal> {
            unreachable!("not asked over HTTP")
        }

        fn drain(&self) -> Draining {
            unreachable!("not asked over HTTP")
        }

        fn leave(&self) {
            unreachable!("not asked over HTTP")
        }

        fn reopen_logs(&self) {
            unreachable!("not asked over HTTP")
        }

        fn publish(&self, _entry: &Entry) -> Publication {
            unreachable!("not asked over HTTP")
        }

        fn users_of_entry(&self, _: &crate::admin::protocol::CertDelete) -> Vec<String> {
            unreachable!()
        }

        fn users_of_trust_store(&self, _: &str) -> Vec<String> {
            unreachable!()
        }

        fn refresh(&self) {
            unreachable!("not asked over HTTP")
        }

        fn explain(&self, _request: &ExplainRequest) -> Result<Explanation, Refusal> {
            unreachable!("not asked over HTTP")
        }
    }

    #[test]
    fn metrics_come_in_the_format_that_is_asked_for() {
        for (accept, kind) in [
            (None, PLAIN_METRICS),
            (Some("*/*"), PLAIN_METRICS),
            (
                Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"),
                OPENMETRICS,
            ),
        ] {
            let mut request = Request::get("/metrics");
            if let Some(accept) = accept {
                request = request.header(ACCEPT, accept);
            }
            let request = request.body(()).unwrap();
            let answer = page("/metrics", takes_open_metrics(&request), &Leaving);
            assert_eq!(answer.headers()[CONTENT_TYPE], kind, "{accept:?}");
        }
    }

    fn ask(address: SocketAddr, line: &str) -> String {
        let mut stream = StdStream::connect(address).unwrap();
        write!(
            stream,
            "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_draining_balancer_is_live_and_not_ready() {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(serve(listener, Arc::new(Leaving)));
        let asked = runtime.handle().spawn_blocking(move || {
            [
                ("GET /livez", "200"),
                ("HEAD /livez", "200"),
                ("GET /readyz", "503"),
                ("GET /metrics", "200"),
                ("GET /", "404"),
                ("POST /livez", "405"),
            ]
            .map(|(line, status)| (ask(address, line), status))
        });
        for (answer, status) in runtime.block_on(asked).unwrap() {
            assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
        }
    }
}
