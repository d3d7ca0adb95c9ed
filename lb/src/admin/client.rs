//! The commands' side of the admin socket.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use super::place::Place;
use super::protocol::{Answer, Envelope, Refusal, Reply, Request, Step, VERSION};
use super::wire;

/// A connection to a running balancer, good for one request.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    /// The state directory that is meant, where one was named.
    place: Option<Place>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The balancer understood, and did not do it.
    #[error(transparent)]
    Refused(Refusal),
    /// It could not be asked, or its answer not be read.
    #[error("{}", describe(.0))]
    Io(#[from] io::Error),
}

impl Client {
    /// Connects to the admin socket `socket` of the balancer of the state directory `state`.
    ///
    /// # Errors
    /// What the system says: nobody listens there, or this user may not; and
    /// [`io::ErrorKind::PermissionDenied`] where somebody else listens, who must not see a key.
    pub fn connect(socket: &Path, state: &Path) -> io::Result<Self> {
        let place = Place::of(state)?;
        let stream = UnixStream::connect(socket)?;
        refuse_stranger(&stream, state)?;
        Self::on(stream, Some(place))
    }

    /// Connects to `socket`, whatever state directory it is of.
    ///
    /// # Errors
    /// As of [`connect`](Self::connect); who listens must own the directory that the socket is in.
    pub fn connect_to_socket(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        let directory = socket.parent().filter(|parent| *parent != Path::new(""));
        refuse_stranger(&stream, directory.unwrap_or(Path::new(".")))?;
        Self::on(stream, None)
    }

    fn on(stream: UnixStream, place: Option<Place>) -> io::Result<Self> {
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        Ok(Self { stream, place })
    }

    /// Asks `request`, with the secret that goes with it (empty for none), and waits for the
    /// response. `progress` hears of each step.
    ///
    /// # Errors
    /// The balancer's refusal, or what went wrong on the way.
    pub fn call(
        &mut self,
        request: Request,
        secret: &[u8],
        progress: &dyn Fn(Step),
    ) -> Result<Answer, CallError> {
        wire::write(
            &mut self.stream,
            &Envelope {
                protocol: VERSION,
                state: self.place,
                request,
            },
            secret,
        )?;
        loop {
            let frame = wire::read(&mut self.stream, wire::REPLY_LIMIT)?;
            let frame = frame.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            match frame.parse()? {
                Reply::Working => {}
                Reply::Progress(step) => progress(step),
                Reply::Done(response) => {
                    let secret = frame.secret;
                    return Ok(Answer { response, secret });
                }
                Reply::Refused(refusal) => return Err(CallError::Refused(refusal)),
            }
        }
    }

    /// Waits until the balancer closes the connection, which after a drain it does by ending.
    ///
    /// # Errors
    /// When it has not ended after `patience`.
    pub fn wait_for_end(mut self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        match self.stream.read(&mut [0]) {
            Err(error) if is_timeout(&error) => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whoever listens must be this user, the owner of `directory`, or root.
fn refuse_stranger(stream: &UnixStream, directory: &Path) -> io::Result<()> {
    let listener = socket_peercred(stream)?.uid.as_raw();
    let owner = std::fs::metadata(directory)?.uid();
    if [geteuid().as_raw(), owner, 0].contains(&listener) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "user id {listener} listens there, who does not own {}",
            directory.display()
        ),
    ))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            "the running balancer closed the admin connection without an answer: look into its log, \
             and whether this is its user or root"
                .to_owned()
        }
        _ if is_timeout(error) => format!(
            "the running balancer has not answered for {} seconds: look into its log",
            SILENCE.as_secs()
        ),
        _ => format!("the admin socket of the running balancer failed: {error}"),
    }
}

/// How long the balancer may be silent; while it works it says so more often.
const SILENCE: Duration = Duration::from_secs(30);
