use std::sync::atomic::Ordering;

use super::*;

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut listener = plain();
    listener.bind = taken.local_addr().unwrap();
    let error = BoundListener::bind(&listener, 2).unwrap_err().to_string();
    assert!(
        error.starts_with("listener `test` cannot listen on 127.0.0.1:"),
        "{error}"
    );
    assert!(error.contains("another program listens there"), "{error}");
}

/// Sockets that share their port would let a second balancer take half of the connections.
#[test]
fn an_address_that_is_shared_already_is_in_use() {
    let first = BoundListener::bind(&plain(), 2).unwrap();
    let mut listener = plain();
    listener.bind = first.local_addr();
    assert!(BoundListener::bind(&listener, 2).is_err());
    drop(first);
    assert!(BoundListener::bind(&listener, 2).is_ok());
}

#[test]
fn an_address_of_another_machine_is_named() {
    let mut listener = plain();
    listener.bind = "192.0.2.1:0".parse().unwrap();
    let error = BoundListener::bind(&listener, 1).unwrap_err().to_string();
    assert!(error.contains("no interface of this machine"), "{error}");
}

#[tokio::test]
async fn ipv4_clients_of_an_ipv6_socket_are_ipv4_clients() {
    let mut listener = plain();
    listener.bind = "[::]:0".parse().unwrap();
    let edge = Edge::start(listener);
    let port = edge.address().port();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let client = stream.local_addr().unwrap();
    let answer = exchange(&mut stream, &get_and_close("/client")).await;
    assert!(
        answer.ends_with(&format!("{client} 127.0.0.1:{port}")),
        "{answer}"
    );
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    let edge = Edge::start_with(plain(), 1, 1);
    let mut first = edge.connect().await;
    first.write_all(&get("/")).await.unwrap();
    response(&mut first, "hello").await;
    let mut second = edge.connect().await;
    second.write_all(&get_and_close("/early")).await.unwrap();
    first.write_all(&get("/")).await.unwrap();
    response(&mut first, "hello").await;
    assert_eq!(edge.probe.told.lock().opened, 1);
    drop(first);
    assert!(rest(&mut second).await.ends_with("early"));
    edge.workers.set_max_connections(2);
    let both = [edge.connect().await, edge.connect().await];
    edge.probe
        .until(|told| (told.opened == 4).then_some(()))
        .await;
    drop(both);
}

#[tokio::test]
async fn settings_hold_for_connections_from_then_on() {
    let edge = Edge::start(plain());
    let mut old = edge.connect().await;
    old.write_all(&get("/")).await.unwrap();
    response(&mut old, "hello").await;
    edge.update(limited(plain(), |limits| limits.max_headers = 0));
    let mut new = edge.connect().await;
    assert!(
        exchange(&mut new, &get("/"))
            .await
            .starts_with("HTTP/1.1 431 ")
    );
    assert!(
        exchange(&mut old, &get_and_close("/"))
            .await
            .ends_with("hello")
    );
}

#[tokio::test]
async fn every_worker_takes_connections_and_counts_them() {
    let edge = Edge::start_with(plain(), 2, 1000);
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(edge.connect().await);
    }
    edge.probe
        .until(|told| (told.opened == 64).then_some(()))
        .await;
    assert_eq!(edge.connections(), 64);
    let threads = &edge.workers.threads;
    assert!(
        threads
            .iter()
            .all(|thread| thread.open.count.load(Ordering::Relaxed) > 0)
    );
    drop(streams);
    edge.probe
        .until(|told| (told.closed == 64).then_some(()))
        .await;
    assert_eq!(edge.connections(), 0);
}

#[tokio::test]
async fn trusted_proxies_must_say_for_whom_they_speak() {
    let mut listener = plain();
    listener.proxy_protocol = true;
    let edge = Edge::start(limited(listener.clone(), |limits| {
        limits.handshake_timeout = SOON;
    }));
    let mut stream = edge.connect().await;
    let header = b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n";
    let all = [header.as_slice(), &get_and_close("/client")].concat();
    let answer = exchange(&mut stream, &all).await;
    assert!(
        answer.ends_with("192.0.2.1:4711 198.51.100.2:443"),
        "{answer}"
    );
    for bytes in [get("/"), Vec::new()] {
        let mut stream = edge.connect().await;
        stream.write_all(&bytes).await.unwrap();
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    }
    edge.probe
        .until(|told| {
            let failed = [HandshakeFailure::ProxyHeader, HandshakeFailure::Timeout];
            (told.failed == failed).then_some(())
        })
        .await;
}

#[tokio::test]
async fn others_must_not_send_a_proxy_header() {
    let mut listener = plain();
    listener.proxy_protocol = true;
    let edge = Edge::start(listener.clone());
    let mut settings = edge.settings(listener);
    settings.trusted_proxies = Arc::from([]);
    assert!(edge.workers.update(settings));
    let mut stream = edge.connect().await;
    let answer = exchange(
        &mut stream,
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_listener_may_get_another_name() {
    let edge = Edge::start(plain());
    let address = edge.address();
    let mut other = plain();
    other.name = "other".to_owned();
    assert!(edge.workers.replace("test", edge.settings(other.clone())));
    assert!(!edge.workers.replace("test", edge.settings(other)));
    assert_eq!(edge.workers.local_addr("other"), Some(address));
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert!(
        exchange(&mut stream, &get_and_close("/"))
            .await
            .ends_with("hello")
    );
    assert!(edge.workers.remove("other", SOON));
    assert_eq!(edge.workers.drain(LONG).await, 0);
    assert!(TcpStream::connect(address).await.is_err());
}
