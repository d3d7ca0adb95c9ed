//! How a connection fails, by kind.

use std::fmt;
use std::io::{self, ErrorKind};

use rustls::{AlertDescription, Error};

/// How a connection failed. Its text is what it is counted under, so it names no details that differ
/// from one connection to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// No TCP connection came about.
    Connect(Reason),
    /// The connection was reset.
    Reset,
    /// The server closed the connection in the middle of the handshake, without an alert.
    Closed,
    /// It took too long; the stage that it was in.
    Timeout(Stage),
    /// The server sent a fatal alert.
    Alert(AlertDescription),
    /// The server's certificate was refused.
    Certificate(String),
    /// The server did something else that the protocol does not allow.
    Tls(String),
    /// What came back is no HTTP response, or is cut off.
    Response,
    /// The server closed the connection before the end of the response.
    CutOff,
    /// What came back is no HTTP.
    NotHttp,
    /// The server did not agree on the application protocol with ALPN (RFC 7301).
    Alpn,
    /// The server did something else that HTTP does not allow, or refused a stream.
    Http(String),
    /// The system failed otherwise.
    System(ErrorKind),
}

/// Why no TCP connection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nobody listens there.
    Refused,
    /// There is no way there.
    Unreachable,
    /// Nobody answers.
    TimedOut,
    /// All local ports are taken.
    NoLocalPort,
    /// Too many files are open in this process.
    NoDescriptor,
    /// Something else.
    Other(ErrorKind),
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The TCP connection is being opened.
    Connect,
    /// The TLS handshake is under way.
    Handshake,
    /// The response is awaited or being read.
    Response,
}

impl Failure {
    /// A failure to open a TCP connection.
    pub(super) fn connecting(error: &io::Error) -> Self {
        Self::Connect(match error.kind() {
            ErrorKind::ConnectionRefused => Reason::Refused,
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => Reason::Unreachable,
            ErrorKind::TimedOut => Reason::TimedOut,
            ErrorKind::AddrNotAvailable => Reason::NoLocalPort,
            _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
                Reason::NoDescriptor
            }
            other => Reason::Other(other),
        })
    }

    /// A failure to read or write on an open connection.
    pub(super) fn transferring(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                Self::Reset
            }
            other => Self::System(other),
        }
    }

    /// A failure to shake hands.
    pub(super) fn shaking(error: &io::Error) -> Self {
        match inner::<Error>(error) {
            Some(tls) => tls.clone().into(),
            None if error.kind() == ErrorKind::UnexpectedEof => Self::Closed,
            None => Self::transferring(error),
        }
    }

    /// A failure to have a request answered.
    pub(super) fn asking(error: &hyper::Error) -> Self {
        use std::error::Error as _;
        let source = error.source();
        if let Some(io) = source.and_then(|source| source.downcast_ref::<io::Error>()) {
            return match (inner::<Error>(io), io.kind()) {
                (Some(tls), _) => tls.clone().into(),
                (None, ErrorKind::UnexpectedEof) => Self::CutOff,
                (None, _) => Self::transferring(io),
            };
        }
        match source {
            _ if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => {
                Self::CutOff
            }
            _ if error.is_parse() => Self::NotHttp,
            Some(source) => Self::Http(source.to_string()),
            None => Self::Http(error.to_string()),
        }
    }

    /// Too long at `stage`.
    pub(super) fn late(stage: Stage) -> Self {
        match stage {
            Stage::Connect => Self::Connect(Reason::TimedOut),
            _ => Self::Timeout(stage),
        }
    }

    /// Whether there was not even a TCP connection.
    pub fn is_connect(&self) -> bool {
        matches!(self, Self::Connect(_))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::AlertReceived(alert) => Self::Alert(alert),
            Error::InvalidCertificate(why) => Self::Certificate(kind_of(&why)),
            other => Self::Tls(other.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(reason) => write!(f, "connect: {reason}"),
            Self::Reset => f.write_str("connection reset"),
            Self::Closed => f.write_str("closed during the handshake"),
            Self::Timeout(Stage::Response) => f.write_str("timeout: response"),
            Self::Timeout(_) => f.write_str("timeout: handshake"),
            Self::Alert(alert) => write!(f, "alert: {}", alert_name(*alert)),
            Self::Certificate(why) => write!(f, "certificate: {why}"),
            Self::Tls(what) => write!(f, "tls: {what}"),
            Self::Response => f.write_str("response: cut off or not HTTP/1.1"),
            Self::CutOff => f.write_str("closed before the end of the response"),
            Self::NotHttp => f.write_str("response: not HTTP"),
            Self::Alpn => f.write_str("alpn: no agreement on the protocol"),
            Self::Http(what) => write!(f, "http: {what}"),
            Self::System(kind) => write!(f, "system: {kind}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("refused"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::TimedOut => f.write_str("timed out"),
            Self::NoLocalPort => f.write_str("no free local port"),
            Self::NoDescriptor => f.write_str("too many open files here (see `ulimit -n`)"),
            Self::Other(kind) => write!(f, "{kind}"),
        }
    }
}

fn inner<E: std::error::Error + 'static>(error: &io::Error) -> Option<&E> {
    error.get_ref()?.downcast_ref()
}

/// An alert's name as RFC 8446 section 6 writes it, `handshake_failure`, or its number.
fn alert_name(alert: AlertDescription) -> String {
    let name = format!("{alert:?}");
    match name.contains('(') {
        true => u8::from(alert).to_string(),
        false => snake_case(&name),
    }
}

/// What is wrong with a certificate, without dates and names: `expired`, `unknown issuer`.
fn kind_of(why: &rustls::CertificateError) -> String {
    let text = match why {
        rustls::CertificateError::Other(inner) => inner.to_string(),
        known => format!("{known:?}"),
    };
    let end = text.find([' ', '(', '{']).unwrap_or(text.len());
    let kind = text[..end].trim_end_matches("Context");
    snake_case(kind).replace('_', " ")
}

fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    let mut after_lower = false;
    for character in name.chars() {
        if character.is_ascii_uppercase() && after_lower {
            out.push('_');
        }
        after_lower = character.is_ascii_lowercase();
        out.push(character.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::CertificateError;
    use rustls::pki_types::UnixTime;

    #[test]
    fn alerts_go_by_their_names_in_the_standard() {
        let name = |alert| Failure::from(Error::AlertReceived(alert)).to_string();
        assert_eq!(name(AlertDescription::AccessDenied), "alert: access_denied");
        assert_eq!(
            name(AlertDescription::HandshakeFailure),
            "alert: handshake_failure"
        );
        assert_eq!(name(AlertDescription::UnknownCA), "alert: unknown_ca");
        assert_eq!(name(AlertDescription::Unknown(99)), "alert: 99");
    }

    #[test]
    fn a_certificates_faults_are_one_kind_whatever_the_dates() {
        let kind = |why| Failure::from(Error::InvalidCertificate(why)).to_string();
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1));
        let not_after = time;
        assert_eq!(
            kind(CertificateError::ExpiredContext { time, not_after }),
            "certificate: expired"
        );
        assert_eq!(
            kind(CertificateError::UnknownIssuer),
            "certificate: unknown issuer"
        );
    }
}
