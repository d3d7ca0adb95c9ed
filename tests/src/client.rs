//! Clients: curl as people use it, and a TLS client that sees what it is given.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

/// Runs `curl --silent --show-error ARGUMENTS` and gives its output.
///
/// # Panics
/// When curl fails, with what it says.
pub fn curl<'a>(arguments: impl IntoIterator<Item = &'a str>) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60"])
        .args(arguments)
        .output()
        .expect("curl is installed");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A TLS client that keeps its sessions.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

/// An open TLS connection.
pub struct Session {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

/// A whole response to one request.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head as it came.
    pub head: String,
    /// The body as it came, chunks and all.
    pub body: String,
}

impl TlsClient {
    /// A client that trusts `root` (PEM).
    pub fn new(root: &str) -> Self {
        Self::with_versions(root, rustls::ALL_VERSIONS)
    }

    /// A client of these versions.
    pub fn with_versions(root: &str, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(root.as_bytes()) {
            let certificate = certificate.expect("the root is PEM");
            roots.add(certificate).expect("the root is a certificate");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("the provider has these versions");
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(1024);
        Self {
            config: Arc::new(config),
        }
    }

    /// Connects and shakes hands, asking for `server_name`.
    ///
    /// # Errors
    /// What went wrong: the server's alert, say.
    pub fn connect(&self, address: SocketAddr, server_name: &str) -> io::Result<Session> {
        let tcp = TcpStream::connect(address)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(server_name.to_owned()).map_err(io::Error::other)?;
        let connection =
            ClientConnection::new(self.config.clone(), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Session { stream })
    }
}

impl Session {
    /// The serial number of the server's leaf in lower-case hexadecimal.
    pub fn serial(&self) -> String {
        let chain = self.stream.conn.peer_certificates().unwrap_or_default();
        let leaf = chain.first().expect("the server has shown a certificate");
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf).expect("rustls has parsed it");
        parsed
            .raw_serial()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Whether a session was resumed.
    pub fn resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The raw stream.
    pub fn stream(&mut self) -> &mut (impl Read + Write + use<>) {
        &mut self.stream
    }

    /// Sends a GET and reads the answer, which says its length; the connection stays open.
    ///
    /// # Errors
    /// What the connection says.
    pub fn get(&mut self, host: &str, path: &str) -> io::Result<Answer> {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n"))?;
        self.answer()
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// What the connection says.
    pub fn send(&mut self, bytes: &str) -> io::Result<()> {
        self.stream.write_all(bytes.as_bytes())?;
        self.stream.flush()
    }

    /// Reads one answer with a content-length, or up to the end of the connection without one.
    ///
    /// # Errors
    /// What the connection says.
    pub fn answer(&mut self) -> io::Result<Answer> {
        read_answer(&mut self.stream)
    }
}

/// Reads one answer with a content-length, or up to the end without one.
fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut body = Vec::new();
    match length {
        Some(length) => {
            body.resize(length, 0);
            stream.read_exact(&mut body)?;
        }
        None => drop(stream.read_to_end(&mut body)),
    }
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(|| io::Error::other("no status line"))?,
        head,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

impl Answer {
    /// The value of a header field, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
