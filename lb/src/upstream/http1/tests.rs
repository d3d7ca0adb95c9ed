use std::convert::Infallible;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::upstream::connect::TargetStream;
use crate::upstream::request_body::RequestBody;

/// What came of a request.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// An answer: status, body, trailers, whether the connection may be used again.
    Answer(u16, Vec<u8>, Option<HeaderMap>, bool),
    /// An answer whose body is broken.
    Broken(u16),
    Invalid,
    Closed,
}

fn connection() -> (Connection, DuplexStream) {
    let (near, far) = duplex(1 << 20);
    (
        Connection::new(TargetStream::of_memory(near), Duration::MAX),
        far,
    )
}

fn request(method: &str) -> Request<RequestBody> {
    let request = Request::builder().method(method).uri("/a?b");
    request
        .header("host", "a")
        .body(RequestBody::empty())
        .unwrap()
}

/// What comes of a request with this method to a target that sends `bytes` in pieces of the given sizes,
/// then the rest, and closes the connection if it `closes`.
async fn ask(method: &str, bytes: &[u8], pieces: &[usize], closes: bool) -> Outcome {
    let (connection, mut target) = connection();
    let mut call = Call::new(connection, Outgoing::new(request(method)));
    let target = async {
        let mut left = bytes;
        for piece in pieces.iter().copied().chain([bytes.len()]) {
            let (now, later) = left.split_at(piece.min(left.len()));
            // Once the client has seen enough it is gone.
            let _ = target.write_all(now).await;
            tokio::task::yield_now().await;
            left = later;
        }
        if closes {
            drop(target);
            return None;
        }
        Some(target)
    };
    let client = async {
        let answered = match poll_fn(|cx| call.poll(cx, |_| {})).await {
            Ok(answered) => answered,
            Err(Fault::Closed(_)) => return Outcome::Closed,
            Err(_) => return Outcome::Invalid,
        };
        let response = call.answer(answered);
        let status = response.status().as_u16();
        read(status, response).await
    };
    tokio::join!(client, target).0
}

async fn read(status: u16, response: Response<AnswerBody>) -> Outcome {
    let mut body = response.into_body();
    let (mut data, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map(http_body::Frame::into_data) {
            Err(_) => return Outcome::Broken(status),
            Ok(Ok(piece)) => data.extend_from_slice(&piece),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
        }
    }
    let free = matches!(body.end(), Left::Free(_));
    Outcome::Answer(status, data, trailers, free)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.build().unwrap().block_on(future)
}

fn answered(body: &str, free: bool) -> Outcome {
    Outcome::Answer(200, body.into(), None, free)
}

#[test]
fn answers_end_where_they_should() {
    for (method, bytes, outcome) in [
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            answered("ok", true),
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\n\r\nok",
            answered("ok", true),
        ),
        // More than was asked for is no answer to what is asked next.
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
            answered("ok", false),
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n",
            answered("", true),
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            answered("", false),
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            answered("", true),
        ),
        ("GET", "HTTP/1.1 200 OK\r\n\r\nok", answered("ok", false)),
        (
            "GET",
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
            answered("ok", false),
        ),
        (
            "GET",
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
            answered("ok", true),
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nconnection: keep-alive, Close\r\ncontent-length: 2\r\n\r\nok",
            answered("ok", false),
        ),
        (
            "GET",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            answered("", true),
        ),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\n\r\n",
            Outcome::Answer(204, vec![], None, true),
        ),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
            Outcome::Answer(204, vec![], None, true),
        ),
        // A body that has not come yet would be taken for the next answer.
        (
            "GET",
            "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\n",
            Outcome::Answer(204, vec![], None, false),
        ),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
            Outcome::Answer(204, vec![], None, false),
        ),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
            Outcome::Answer(304, vec![], None, true),
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2 ;a=b\r\nok\r\n0\r\n\r\n",
            answered("ok", true),
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n0\r\n\r\n",
            answered("ok", false),
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok",
            Outcome::Broken(200),
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
            Outcome::Broken(200),
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nokay\r\n",
            Outcome::Broken(200),
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-2\r\nok\r\n",
            Outcome::Broken(200),
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2 2\r\nok\r\n",
            Outcome::Broken(200),
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
            Outcome::Invalid,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nok",
            Outcome::Invalid,
        ),
        (
            "GET",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            Outcome::Invalid,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok",
            Outcome::Invalid,
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\n folded: 2\r\n\r\nok",
            Outcome::Invalid,
        ),
        ("GET", "HTTP/2 200\r\n\r\n", Outcome::Invalid),
        (
            "GET",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n",
            Outcome::Closed,
        ),
        ("GET", "HTTP/1.1 100 Continue\r\n\r\n", Outcome::Closed),
        ("GET", "", Outcome::Closed),
    ] {
        assert_eq!(
            run(ask(method, bytes.as_bytes(), &[], true)),
            outcome,
            "{bytes:?}"
        );
    }
}

#[test]
fn trailers_are_kept() {
    let bytes =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum:  1 \r\nx-more: 2\r\n\r\n";
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    trailers.insert("x-more", "2".parse().unwrap());
    let outcome = Outcome::Answer(200, b"x".into(), Some(trailers), true);
    assert_eq!(run(ask("GET", bytes, &[], false)), outcome);
}

#[tokio::test]
async fn a_request_is_sent_as_it_is() {
    let (connection, mut target) = connection();
    let mut call = Call::new(connection, Outgoing::new(request("GET")));
    let answer = b"HTTP/1.1 299 Fine\r\ncontent-length: 0\r\n\r\n";
    target.write_all(answer).await.unwrap();
    let answered = poll_fn(|cx| call.poll(cx, |_| {})).await.unwrap();
    let response = call.answer(answered);
    let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
    assert_eq!(reason.unwrap().as_bytes(), b"Fine");
    drop(response);
    let mut sent = String::new();
    target.read_to_string(&mut sent).await.unwrap();
    assert_eq!(sent, "GET /a?b HTTP/1.1\r\nhost: a\r\n\r\n");
}

/// What hyper makes of an answer.
async fn ask_hyper(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    let (near, mut far) = duplex(1 << 20);
    let (mut sender, driver) = hyper::client::conn::http1::handshake(TokioIo::new(near))
        .await
        .ok()?;
    let driver = tokio::spawn(driver);
    let answer = sender.send_request(request("GET").map(|_| http_body_util::Empty::<Bytes>::new()));
    let target = async {
        // hyper takes nothing before it has asked.
        let _ = far.read(&mut [0; 512]).await;
        let _ = far.write_all(bytes).await;
        drop(far);
        Ok::<_, Infallible>(())
    };
    let (answer, _) = tokio::join!(answer, target);
    let response = answer.ok()?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.ok()?;
    driver.abort();
    Some((status, body.to_bytes().to_vec()))
}

fn fragments() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 204 None\r\n",
        "content-length: 3\r\n",
        "content-length: 4\r\n",
        "transfer-encoding: chunked\r\n",
        "connection: close\r\n",
        "x: y\r\n",
        "x : y\r\n",
        "\r\n",
        "\n",
        " ",
        "abc",
        "3\r\nabc\r\n",
        "3;x\r\nabc\r\n",
        "0\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "\0",
    ]);
    // Most begin like an answer.
    let begun = prop::bool::weighted(0.8);
    (begun, prop::collection::vec(fragment, 0..10)).prop_map(|(begun, parts)| {
        let first = if begun { "HTTP/1.1 200 OK\r\n" } else { "" };
        [&[first], parts.as_slice()].concat().concat().into_bytes()
    })
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_the_pieces(
        bytes in fragments(),
        pieces in prop::collection::vec(0usize..9, 0..60),
    ) {
        // What comes unasked for is seen only once it is there.
        let ask = |pieces: &[usize]| match run(ask("GET", &bytes, pieces, true)) {
            Outcome::Answer(status, body, trailers, _) => Outcome::Answer(status, body, trailers, false),
            other => other,
        };
        let whole = ask(&[]);
        prop_assert_eq!(&ask(&pieces), &whole);
        prop_assert_eq!(&ask(&vec![1; bytes.len()]), &whole);
    }

    /// What is taken for a whole answer, hyper takes for the same one.
    #[test]
    fn an_answer_means_the_same_to_hyper(bytes in fragments()) {
        if let Outcome::Answer(status, body, ..) = run(ask("GET", &bytes, &[], true)) {
            prop_assert_eq!(run(ask_hyper(&bytes)), Some((status, body)));
        }
    }

    #[test]
    fn any_body_comes_through_in_chunks(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..8),
        pieces in prop::collection::vec(1usize..50, 0..40),
    ) {
        let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            bytes.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        let outcome = Outcome::Answer(200, chunks.concat(), None, true);
        prop_assert_eq!(run(ask("GET", &bytes, &pieces, false)), outcome);
    }
}
