//! The body of a request, as the service gets it.

use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;

/// The body of a request.
///
/// One that is dropped before its end resets its stream of HTTP/2, and there are clients that drop a
/// response with it, though the error code says that there is no error (RFC 9113, section 8.1). What
/// such a client sends is therefore read for a while and thrown away.
#[derive(Debug)]
pub struct Incoming {
    /// Until it is dropped.
    body: Option<hyper::body::Incoming>,
    lingers: bool,
}

impl Incoming {
    /// The body of `request`, as hyper gives it.
    pub(crate) fn of(request: Request<hyper::body::Incoming>) -> Request<Self> {
        let lingers = request.version() == Version::HTTP_2;
        request.map(|body| Self {
            body: Some(body),
            lingers,
        })
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let body = self.body.take().filter(|body| !body.is_end_stream());
        let Some(body) = body.filter(|_| self.lingers) else {
            return;
        };
        // A worker that has ended has no clients.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(LINGER, discard(body)));
        }
    }
}

/// Reads `body` to its end. After so many bytes the client may send no more, but still gets its response.
async fn discard(mut body: hyper::body::Incoming) {
    let mut left = LINGER_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return pending().await;
        }
    }
}

/// How long, and how much, is read from a client that was answered before it had sent everything.
pub(super) const LINGER: Duration = Duration::from_secs(1);
pub(super) const LINGER_BYTES: usize = 256 << 10;
