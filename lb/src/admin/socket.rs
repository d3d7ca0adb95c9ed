//! The server's side of the admin socket.
//!
//! Whoever may connect to the admin socket can change what is served, so it has mode 0600 and asks the
//! kernel who its peer is: the balancer's own user or root, nobody else. The socket of the KMS is for
//! every user, for calls of the KMS alone, which asks as whom the peer's user id stands. Requests are
//! bounded in size and time, and a peer that breaks off harms nobody.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::AsyncReadExt;
use tokio::net::unix::UCred;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{interval, sleep, timeout};
use tracing::{debug, warn};

use super::place::Place;
use super::protocol::{
    Answer, Envelope, EnvelopeVersion, Refusal, Reply, Request, Response, Step, VERSION,
};
use super::wire::{self, Secret};

/// What answers the requests.
pub trait Handler: Send + Sync + 'static {
    /// Does what the user `peer` asks. Called on threads that may block, several at once.
    ///
    /// # Errors
    /// Why it was not done.
    fn handle(
        &self,
        peer: u32,
        request: Request,
        secret: Secret,
        progress: &dyn Fn(Step),
    ) -> Result<Answer, Refusal>;

    /// The answer to [`Request::Drain`] is out: the process may end.
    fn leave(&self);
}

/// Whom a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// The balancer's own user and root, for everything.
    Administrators,
    /// Every user of this machine, for calls of the KMS.
    Everybody,
}

impl Audience {
    fn mode(self) -> u32 {
        match self {
            Self::Administrators => 0o600,
            Self::Everybody => 0o666,
        }
    }

    /// The longest header of a request: to the KMS it names an operation, and no more.
    fn request_limit(self) -> usize {
        match self {
            Self::Administrators => wire::REQUEST_LIMIT,
            Self::Everybody => KMS_REQUEST_LIMIT,
        }
    }

    /// Connections that one user may have at once, so that nobody keeps all others out.
    fn connections_of_one(self) -> usize {
        match self {
            Self::Administrators => CONNECTIONS,
            Self::Everybody => CONNECTIONS / 4,
        }
    }

    /// Whether user `peer` may ask something of a balancer of user `own`.
    fn has(self, peer: u32, own: u32) -> bool {
        self == Self::Everybody || peer == own || peer == 0
    }
}

/// Binds a socket at `path`, in place of one that a killed process left there.
///
/// # Errors
/// What the system says, for instance that the path is too long for a socket (107 bytes).
pub fn bind(path: &Path, audience: Audience) -> io::Result<StdListener> {
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
    std::fs::set_permissions(path, PermissionsExt::from_mode(audience.mode()))?;
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

/// Answers requests of `audience` on `listener`, about the state directory `place`, for as long as the
/// future lives.
///
/// # Errors
/// When the runtime does not take the socket.
pub async fn serve(
    listener: StdListener,
    audience: Audience,
    place: Place,
    handler: Arc<dyn Handler>,
) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let crowd = Arc::new(Crowd::default());
    loop {
        let permit = permits.clone().acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let handler = handler.clone();
                let Some(place_taken) = crowd.let_in(&stream, audience) else {
                    continue;
                };
                tokio::spawn(async move {
                    let _place_taken = place_taken;
                    if let Err(error) = converse(stream, audience, place, handler).await {
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

/// Who is connected how often.
#[derive(Default)]
struct Crowd(Mutex<HashMap<u32, usize>>);

/// A connection of a user, as long as it lives.
struct PlaceTaken {
    crowd: Arc<Crowd>,
    uid: u32,
}

impl Crowd {
    /// A place for the peer of `stream`; none where it has as many as one user may have. Such a connection is
    /// closed at once: to wait until it has been told why would be what it wants.
    fn let_in(self: &Arc<Self>, stream: &UnixStream, audience: Audience) -> Option<PlaceTaken> {
        let uid = stream.peer_cred().ok()?.uid();
        let mut places = self.0.lock();
        let taken = places.entry(uid).or_default();
        if *taken >= audience.connections_of_one() {
            debug!(uid, "a connection too many of one user was closed");
            return None;
        }
        *taken += 1;
        Some(PlaceTaken {
            crowd: self.clone(),
            uid,
        })
    }
}

impl Drop for PlaceTaken {
    fn drop(&mut self) {
        let mut places = self.crowd.0.lock();
        if let Some(taken) = places.get_mut(&self.uid) {
            *taken -= 1;
            if *taken == 0 {
                places.remove(&self.uid);
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
    audience: Audience,
    place: Place,
    handler: Arc<dyn Handler>,
) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    if !audience.has(peer.uid(), rustix::process::geteuid().as_raw()) {
        return turn_away(stream, peer).await;
    }
    let frame = timeout(
        REQUEST_TIME,
        wire::read_async(&mut stream, audience.request_limit()),
    )
    .await??;
    let Some(frame) = frame else { return Ok(()) };
    let request = match understand(&frame, audience, place) {
        Ok(request) => request,
        Err(refusal) => return send(&mut stream, &Reply::Refused(refusal)).await,
    };
    let asked = Asked {
        peer: peer.uid(),
        request,
        secret: frame.secret,
    };
    let (outcome, secret) = work(&mut stream, handler.clone(), asked).await?;
    let ending = matches!(outcome, Reply::Done(Response::Draining { .. }));
    let sent = send_with(&mut stream, &outcome, &secret).await;
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

/// Tells somebody whom the socket is not for.
async fn turn_away(mut stream: UnixStream, peer: UCred) -> io::Result<()> {
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
    Ok(())
}

/// The request in `frame`, if it is of this protocol and for this socket.
fn understand(frame: &wire::Frame, audience: Audience, place: Place) -> Result<Request, Refusal> {
    let version: EnvelopeVersion = frame.parse().map_err(Refusal::usage)?;
    if version.protocol != VERSION {
        return Err(Refusal::failed(format!(
            "this command speaks version {} of the admin protocol and the running balancer version \
             {VERSION}: use the binary that runs, or restart the balancer with this one",
            version.protocol
        )));
    }
    let envelope = frame.parse::<Envelope>().map_err(Refusal::usage)?;
    let of_kms = matches!(envelope.request, Request::KmsCall { .. });
    if audience == Audience::Everybody && !of_kms {
        return Err(Refusal::failed(
            "this socket is for calls of the KMS alone: use the admin socket",
        ));
    }
    match envelope.state {
        Some(state) if state == place => Ok(envelope.request),
        None if of_kms => Ok(envelope.request),
        _ => Err(Refusal::failed(
            "the balancer that listens there is that of another state directory, of which yours may be a copy",
        )),
    }
}

/// What somebody asks.
struct Asked {
    /// The user id.
    peer: u32,
    request: Request,
    secret: Secret,
}

/// Has it done on a thread of its own, and tells the peer how far it has come.
async fn work(
    stream: &mut UnixStream,
    handler: Arc<dyn Handler>,
    asked: Asked,
) -> io::Result<(Reply, Secret)> {
    let (steps, mut taken) = mpsc::channel(16);
    let mut work: JoinHandle<_> = tokio::task::spawn_blocking(move || {
        handler.handle(asked.peer, asked.request, asked.secret, &|step| {
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
                Ok(Ok(answer)) => (Reply::Done(answer.response), answer.secret),
                Ok(Err(refusal)) => (Reply::Refused(refusal), Secret::default()),
                Err(_) => (Reply::Refused(broken_inside()), Secret::default()),
            }),
            _ = heartbeat.tick() => send(stream, &Reply::Working).await?,
        }
    }
}

fn broken_inside() -> Refusal {
    Refusal::failed("the balancer failed inside on this request and goes on: look into its log")
}

async fn send(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    send_with(stream, reply, &[]).await
}

async fn send_with(stream: &mut UnixStream, reply: &Reply, secret: &[u8]) -> io::Result<()> {
    timeout(REPLY_TIME, wire::write_async(stream, reply, secret)).await?
}

fn stranger(uid: u32) -> Refusal {
    Refusal::failed(format!(
        "user id {uid} may not steer this balancer: run the command as its user or as root"
    ))
}

const CONNECTIONS: usize = 64;
/// The longest header of a call of the KMS. What is asked stands beside it.
const KMS_REQUEST_LIMIT: usize = 4096;
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

    /// Answers what the tests ask, and fails where they want it to.
    struct Fake;

    impl Handler for Fake {
        fn handle(
            &self,
            peer: u32,
            request: Request,
            secret: Secret,
            progress: &dyn Fn(Step),
        ) -> Result<Answer, Refusal> {
            match request {
                Request::KmsCall { operation, .. } => {
                    progress(Step { done: 1, total: 2 });
                    Ok(Answer {
                        response: Response::KmsAnswered,
                        secret: Secret::new(format!("{operation} for {peer}").into_bytes()),
                    })
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
        with_server_for(Audience::Administrators, test);
    }

    fn with_server_for(audience: Audience, test: impl FnOnce(&Path) + Send + 'static) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let listener = bind(&path, audience).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let place = Place::of(directory.path()).unwrap();
        runtime.spawn(serve(listener, audience, place, Arc::new(Fake)));
        runtime
            .block_on(runtime.handle().spawn_blocking(move || test(&path)))
            .unwrap();
    }

    fn connect(path: &Path) -> Client {
        Client::connect(path, path.parent().unwrap()).unwrap()
    }

    fn describe_key() -> Request {
        Request::KmsCall {
            operation: "DescribeKey".to_owned(),
            force: false,
        }
    }

    fn ask(path: &Path, request: Request, secret: &[u8]) -> Result<Answer, CallError> {
        connect(path).call(request, secret, &|_| {})
    }

    #[test]
    fn the_socket_is_for_its_user_alone() {
        with_server(|path| {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        });
        let administrators = Audience::Administrators;
        assert!(administrators.has(1000, 1000) && administrators.has(0, 1000));
        assert!(!administrators.has(1001, 1000) && !administrators.has(1001, 0));
    }

    #[test]
    fn the_socket_of_the_kms_is_for_everybody_and_for_the_kms_alone() {
        with_server_for(Audience::Everybody, |path| {
            let mode = std::fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o666);
            match ask(path, Request::Reload, &[]) {
                Err(CallError::Refused(refusal)) => {
                    assert!(refusal.message.contains("KMS alone"), "{refusal}");
                }
                _ => panic!("not refused"),
            }
            let mut client = Client::connect_to_socket(path).unwrap();
            assert!(client.call(describe_key(), &[], &|_| {}).is_ok());
        });
        assert!(Audience::Everybody.has(1001, 1000));
    }

    #[test]
    fn a_request_is_answered_with_its_steps() {
        with_server(|path| {
            let steps = std::cell::RefCell::new(Vec::new());
            let answer = connect(path).call(describe_key(), &[], &|step| {
                steps.borrow_mut().push(step.done);
            });
            let answer = answer.unwrap_or_else(|error| panic!("{error}"));
            let me = rustix::process::geteuid().as_raw();
            assert_eq!(answer.response, Response::KmsAnswered);
            assert_eq!(*answer.secret, format!("DescribeKey for {me}").into_bytes());
            assert_eq!(*steps.borrow(), [1]);
        });
    }

    #[test]
    fn secrets_travel_beside_the_header_and_refusals_come_back() {
        with_server(|path| match ask(path, Request::StoreVerify, &[7; 1200]) {
            Err(CallError::Refused(refusal)) => assert_eq!(refusal.message, "1200 bytes"),
            _ => panic!("not refused"),
        });
    }

    #[test]
    fn one_user_does_not_take_every_place() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let crowd = Arc::new(Crowd::default());
            let (stream, _other) = UnixStream::pair().unwrap();
            let let_in = || crowd.let_in(&stream, Audience::Everybody);
            let mut places: Vec<_> = std::iter::from_fn(let_in).take(CONNECTIONS).collect();
            assert_eq!(places.len(), CONNECTIONS / 4);
            places.pop();
            let again = let_in();
            assert!(again.is_some() && let_in().is_none());
            drop((places, again));
            assert!(crowd.0.lock().is_empty());
            assert!(crowd.let_in(&stream, Audience::Administrators).is_some());
        });
    }

    #[test]
    fn a_call_of_the_kms_has_a_short_header() {
        with_server_for(Audience::Everybody, |path| {
            let mut stream = StdStream::connect(path).unwrap();
            let len = u32::try_from(KMS_REQUEST_LIMIT + 1).unwrap();
            stream.write_all(&len.to_be_bytes()).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert!(answer.is_empty());
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
                _ => panic!("not refused"),
            }
            assert!(ask(path, describe_key(), &[]).is_ok());
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
                    .call(describe_key(), &[], &|_| {});
            match asked {
                Err(CallError::Refused(refusal)) => assert!(refusal.message.contains("copy")),
                _ => panic!("not refused"),
            }
        });
    }

    #[test]
    fn a_socket_that_somebody_listens_on_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let bind = || bind(&path, Audience::Administrators);
        let _first = bind().unwrap();
        assert_eq!(bind().unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_socket_left_behind_is_replaced_but_a_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.sock");
        let bind = |path: &Path| bind(path, Audience::Administrators);
        drop(bind(&path).unwrap());
        bind(&path).unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        assert!(bind(&file).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    }
}
