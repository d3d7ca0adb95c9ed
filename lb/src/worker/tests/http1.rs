use super::*;

const CHUNKED: &str = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn requests_are_served_one_after_the_other() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    let body = format!("{CHUNKED}3\r\nabc\r\n0\r\n\r\n");
    let all = [get("/"), body.into_bytes(), get_and_close("/early")].concat();
    let answers = exchange(&mut stream, &all).await;
    let bodies: Vec<_> = answers.split("\r\n\r\n").skip(1).collect();
    assert_eq!(bodies.len(), 3, "{answers}");
    for (answer, body) in bodies.iter().zip(["hello", "abc", "early"]) {
        assert!(answer.starts_with(body), "{answers}");
    }
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    let body = format!("{CHUNKED}3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n");
    for bytes in [get("/"), body.into_bytes(), get_and_close("/")] {
        for byte in bytes {
            stream.write_all(&[byte]).await.unwrap();
        }
    }
    let answers = rest(&mut stream).await;
    assert_eq!(answers.matches("200 OK").count(), 3, "{answers}");
}

#[tokio::test]
async fn a_refused_head_is_answered_after_what_came_before_it() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    let bad =
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let all = [&get("/wait"), bad.as_slice(), &get("/never")].concat();
    stream.write_all(&all).await.unwrap();
    soon(edge.probe.waits.notified()).await;
    edge.probe.go.notify_one();
    let answers = rest(&mut stream).await;
    let first = answers.find("waited").unwrap();
    let second = answers.find("HTTP/1.1 400 Bad Request").unwrap();
    assert!(first < second, "{answers}");
    let reason = "Content-Length and Transfer-Encoding are both given";
    assert!(
        answers.ends_with(&format!("\r\n\r\n{reason}\n")),
        "{answers}"
    );
    assert_eq!(edge.probe.refusal().await.reason, reason);
    assert_eq!(edge.probe.paths(), ["/wait"]);
}

#[tokio::test]
async fn every_kind_of_refusal_reaches_the_client() {
    let edge = Edge::start(plain());
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "y".repeat(3000)
    );
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(25));
    for (head, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\nHost: a\n\n", "400 Bad Request"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
            "400 Bad Request",
        ),
        ("\x16\x03\x01\x02\0\x01\0\x01\n", "400 Bad Request"),
        (&long, "431 Request Header Fields Too Large"),
        (&many, "431 Request Header Fields Too Large"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            "501 Not Implemented",
        ),
        (
            "GET / HTTP/3.0\r\nHost: a\r\n\r\n",
            "505 HTTP Version Not Supported",
        ),
    ] {
        let mut stream = edge.connect().await;
        let answer = exchange(&mut stream, head.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{head:?}: {answer}"
        );
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    assert!(edge.probe.paths().is_empty());
}

#[tokio::test]
async fn heads_that_hyper_refuses_are_reported_too() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    let answer = exchange(&mut stream, &get("http://[::1")).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(edge.probe.refusal().await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_broken_body_fails_its_request() {
    let edge = Edge::start(plain());
    for chunk in ["5\nhello", "2\r\nabc\r\n", "0x1\r\na\r\n"] {
        let mut stream = edge.connect().await;
        let answer = exchange(&mut stream, format!("{CHUNKED}{chunk}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunk:?}: {answer}");
        assert!(answer.ends_with("broken body"), "{answer}");
    }
}

#[tokio::test]
async fn a_slow_head_is_answered_with_408() {
    let edge = Edge::start(limited(plain(), |limits| limits.header_timeout = SOON));
    let mut stream = edge.connect().await;
    stream.write_all(&get("/")).await.unwrap();
    response(&mut stream, "hello").await;
    // A byte now and then does not help.
    let (mut reader, mut writer) = stream.into_split();
    let drip = tokio::spawn(async move {
        while writer.write_all(b"G").await.is_ok() {
            tokio::time::sleep(SOON / 5).await;
        }
    });
    let answer = rest(&mut reader).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    drop(reader);
    drip.abort();
}

#[tokio::test]
async fn a_body_that_stops_is_given_up() {
    let edge = Edge::start(limited(plain(), |limits| limits.body_idle_timeout = SOON));
    let mut stream = edge.connect().await;
    let answer = exchange(&mut stream, format!("{CHUNKED}5\r\nhe").as_bytes()).await;
    assert!(answer.ends_with("broken body"), "{answer}");
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let edge = Edge::start(limited(plain(), |limits| limits.idle_timeout = SOON));
    let mut silent = edge.connect().await;
    assert_eq!(rest(&mut silent).await, "");
    let mut stream = edge.connect().await;
    stream.write_all(&get("/wait")).await.unwrap();
    soon(edge.probe.waits.notified()).await;
    // A request in flight is not idleness.
    tokio::time::sleep(SOON * 2).await;
    edge.probe.go.notify_one();
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("waited"), "{answer}");
}

/// Longer than it takes a connection to go to rest.
const PAUSE: Duration = Duration::from_millis(2500);

#[tokio::test]
async fn a_resting_connection_serves_on() {
    let edge = Edge::start(secure());
    let config = edge.pki.client(&[&rustls::version::TLS13], &[]);
    let mut stream = edge.connect_tls(&config, "shop.example.com").await.unwrap();
    stream.write_all(&get("/")).await.unwrap();
    response(&mut stream, "hello").await;
    tokio::time::sleep(PAUSE).await;
    // A head that comes in two halves, with a rest between.
    let next = get("/early");
    stream.write_all(&next[..20]).await.unwrap();
    tokio::time::sleep(PAUSE).await;
    stream.write_all(&next[20..]).await.unwrap();
    response(&mut stream, "early").await;
    tokio::time::sleep(PAUSE).await;
    let answer = exchange(&mut stream, b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_resting_connection_is_closed_like_any_other() {
    let edge = Edge::start(limited(plain(), |limits| limits.idle_timeout = PAUSE));
    let mut stream = edge.connect().await;
    stream.write_all(&get("/")).await.unwrap();
    response(&mut stream, "hello").await;
    assert_eq!(rest(&mut stream).await, "");
    edge.update(plain());
    let mut stream = edge.connect().await;
    stream.write_all(&get("/")).await.unwrap();
    response(&mut stream, "hello").await;
    tokio::time::sleep(PAUSE).await;
    let (cut, answer) = tokio::join!(edge.workers.drain(LONG), async {
        stream.write_all(&get("/early")).await.unwrap();
        rest(&mut stream).await
    });
    assert_eq!(cut, 0);
    assert!(answer.ends_with("early"), "{answer}");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let edge = Edge::start(limited(plain(), |limits| limits.body_idle_timeout = SOON));
    let mut stream = edge.connect().await;
    let head = b"POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let piece = vec![0; 1 << 20];
    soon(async { while stream.write_all(&piece).await.is_ok() {} }).await;
    edge.probe
        .until(|told| (told.closed == 1).then_some(()))
        .await;
}

#[tokio::test]
async fn tunnels_carry_what_follows_the_request() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    let ask = b"GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\0early";
    stream.write_all(ask).await.unwrap();
    let answer = response(&mut stream, "\0early").await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let mut back = [0; 4];
    soon(stream.read_exact(&mut back)).await.unwrap();
    assert_eq!(&back, b"\r\n\r\n");
    assert_eq!(edge.connections(), 1);
    drop(stream);
    edge.probe
        .until(|told| (told.closed == 1).then_some(()))
        .await;
}

/// A tunnel whose one half is closed still carries the other.
#[tokio::test]
async fn the_halves_of_a_tunnel_end_apart() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    let ask = b"GET /half HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let answer = exchange(&mut stream, ask).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    stream.write_all(b"still here").await.unwrap();
    drop(stream);
    let said = edge.probe.until(|told| told.tunnelled.clone()).await;
    assert_eq!(said, "still here");
}

#[tokio::test]
async fn a_declined_upgrade_leaves_a_connection_for_requests() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    let bad = b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n";
    let all = [ask.as_slice(), &get("/early"), bad].concat();
    let answers = exchange(&mut stream, &all).await;
    assert_eq!(answers.matches("200 OK").count(), 2, "{answers}");
    assert_eq!(answers.matches("400 Bad Request").count(), 1, "{answers}");
}

#[tokio::test]
async fn a_body_is_asked_for_when_it_is_wanted() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    let head =
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = response(&mut stream, "").await;
    assert!(answer.starts_with("HTTP/1.1 100 "), "{answer}");
    stream.write_all(b"abc").await.unwrap();
    response(&mut stream, "abc").await;
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    let head =
        "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&[b'x'; 100_000]).await.unwrap();
    soon(
        edge.probe
            .until(|told| (told.paths.len() == 1).then_some(())),
    )
    .await;
    stream.write_all(&[b'x'; 50_000]).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("early"), "{answer}");
}

#[tokio::test]
async fn http_10_is_served() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    let answer = exchange(&mut stream, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
}

/// Whatever the client has sent after the request.
#[tokio::test]
async fn a_client_that_leaves_is_noticed() {
    for after in ["", "GET /never HTTP/1.1\r\nHost: a\r\n\r\n", "GET /part"] {
        for upgrade in ["", "Upgrade: websocket\r\n", "Upgrade: x\r\n"] {
            let edge = Edge::start(plain());
            let mut stream = edge.connect().await;
            let ask = format!("GET /wait HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n{after}");
            stream.write_all(ask.as_bytes()).await.unwrap();
            soon(edge.probe.waits.notified()).await;
            drop(stream);
            let given_up = edge.probe.until(|told| told.given_up.first().copied());
            assert!(!given_up.await, "no drain did it");
            assert_eq!(edge.probe.paths(), ["/wait"]);
        }
    }
}

/// More than is read ahead of answers.
#[tokio::test]
async fn many_requests_may_be_sent_at_once() {
    let edge = Edge::start(plain());
    let stream = edge.connect().await;
    let (mut from, mut to) = stream.into_split();
    let all = [get("/early").repeat(3000), get_and_close("/")].concat();
    let sent = tokio::spawn(async move { to.write_all(&all).await.map(|()| to) });
    let answers = rest(&mut from).await;
    assert_eq!(answers.matches("\r\n\r\nearly").count(), 3000);
    assert!(answers.ends_with("hello"));
    sent.await.unwrap().unwrap();
}
