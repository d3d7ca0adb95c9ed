//! One line per request, written by a thread that no request waits for.
//!
//! Requests hand over a [`Record`]; the thread makes JSON of it and writes in batches. Where it cannot keep
//! up, or the disk is full, lines are lost, counted and complained of, and requests go on.

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderValue, Method, Uri, Version};
use parking_lot::Mutex;
use rustix::fs::OFlags;
use tracing::{error, info};

use crate::downstream::{Downstream, TlsInfo};
use crate::error::End;

/// What is said of a request. Durations are in microseconds.
#[derive(Debug)]
pub struct Record {
    /// When its head was complete.
    pub time: SystemTime,
    /// The connection that it came over.
    pub downstream: Arc<Downstream>,
    /// The client that a trusted proxy says the request comes from.
    pub forwarded: Option<IpAddr>,
    /// `User-Agent`.
    pub user_agent: Option<HeaderValue>,
    /// `Referer`.
    pub referer: Option<HeaderValue>,
    /// The version that the client speaks.
    pub protocol: Version,
    /// The method; none where the head was refused.
    pub method: Option<Method>,
    /// The host, and the port where one is named; none where there is no valid one.
    pub host: Option<HeaderValue>,
    /// Path and query as the client sent them, nothing left out: what must not be in a log must not be
    /// in a URL.
    pub target_uri: Option<Uri>,
    /// The status that the client got.
    pub status: u16,
    /// The rule that matched, or the listener whose action it was.
    pub rule: Option<Arc<str>>,
    /// The target group.
    pub target_group: Option<Arc<str>>,
    /// The target that was asked last.
    pub target: Option<std::net::SocketAddr>,
    /// From the complete head to the moment when a target is chosen and a connection is taken from the
    /// pool or begun.
    pub queue_us: Option<u64>,
    /// How long connecting took; none over a connection from the pool.
    pub connect_us: Option<u64>,
    /// From the request's way to the target to the head of the response.
    pub head_us: Option<u64>,
    /// From the complete head to the end of the response's body.
    pub total_us: u64,
    /// Bytes of the request's body.
    pub request_bytes: u64,
    /// Bytes of the response's body.
    pub response_bytes: u64,
    /// Whether the connection to the target had served another request before.
    pub reused: bool,
    /// How often the request was sent again, or to another target.
    pub retries: u32,
    /// The request's id.
    pub request_id: Option<HeaderValue>,
    /// How it ended; none as long as nobody has said: the client left.
    pub end: Option<End>,
    /// What lies behind an end that is no good one.
    pub detail: Option<String>,
}

impl Record {
    /// A record of which nothing is known yet.
    pub fn new(downstream: Arc<Downstream>, protocol: Version) -> Self {
        Self {
            time: SystemTime::now(),
            downstream,
            forwarded: None,
            user_agent: None,
            referer: None,
            protocol,
            method: None,
            host: None,
            target_uri: None,
            status: 0,
            rule: None,
            target_group: None,
            target: None,
            queue_us: None,
            connect_us: None,
            head_us: None,
            total_us: 0,
            request_bytes: 0,
            response_bytes: 0,
            reused: false,
            retries: 0,
            request_id: None,
            end: None,
            detail: None,
        }
    }

    /// How it ended: unless somebody said otherwise, the client left.
    pub fn end(&self) -> End {
        self.end.unwrap_or(End::ClientGone)
    }

    /// Appends the line.
    pub fn write_json(&self, line: &mut Vec<u8>) {
        let mut fields = Fields::begin(line);
        fields.text("time", &rfc3339(self.time));
        fields.text("listener", &self.downstream.listener.name);
        match self.forwarded {
            Some(client) => fields.shown("client", client),
            None => fields.shown("client", self.downstream.client),
        }
        if self.forwarded.is_some() || self.downstream.peer != self.downstream.client {
            fields.shown("peer", self.downstream.peer);
        }
        if let Some(tls) = &self.downstream.tls {
            fields.object("tls", |fields| write_tls(tls, fields));
        }
        fields.text("protocol", protocol_name(self.protocol));
        self.write_request(&mut fields);
        self.write_route(&mut fields);
        self.write_durations(&mut fields);
        fields.number("request_bytes", self.request_bytes);
        fields.number("response_bytes", self.response_bytes);
        fields.flag("reused", self.reused);
        fields.number("retries", u64::from(self.retries));
        if let Some(id) = &self.request_id {
            fields.bytes("request_id", id.as_bytes());
        }
        fields.text("end", self.end().word());
        if let Some(detail) = &self.detail {
            fields.text("detail", detail);
        }
        fields.end();
        line.push(b'\n');
    }

    fn write_request(&self, fields: &mut Fields<'_>) {
        if let Some(method) = &self.method {
            fields.text("method", method.as_str());
        }
        if let Some(host) = &self.host {
            fields.bytes("host", host.as_bytes());
        }
        if let Some(path) = self.target_uri.as_ref().and_then(Uri::path_and_query) {
            fields.text("path", path.as_str());
        }
        if let Some(agent) = &self.user_agent {
            fields.bytes("user_agent", agent.as_bytes());
        }
        if let Some(referer) = &self.referer {
            fields.bytes("referer", referer.as_bytes());
        }
        fields.number("status", u64::from(self.status));
    }

    fn write_route(&self, fields: &mut Fields<'_>) {
        if let Some(rule) = &self.rule {
            fields.text("rule", rule);
        }
        if let Some(group) = &self.target_group {
            fields.text("target_group", group);
        }
        if let Some(target) = self.target {
            fields.shown("target", target);
        }
    }

    fn write_durations(&self, fields: &mut Fields<'_>) {
        let phases = [
            ("queue_us", self.queue_us),
            ("connect_us", self.connect_us),
            ("head_us", self.head_us),
            ("total_us", Some(self.total_us)),
        ];
        for (name, duration) in phases {
            if let Some(duration) = duration {
                fields.number(name, duration);
            }
        }
    }
}

/// The cipher suite is named as IANA names it: rustls has names of its own for those of TLS 1.3.
fn write_tls(tls: &TlsInfo, fields: &mut Fields<'_>) {
    fields.text("version", tls.version);
    let suite = tls.cipher_suite;
    match suite.strip_prefix("TLS13_") {
        Some(rest) => fields.text("cipher", &format!("TLS_{rest}")),
        None => fields.text("cipher", suite),
    }
    if let Some(group) = tls.group {
        fields.text("group", group);
    }
    fields.flag("resumed", tls.resumed);
    if let Some(name) = &tls.server_name {
        fields.text("sni", name);
    }
    fields.text("certificate", &tls.certificate.entry);
    fields.text("serial", &tls.certificate.serial);
    fields.number("handshake_us", micros(tls.handshake));
}

/// Where records go. A clone is a handle on the same log.
#[derive(Debug, Clone)]
pub struct AccessLog(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    queue: SyncSender<Message>,
    state: Arc<State>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct State {
    /// Lines lost, for whatever reason.
    lost: Arc<AtomicU64>,
    reopen: AtomicBool,
}

enum Message {
    Line(Box<Record>),
    Wake,
    Close,
}

impl AccessLog {
    /// Opens the log and starts its thread. Lines lost are counted in `lost`.
    ///
    /// # Errors
    /// When the file cannot be opened for appending, or the thread not started.
    pub fn start(destination: &config::AccessLog, lost: Arc<AtomicU64>) -> io::Result<Self> {
        let output = Output::open(destination)?;
        let (queue, messages) = sync_channel(QUEUE);
        let state = Arc::new(State {
            lost,
            reopen: AtomicBool::new(false),
        });
        let writer = Writer {
            output,
            state: state.clone(),
            batch: Vec::new(),
            lines: 0,
            fault: None,
            said: state.lost.load(Ordering::Relaxed),
            last: None,
        };
        let thread = std::thread::Builder::new().name("access-log".to_owned());
        let thread = thread.spawn(move || writer.run(&messages))?;
        Ok(Self(Arc::new(Handle {
            queue,
            state,
            writer: Mutex::new(Some(thread)),
        })))
    }

    /// Hands a record over. Never waits: where the queue is full, the record is lost and counted.
    pub fn record(&self, record: Box<Record>) {
        if self.0.queue.try_send(Message::Line(record)).is_err() {
            self.0.state.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file anew before the next line, after a rotation. Does not block.
    pub fn reopen(&self) {
        self.0.state.reopen.store(true, Ordering::Release);
        // A full queue is awake.
        let _ = self.0.queue.try_send(Message::Wake);
    }

    /// Writes what was handed over, and ends the thread. Later records are lost and counted. Blocks.
    pub fn close(&self) {
        let Some(thread) = self.0.writer.lock().take() else {
            return;
        };
        if !self.send_close() || !ends(&thread) {
            return error!("the access log is not taken: what is left of it is lost");
        }
        if thread.join().is_err() {
            error!("the thread of the access log has panicked");
        }
    }

    fn send_close(&self) -> bool {
        let full = || {
            matches!(
                self.0.queue.try_send(Message::Close),
                Err(TrySendError::Full(_))
            )
        };
        wait_until(|| !full())
    }
}

/// Whether the thread ends soon: a reader of standard output that reads no more would hold it for ever.
fn ends(thread: &JoinHandle<()>) -> bool {
    wait_until(|| thread.is_finished())
}

/// Whether `done` comes true before a close gives up.
fn wait_until(done: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + CLOSE;
    while !done() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// The thread's own.
struct Writer {
    output: Output,
    state: Arc<State>,
    batch: Vec<u8>,
    lines: u64,
    /// Why the last batch was not written.
    fault: Option<io::Error>,
    /// How many lost lines were spoken of, and when last; none once all is well again.
    said: u64,
    last: Option<Instant>,
}

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut open = true;
        while open {
            // Asleep while nothing comes; then a short while for others to join the batch.
            let Ok(first) = messages.recv() else { break };
            open = self.take(first);
            if open && self.state.reopen.load(Ordering::Acquire) {
                self.reopen();
            } else if open {
                std::thread::sleep(GATHER);
            }
            while open && let Ok(next) = messages.try_recv() {
                open = self.take(next);
                if self.batch.len() >= BATCH {
                    self.write();
                }
            }
            self.write();
            self.complain();
        }
    }

    /// Whether to go on.
    fn take(&mut self, message: Message) -> bool {
        match message {
            Message::Line(record) => {
                record.write_json(&mut self.batch);
                self.lines += 1;
            }
            Message::Wake => {}
            Message::Close => return false,
        }
        true
    }

    fn reopen(&mut self) {
        self.write();
        self.state.reopen.store(false, Ordering::Release);
        if let Err(error) = self.output.reopen() {
            error!(%error, "cannot open the access log anew; the old file is kept");
        }
    }

    fn write(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        if self.state.reopen.swap(false, Ordering::AcqRel)
            && let Err(error) = self.output.reopen()
        {
            error!(%error, "cannot open the access log anew; the old file is kept");
        }
        if let Err(error) = self.output.write(&self.batch) {
            self.state.lost.fetch_add(self.lines, Ordering::Relaxed);
            self.fault = Some(error);
        }
        self.batch.clear();
        self.batch.shrink_to(BATCH * 2);
        self.lines = 0;
    }

    /// Says at most every ten seconds how many lines were lost, and why; and once when none are any more.
    fn complain(&mut self) {
        if self.last.is_some_and(|last| last.elapsed() < COMPLAIN) {
            return;
        }
        let lost = self.state.lost.load(Ordering::Relaxed);
        if lost > self.said {
            let lines = lost - self.said;
            match self.fault.take() {
                Some(error) => error!(%error, lines, "lines of the access log are lost"),
                None => error!(
                    lines,
                    "lines of the access log are lost: they come too fast"
                ),
            }
            (self.said, self.last) = (lost, Some(Instant::now()));
        } else if self.last.take().is_some() {
            info!("the access log is whole again");
        }
    }
}

/// Standard output or a file.
struct Output {
    path: Option<PathBuf>,
    file: Option<File>,
    /// Whether the last line may be a part of one.
    torn: bool,
}

impl Output {
    fn open(destination: &config::AccessLog) -> io::Result<Self> {
        let path = match destination {
            config::AccessLog::Stdout => None,
            config::AccessLog::File(path) => Some(path.clone()),
        };
        Ok(Self {
            file: path.as_deref().map(append_to).transpose()?,
            path,
            torn: false,
        })
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.file = Some(append_to(path)?);
            self.torn = false;
        }
        Ok(())
    }

    fn write(&mut self, batch: &[u8]) -> io::Result<()> {
        let torn = std::mem::replace(&mut self.torn, true);
        let newline: &[u8] = if torn { b"\n" } else { b"" };
        match &mut self.file {
            Some(file) => file
                .write_all(newline)
                .and_then(|()| file.write_all(batch))?,
            None => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(newline)?;
                stdout.write_all(batch)?;
                stdout.flush()?;
            }
        }
        self.torn = false;
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        // A FIFO that nobody reads must not be waited for.
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    file.map_err(|error| {
        let why = format!("cannot open the access log {}: {error}", path.display());
        io::Error::new(error.kind(), why)
    })
}

/// The fields of a JSON object, written as they come.
struct Fields<'a> {
    text: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> Fields<'a> {
    fn begin(text: &'a mut Vec<u8>) -> Self {
        text.push(b'{');
        Self { text, first: true }
    }

    fn end(self) {
        self.text.push(b'}');
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_string(self.text, value);
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.text(name, &String::from_utf8_lossy(value));
    }

    /// A value whose text needs no escape.
    fn shown(&mut self, name: &str, value: impl Display) {
        self.name(name);
        write!(self.text, "\"{value}\"").expect("a vector takes what is written to it");
    }

    fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        write!(self.text, "{value}").expect("a vector takes what is written to it");
    }

    fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.text.extend_from_slice(word);
    }

    fn object(&mut self, name: &str, write: impl FnOnce(&mut Fields<'_>)) {
        self.name(name);
        let mut fields = Fields::begin(self.text);
        write(&mut fields);
        fields.end();
    }
}

/// A JSON string (RFC 8259, section 7).
fn write_string(text: &mut Vec<u8>, value: &str) {
    text.push(b'"');
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
            0..=0x1f | 0x7f => {
                write!(text, "\\u{byte:04x}").expect("a vector takes what is written to it");
            }
            _ => text.push(byte),
        }
    }
    text.push(b'"');
}

fn rfc3339(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.6}")
}

fn protocol_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "h2",
        Version::HTTP_10 => "http/1.0",
        _ => "http/1.1",
    }
}

/// Whole microseconds.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Records that may wait for the thread.
const QUEUE: usize = 65_536;
/// Bytes after which a batch is written.
const BATCH: usize = 256 << 10;
/// URLs are nobody else's business.
const MODE: u32 = 0o640;
const GATHER: Duration = Duration::from_millis(20);
const COMPLAIN: Duration = Duration::from_secs(10);
/// How long a close waits for a reader that does not read.
const CLOSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::downstream;

    fn record(path: &str) -> Box<Record> {
        let mut record = Record::new(downstream(), Version::HTTP_11);
        record.method = Some(Method::GET);
        record.host = Some(HeaderValue::from_static("shop.example"));
        record.target_uri = path.parse().ok();
        record.end = Some(End::Done);
        Box::new(record)
    }

    fn lines(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    #[test]
    fn a_line_is_json_with_units() {
        let mut line = Vec::new();
        let mut record = record("/cart?x=%22&y=\\");
        record.head_us = Some(7);
        record.detail = Some("a \"quoted\"\nword\u{7f}".to_owned());
        record.write_json(&mut line);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(value["path"], "/cart?x=%22&y=\\");
        assert_eq!(value["head_us"], 7);
        assert_eq!(value["detail"], "a \"quoted\"\nword\u{7f}");
        assert_eq!(value["end"], "done");
        assert_eq!(value["connect_us"], serde_json::Value::Null);
    }

    #[test]
    fn cipher_suites_have_the_names_of_iana() {
        for (suite, name) in [
            ("TLS13_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
            (
                "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            ),
        ] {
            let tls = TlsInfo {
                version: "TLSv1.3",
                cipher_suite: suite,
                group: None,
                resumed: false,
                server_name: None,
                certificate: Arc::new(crate::testing::certificate("shop", &["a.example"])),
                handshake: Duration::ZERO,
            };
            let mut line = Vec::new();
            let mut fields = Fields::begin(&mut line);
            write_tls(&tls, &mut fields);
            fields.end();
            let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
            assert_eq!(value["cipher"], name);
        }
    }

    #[test]
    fn records_are_written_and_the_file_is_reopened() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
        let destination = config::AccessLog::File(path.clone());
        let lost = Arc::new(AtomicU64::new(0));
        let log = AccessLog::start(&destination, lost.clone()).unwrap();
        log.record(record("/1"));
        while std::fs::metadata(&path).unwrap().len() == 0 {
            std::thread::yield_now();
        }
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        log.record(record("/2"));
        log.close();
        assert_eq!(lines(&moved)[0]["path"], "/1");
        assert_eq!(lines(&path)[0]["path"], "/2");
        log.record(record("/3"));
        assert_eq!(lost.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_full_disk_loses_lines_and_counts_them() {
        let destination = config::AccessLog::File("/dev/full".into());
        let lost = Arc::new(AtomicU64::new(0));
        let log = AccessLog::start(&destination, lost.clone()).unwrap();
        log.record(record("/1"));
        log.record(record("/2"));
        log.close();
        assert_eq!(lost.load(Ordering::Relaxed), 2);
    }

    proptest! {
        #[test]
        fn any_text_survives(text: String) {
            let mut written = Vec::new();
            write_string(&mut written, &text);
            let read: String = serde_json::from_slice(&written).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
