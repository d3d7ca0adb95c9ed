//! A WebSocket: after the handshake, bytes both ways until one side ends, nothing comes, or the balancer
//! leaves.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

use super::idle::IdleTimer;
use crate::error::End;
use crate::exchange::Exchange;
use crate::upstream::http1::Upgraded;

/// Two connections that are about to become one.
pub struct Upgrade {
    client: OnUpgrade,
    target: Upgraded,
    idle: Duration,
}

impl Upgrade {
    pub(super) fn new(client: OnUpgrade, target: Upgraded, idle: Duration) -> Self {
        Self {
            client,
            target,
            idle,
        }
    }

    /// Copies in the background, once the client has got the answer.
    pub(super) fn start(self, mut exchange: Box<Exchange>) {
        // Where nobody says otherwise, the runtime has ended first.
        exchange.end(End::Drained);
        tokio::spawn(async move {
            let end = self.run(&mut exchange).await;
            exchange.end(end);
        });
    }

    async fn run(self, exchange: &mut Exchange) -> End {
        let Ok(client) = self.client.await else {
            return End::ClientGone;
        };
        let client = Counted::new(TokioIo::new(client));
        let target = Counted::new(self.target);
        let (from_client, from_target) = (client.count.clone(), target.count.clone());
        let end = relay(client, target, self.idle).await;
        let record = exchange.record();
        record.request_bytes = from_client.load(Ordering::Relaxed);
        record.response_bytes = from_target.load(Ordering::Relaxed);
        end
    }
}

async fn relay<A, B>(mut client: Counted<A>, mut target: Counted<B>, idle: Duration) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let counts = [client.count.clone(), target.count.clone()];
    let total = || {
        counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum::<u64>()
    };
    let mut copying = pin!(copy_bidirectional(&mut client, &mut target));
    let mut timer = IdleTimer::new(idle);
    let mut before = total();
    poll_fn(|cx| {
        if let Poll::Ready(copied) = copying.as_mut().poll(cx) {
            return Poll::Ready(copied.map_or(End::ClientGone, |_| End::Done));
        }
        let now = total();
        if now != before {
            before = now;
            timer.progress();
        }
        match timer.poll_expired(cx) {
            true => Poll::Ready(End::UpgradeIdle),
            false => Poll::Pending,
        }
    })
    .await
}

/// A stream that counts the bytes read from it.
struct Counted<S> {
    stream: S,
    count: std::sync::Arc<AtomicU64>,
}

impl<S> Counted<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            count: std::sync::Arc::default(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let came = buffer.filled().len() - before;
        self.count.fetch_add(came as u64, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn what_is_said_passes_and_silence_ends_it() {
        let (mut client, near) = duplex(64);
        let (far, mut target) = duplex(64);
        let relay = tokio::spawn(relay(Counted::new(near), Counted::new(far), IDLE));
        let start = tokio::time::Instant::now();
        tokio::time::sleep(IDLE / 2).await;
        client.write_all(b"ping").await.unwrap();
        let mut heard = [0; 4];
        target.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"ping");
        assert_eq!(relay.await.unwrap(), End::UpgradeIdle);
        assert!(start.elapsed() >= IDLE * 3 / 2);
    }

    #[tokio::test]
    async fn both_sides_end_it() {
        let (client, near) = duplex(64);
        let (far, target) = duplex(64);
        drop((client, target));
        let end = relay(Counted::new(near), Counted::new(far), IDLE).await;
        assert_eq!(end, End::Done);
    }
}
