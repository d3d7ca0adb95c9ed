use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::TokioExecutor;
use rustls::version::TLS13;
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::*;

/// An HTTP/2 client, and how its connection ends.
pub(super) async fn client(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> (SendRequest<Full<Bytes>>, JoinHandle<hyper::Result<()>>) {
    let io = TokioIo::new(stream);
    let (sender, connection) = handshake(TokioExecutor::new(), io).await.unwrap();
    (sender, tokio::spawn(connection))
}

pub(super) fn request(path: &str) -> Request<Full<Bytes>> {
    let uri = format!("https://shop.example.com{path}");
    Request::post(uri)
        .body(Full::new(Bytes::from_static(b"abc")))
        .unwrap()
}

pub(super) async fn body(response: Response<hyper::body::Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn requests_are_served_over_tls() {
    let edge = Edge::start(secure());
    let config = edge.pki.client(&[&TLS13], &["h2"]);
    let stream = edge.connect_tls(&config, "shop.example.com").await.unwrap();
    let (mut sender, _) = client(stream).await;
    for _ in 0..3 {
        let response = soon(sender.send_request(request("/echo"))).await.unwrap();
        assert_eq!(body(response).await, "abc");
    }
}

#[tokio::test]
async fn plain_listeners_speak_it_to_those_who_begin_so() {
    let edge = Edge::start(plain());
    let (mut sender, _) = client(edge.connect().await).await;
    let response = soon(sender.send_request(request("/echo"))).await.unwrap();
    assert_eq!(body(response).await, "abc");
}

#[tokio::test]
async fn a_preface_in_pieces_is_still_one() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut header = [0; 9];
    soon(stream.read_exact(&mut header)).await.unwrap();
    assert_eq!(header[3], 4, "SETTINGS");
}

#[tokio::test]
async fn methods_that_begin_like_a_preface_are_methods() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    for byte in b"PRINT / HTTP/1.0\r\n\r\n" {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(rest(&mut stream).await.ends_with("hello"));
}

#[tokio::test]
async fn it_is_not_spoken_where_it_is_not_offered() {
    let mut listener = plain();
    listener.protocols = vec![HttpVersion::Http1];
    let edge = Edge::start(listener);
    let mut stream = edge.connect().await;
    let answer = exchange(&mut stream, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let edge = Edge::start(limited(plain(), |limits| limits.idle_timeout = SOON));
    let (mut sender, ended) = client(edge.connect().await).await;
    let waited = tokio::spawn(sender.send_request(request("/wait")));
    soon(edge.probe.waits.notified()).await;
    // A request in flight is not idleness.
    tokio::time::sleep(SOON * 2).await;
    edge.probe.go.notify_one();
    let response = soon(waited).await.unwrap().unwrap();
    assert_eq!(body(response).await, "waited");
    soon(ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn white_space_around_values_is_refused() {
    let edge = Edge::start(plain());
    let (mut sender, _) = client(edge.connect().await).await;
    for (value, status) in [
        (" y", 400),
        ("y\t", 400),
        (" ", 400),
        ("y y", 200),
        ("", 200),
    ] {
        let mut untrimmed = request("/");
        let value = HeaderValue::from_static(value);
        untrimmed.headers_mut().insert("x", value.clone());
        let response = soon(sender.send_request(untrimmed)).await.unwrap();
        assert_eq!(response.status(), status, "{value:?}");
    }
    assert_eq!(edge.probe.paths().len(), 2);
}

#[tokio::test]
async fn large_heads_are_refused() {
    let edge = Edge::start(plain());
    let (mut sender, _) = client(edge.connect().await).await;
    let mut large = request("/");
    large
        .headers_mut()
        .insert("x", "y".repeat(4000).parse().unwrap());
    let response = soon(sender.send_request(large)).await;
    let refused = response.is_err_and(|error| error.is_parse() || !error.is_closed());
    assert!(refused || edge.probe.paths().is_empty());
    let response = soon(sender.send_request(request("/echo"))).await.unwrap();
    assert_eq!(body(response).await, "abc");
}

/// Whatever else happens on its connection, which goes on.
#[tokio::test]
async fn a_stream_whose_window_never_opens_is_reset() {
    for window in [0, 1 << 16] {
        let edge = Edge::start(limited(plain(), |limits| limits.body_idle_timeout = SOON));
        let io = TokioIo::new(edge.connect().await);
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (mut sender, connection) = builder.handshake::<_, Full<Bytes>>(io).await.unwrap();
        tokio::spawn(connection);
        let mut large = request("/stream");
        *large.body_mut() = Full::new(Bytes::from(vec![0; 1 << 20]));
        let response = soon(sender.send_request(large)).await.unwrap();
        for _ in 0..8 {
            soon(sender.send_request(request("/"))).await.unwrap();
            tokio::time::sleep(SOON / 4).await;
        }
        // What was sent until then is all that there will be.
        let body = soon(response.into_body().collect()).await;
        assert!(body.is_err(), "window {window}");
        soon(sender.send_request(request("/"))).await.unwrap();
    }
}

/// Pieces that are larger than what is sent at once come whole.
#[tokio::test]
async fn large_bodies_come_whole() {
    let edge = Edge::start(plain());
    let (mut sender, _) = client(edge.connect().await).await;
    for path in ["/echo", "/stream"] {
        let mut large = request(path);
        let sent: Vec<u8> = (0..200_003_u32).map(|at| at as u8).collect();
        *large.body_mut() = Full::new(Bytes::from(sent.clone()));
        let response = soon(sender.send_request(large)).await.unwrap();
        let got = soon(response.into_body().collect()).await.unwrap();
        assert_eq!(got.to_bytes(), sent, "{path}");
    }
}

/// Clients must get the whole response before their stream is reset.
#[tokio::test]
async fn a_client_that_is_still_sending_gets_its_answer() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // HEADERS with END_HEADERS: POST http /; then DATA, and more DATA when there is an answer.
    bytes.extend_from_slice(&[0, 0, 3, 1, 4, 0, 0, 0, 1, 0x83, 0x86, 0x84]);
    let data = [&[0, 0x40, 0, 0, 0, 0, 0, 0, 1], [b'x'; 0x4000].as_slice()].concat();
    bytes.extend_from_slice(&data);
    stream.write_all(&bytes).await.unwrap();
    let ended = soon(frames_until(&mut stream, |kind, flags| {
        kind == DATA && flags & END_STREAM != 0
    }));
    assert!(!ended.await.contains(&RST_STREAM));
    let begun = Instant::now();
    stream.write_all(&data).await.unwrap();
    soon(frames_until(&mut stream, |kind, _| kind == RST_STREAM)).await;
    assert!(begun.elapsed() > Duration::from_millis(500));
}

const DATA: u8 = 0;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;

/// The kinds of the frames up to the first one whose kind and flags are wanted.
async fn frames_until(stream: &mut TcpStream, wanted: impl Fn(u8, u8) -> bool) -> Vec<u8> {
    let mut kinds = Vec::new();
    loop {
        let mut header = [0; 9];
        stream.read_exact(&mut header).await.unwrap();
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        kinds.push(header[3]);
        if wanted(header[3], header[4]) {
            return kinds;
        }
    }
}

/// CVE-2023-44487: requests that are taken back as soon as they are made.
#[tokio::test]
async fn a_flood_of_resets_ends_the_connection() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in (1..2000_u32).step_by(2) {
        // HEADERS with END_STREAM and END_HEADERS: GET http /; then RST_STREAM with CANCEL.
        bytes.extend_from_slice(&[0, 0, 3, 1, 5]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(&[0x82, 0x86, 0x84, 0, 0, 4, 3, 0]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 8]);
    }
    // The server may stop listening before the end.
    let _ = stream.write_all(&bytes).await;
    let mut answer = Vec::new();
    let _ = soon(stream.read_to_end(&mut answer)).await;
    assert_eq!(goaway(&answer), Some(11), "ENHANCE_YOUR_CALM");
}

/// The error code of the GOAWAY among these frames.
fn goaway(mut frames: &[u8]) -> Option<u32> {
    while let Some((header, rest)) = frames.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]);
        let (payload, rest) = rest.split_at_checked(length as usize)?;
        if header[3] == 7 {
            return payload[4..8].try_into().ok().map(u32::from_be_bytes);
        }
        frames = rest;
    }
    None
}
