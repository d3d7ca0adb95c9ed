//! The bare forwarder: HTTP/1.1 and HTTP/2 in, HTTP/1.1 out.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::pool::{self, Lent, Target};
use crate::tls::HTTP_2;

/// Serves a connection until one side closes it.
///
/// # Errors
/// When the handshake or the connection fails.
pub(crate) async fn serve(
    tcp: TcpStream,
    acceptor: TlsAcceptor,
    target: Arc<Target>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let stream = acceptor.accept(tcp).await?;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP_2);
    let io = TokioIo::new(stream);
    let service = service_fn(move |request| answer(request, target.clone()));
    if is_http2 {
        let builder = http2::Builder::new(TokioExecutor::new());
        builder.serve_connection(io, service).await?;
    } else {
        http1::Builder::new().serve_connection(io, service).await?;
    }
    Ok(())
}

async fn answer(
    request: Request<Incoming>,
    target: Arc<Target>,
) -> Result<Response<Lent>, Infallible> {
    let answer = pool::send(towards_target(request), &target).await;
    Ok(answer.unwrap_or_else(|_| {
        let mut response = Response::new(Lent::nothing());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    }))
}

/// In the form of HTTP/1.1 (RFC 9112 section 3.2.1): the path alone, and whom it is for in `Host`.
fn towards_target(mut request: Request<Incoming>) -> Request<Incoming> {
    if let Some(authority) = request.uri().authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
    }
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().remove(CONNECTION);
    request
}
