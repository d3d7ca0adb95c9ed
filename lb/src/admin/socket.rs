//! The server's side of the admin socket.
//!
//! Whoever may connect can change what is served, so the socket has mode 0600 and asks the kernel
//! who its peer is: the balancer's own user or root, nobody else. Requests are bounded in size and
//! time, and a peer that breaks off harms nobody.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};
use tracing::{debug, warn};

use super::place::Place;
use super::protocol::{
    Envelope, EnvelopeVersion, Refusal, Reply, Request, Response, Step, VERSION,
};
use super::wire::{self, Secret};

/// What answers the requests.
pub trait Handler: Send + Sync + 'static {
    /// Does what is asked. Called on threads that may block, several at once.
    ///
    /// # Errors
    /// Why it was not done.
    fn handle(
        &self,
        request: Request,
        secret: Secret,
        progress: &dyn Fn(Step),
    ) -> Result<Response, Refusal>;

    /// The answer to [`Request::Drain`] is out: the process may end.
    fn leave(&self);
}

/// Binds the admin socket at `path`, in place of one that a killed process left there.
///
/// # Errors
/// What the system says, for instance that the path is too long for a socket (107 bytes).
pub fn bind(path: &Path) -> io::Result<StdListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if is_socket(&found) => remove_abandoned(path)?,
        Ok(_) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "a file is in the way",
            ));
        }
        Err(_) => {}
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody connects before listen(2), so that no moment is left to a stranger.
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Nobody listens on what a killed process left; what somebody listens on is not ours to take, for
/// several state directories may name the same path.
fn remove_abandoned(path: &Path) -> io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process listens there",
        )),
    }
}

/// Answers requests on `listener`, about the state directory `place`, for as long as the future lives.
///
/// # Errors
/// When the runtime does not take the socket.
pub async fn serve(
    listener: StdListener,
    place: Place,
    handler: Arc<dyn Handler>,
) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = permits.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let handler = handler.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, place, handler).await {
                        debug!(%error, "an admin connection broke off");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept an admin connection");
                sleep(PAUSE).await;
            }
        }
    }
}

fn is_socket(found: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    found.file_type().is_socket()
}

/// One connection: who is it, what does it ask, the answer.
async fn converse(
    mut stream: UnixStream,
    place: Place,
    handler: Arc<dyn Handler>,
) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    if !may_steer(peer.uid(), rustix::process::geteuid().as_raw()) {
        warn!(
            uid = peer.uid(),
            pid = peer.pid(),
            "a stranger was turned away from the admin socket"
        );
        send(&mut stream, &Reply::Refused(stranger(peer.uid()))).await?;
        // What is sent to us goes unread, but a close before that would take the answer with it.
        let mut rest = stream.take(wire::REQUEST_LIMIT as u64);
        timeout(
            REQUEST_TIME,
            tokio::io::copy(&mut rest, &mut tokio::io::sink()),
        )
        .await??;
        return Ok(());
    }
    let frame = timeout(
        REQUEST_TIME,
        wire::read_async(&mut stream, wire::REQUEST_LIMIT),
    )
    .await??;
    let Some(frame) = frame else { return Ok(()) };
    let request = match understand(&frame, place) {
        Ok(request) => request,
        Err(refusal) => return send(&mut stream, &Reply::Refused(refusal)).await,
    };
    let outcome = work(&mut stream, handler.clone(), request, frame.secret).await?;
    let ending = matches!(outcome, Reply::Done(Response::Draining { .. }));
    let sent = send(&mut stream, &outcome).await;
    if ending {
        handler.leave();
    }
    sent?;
    if ending {
        // Held open until the process ends, so that the peer sees when; or until the peer leaves.
        let _eof = stream.read(&mut [0]).await?;
    }
    Ok(())
}

/// The request in `frame`, if it is of this protocol.
fn understand(frame: &wire::Frame, place: Place) -> Result<Request, Refusal> {
    let version: EnvelopeVersion = frame.parse().map_err(Refusal::usage)?;
    if version.protocol != VERSION {
        return Err(Refusal::failed(format!(
            "this command speaks version {} of the admin protocol and the running balancer version \
             {VERSION}: use the binary that runs, or restart the balancer with this one",
            version.protocol
        )));
    }
    let envelope = frame.parse::<Envelope>().map_err(Refusal::usage)?;
    if envelope.state != place {
        return Err(Refusal::failed(
            "the balancer that listens there is that of another state directory, of which yours may be a copy",
        ));
    }
    Ok(envelope.request)
}

/// Has `request` done on a thread of its own, and tells the peer how far it has come.
async fn work(
    stream: &mut UnixStream,
    handler: Arc<dyn Handler>,
    request: Request,
    secret: Secret,
) -> io::Result<Reply> {
    let (steps, mut taken) = mpsc::channel(16);
    let mut work: JoinHandle<_> = tokio::task::spawn_blocking(move || {
        handler.handle(request, secret, &|step| {
            // A step that the peer is too slow for is left out: a later one follows.
            let _ = steps.try_send(step);
        })
    });
    let mut heartbeat = interval(HEARTBEAT);
    heartbeat.tick().await;
    loop {
        tokio::select! {
            biased;
            Some(step) = taken.recv() => send(stream, &Reply::Progress(step)).await?,
            done = &mut work => return Ok(match done {
                Ok(Ok(response)) => Reply::Done(response),
                Ok(Err(refusal)) => Reply::Refused(refusal),
                Err(_) => Reply::Refused(Refusal::failed(
                    "the balancer failed inside on this request and goes on: look into its log",
                )),
            }),
            _ = heartbeat.tick() => send(stream, &Reply::Working).await?,
        }
    }
}

async fn send(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    timeout(REPLY_TIME, wire::write_async(stream, reply)).await?
}

/// Whether user `peer` may steer a balancer of user `own`.
fn may_steer(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

fn stranger(uid: u32) -> Refusal {
    Refusal::failed(format!(
        "user id {uid} may not steer this balancer: run the command as its user or as root"
    ))
}

const CONNECTIONS: usize = 64;
const BACKLOG: i32 = 64;
const PAUSE: Duration = Duration::from_millis(100);
const REQUEST_TIME: Duration = Duration::from_secs(5);
const REPLY_TIME: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as StdStream;

    use super::*;
    use crate::admin::client::{CallError, Client};
    use crate::admin::protocol::KeyDescription;

    /// Answers what the tests ask, and fails where they want it to.
    struct Fake;

    impl Handler for Fake {
        fn handle(
            &self,
            request: Request,
            secret: Secret,
            progress: &dyn Fn(Step),
        ) -> Result<Response, Refusal> {
            match request {
                Request::KeyList => {
                    progress(Step { done: 1, total: 2 });
                    Ok(Response::Keys(Vec::new()))
                }
                Request::Reload => panic!("on purpose"),
                Request::StoreVerify => Err(Refusal::failed(format!("{} bytes", secret.len()))),
                _ => Err(Refusal::usage("not known here")),
            }
        }

        fn leave(&self) {
            unreachable!("nobody asks for a drain")
        }
    }

    /// Runs `test` beside a server on a fresh socket.
    fn with_server(test: impl FnOnce(&Path) + Send + 'static) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let listener = bind(&path).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let place = Place::of(directory.path()).unwrap();
        runtime.spawn(serve(listener, place, Arc::new(Fake)));
        runtime
            .block_on(runtime.handle().spawn_blocking(move || test(&path)))
            .unwrap();
    }

    fn connect(path: &Path) -> Client {
        Client::connect(path, path.parent().unwrap()).unwrap()
    }

    fn ask(path: &Path, request: Request, secret: &[u8]) -> Result<Response, CallError> {
        connect(path).call(request, secret, &|_| {})
    }

    #[test]
    fn the_socket_is_for_its_user_alone() {
        with_server(|path| {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        });
        assert!(may_steer(1000, 1000) && may_steer(0, 1000));
        assert!(!may_steer(1001, 1000) && !may_steer(1001, 0));
    }

    #[test]
    fn a_request_is_answered_with_its_steps() {
        with_server(|path| {
            let steps = std::cell::RefCell::new(Vec::new());
            let keys = connect(path).call(Request::KeyList, &[], &|step| {
                steps.borrow_mut().push(step.done);
            });
            assert_eq!(keys.unwrap(), Response::Keys(Vec::<KeyDescription>::new()));
            assert_eq!(*steps.borrow(), [1]);
        });
    }

    #[test]
    fn secrets_travel_beside_the_header_and_refusals_come_back() {
        with_server(|path| match ask(path, Request::StoreVerify, &[7; 1200]) {
            Err(CallError::Refused(refusal)) => assert_eq!(refusal.message, "1200 bytes"),
            other => panic!("{other:?}"),
        });
    }

    #[test]
    fn broken_clients_and_panics_harm_nobody() {
        with_server(|path| {
            StdStream::connect(path)
                .unwrap()
                .write_all(&[0xff; 64])
                .unwrap();
            StdStream::connect(path)
                .unwrap()
                .write_all(&[0, 0, 0, 9, b'{'])
                .unwrap();
            drop(StdStream::connect(path).unwrap());
            match ask(path, Request::Reload, &[]) {
                Err(CallError::Refused(refusal)) => assert!(!refusal.usage),
                other => panic!("{other:?}"),
            }
            assert!(ask(path, Request::KeyList, &[]).is_ok());
        });
    }

    #[test]
    fn another_version_is_told_so() {
        with_server(|path| {
            let mut stream = StdStream::connect(path).unwrap();
            let later = serde_json::json!({ "protocol": 99, "request": { "kind": "unheard_of" } });
            wire::write(&mut stream, &later, &[]).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(String::from_utf8_lossy(&answer).contains("version 99"));
        });
    }

    #[test]
    fn a_copy_of_the_state_directory_steers_nothing() {
        with_server(|path| {
            let copy = tempfile::tempdir().unwrap();
            let asked =
                Client::connect(path, copy.path())
                    .unwrap()
                    .call(Request::KeyList, &[], &|_| {});
            match asked {
                Err(CallError::Refused(refusal)) => assert!(refusal.message.contains("copy")),
                other => panic!("{other:?}"),
            }
        });
    }

    #[test]
    fn a_socket_that_somebody_listens_on_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let _first = bind(&path).unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_socket_left_behind_is_replaced_but_a_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        drop(bind(&path).unwrap());
        bind(&path).unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        assert!(bind(&file).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    }
}
