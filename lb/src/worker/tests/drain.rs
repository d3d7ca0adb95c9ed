use super::http2::{body, client, request};
use super::*;
use crate::drain::GRACE;

#[tokio::test]
async fn requests_in_flight_are_finished_and_idle_connections_closed() {
    let edge = Edge::start(plain());
    let mut idle = edge.connect().await;
    idle.write_all(&get("/")).await.unwrap();
    response(&mut idle, "hello").await;
    let mut silent = edge.connect().await;
    let mut busy = edge.connect().await;
    busy.write_all(&get("/wait")).await.unwrap();
    soon(edge.probe.waits.notified()).await;
    let go = Arc::clone(&edge.probe.go);
    let finish = async {
        assert_eq!(rest(&mut idle).await, "");
        assert_eq!(rest(&mut silent).await, "");
        go.notify_one();
        rest(&mut busy).await
    };
    let (cut, answer) = tokio::join!(edge.workers.drain(LONG), finish);
    assert_eq!(cut, 0);
    assert!(
        answer.contains("connection: close\r\n") && answer.ends_with("waited"),
        "{answer}"
    );
    edge.workers.end();
}

/// Waits until nobody listens any more. A connect while sockets are being closed may hang until its SYN
/// is sent again: it is given up and tried anew.
async fn refused(address: SocketAddr) {
    let attempt = || tokio::time::timeout(Duration::from_millis(20), TcpStream::connect(address));
    while !matches!(attempt().await, Ok(Err(_))) {}
}

/// A request that is on its way when draining begins is not lost.
#[tokio::test]
async fn the_next_request_of_an_idle_connection_is_still_served() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    stream.write_all(&get("/")).await.unwrap();
    response(&mut stream, "hello").await;
    let address = edge.address();
    let next = async {
        refused(address).await;
        exchange(&mut stream, &get("/early")).await
    };
    let (cut, answer) = tokio::join!(edge.workers.drain(LONG), next);
    assert_eq!(cut, 0);
    assert!(
        answer.contains("connection: close\r\n") && answer.ends_with("early"),
        "{answer}"
    );
}

/// A connection within a head is not idle.
#[tokio::test]
async fn a_head_that_is_split_over_the_grace_is_served() {
    let edge = Edge::start(plain());
    let mut stream = edge.connect().await;
    stream.write_all(b"GET /early HTTP/1.1\r\n").await.unwrap();
    let address = edge.address();
    let rest_of_head = async {
        refused(address).await;
        tokio::time::sleep(GRACE + SOON).await;
        exchange(&mut stream, b"Host: a\r\n\r\n").await
    };
    let (cut, answer) = tokio::join!(edge.workers.drain(LONG), rest_of_head);
    assert_eq!(cut, 0);
    assert!(
        answer.contains("connection: close\r\n") && answer.ends_with("early"),
        "{answer}"
    );
}

#[tokio::test]
async fn http2_says_goaway_and_finishes() {
    let edge = Edge::start(plain());
    let (mut sender, ended) = client(edge.connect().await).await;
    let waited = tokio::spawn(sender.send_request(request("/wait")));
    soon(edge.probe.waits.notified()).await;
    let go = Arc::clone(&edge.probe.go);
    let finish = async {
        while sender.send_request(request("/")).await.is_ok() {}
        go.notify_one();
        body(waited.await.unwrap().unwrap()).await
    };
    let (cut, answer) = tokio::join!(edge.workers.drain(LONG), finish);
    assert_eq!((cut, answer.as_str()), (0, "waited"));
    soon(ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_deadline_cuts_requests_and_tunnels() {
    let edge = Edge::start(plain());
    let mut busy = edge.connect().await;
    busy.write_all(&get("/wait")).await.unwrap();
    soon(edge.probe.waits.notified()).await;
    let mut tunnel = edge.connect().await;
    let ask =
        b"GET /tunnel HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nx";
    tunnel.write_all(ask).await.unwrap();
    response(&mut tunnel, "x").await;
    assert_eq!(edge.workers.drain(SOON).await, 2);
    edge.workers.end();
    assert_eq!(busy.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(tunnel.read(&mut [0]).await.unwrap_or(0), 0);
    assert_eq!(edge.probe.told.lock().closed, 2);
    assert_eq!(edge.probe.told.lock().given_up, [true]);
}

#[tokio::test]
async fn streams_are_cut_too() {
    let edge = Edge::start(plain());
    let (mut sender, _) = client(edge.connect().await).await;
    let waited = tokio::spawn(sender.send_request(request("/wait")));
    soon(edge.probe.waits.notified()).await;
    assert_eq!(edge.workers.drain(SOON).await, 1);
    edge.workers.end();
    assert!(waited.await.unwrap().is_err());
    assert_eq!(edge.probe.told.lock().given_up, [true]);
}

/// A listener that leaves alone is cut without its worker.
#[tokio::test]
async fn a_removed_listener_cuts_its_requests() {
    let edge = Edge::start(plain());
    let mut busy = edge.connect().await;
    busy.write_all(&get("/wait")).await.unwrap();
    soon(edge.probe.waits.notified()).await;
    let (mut sender, _) = client(edge.connect().await).await;
    let waited = tokio::spawn(sender.send_request(request("/wait")));
    soon(edge.probe.waits.notified()).await;
    edge.workers.remove("test", SOON);
    let both = |told: &Told| (told.given_up.len() == 2).then(|| told.given_up.clone());
    assert_eq!(edge.probe.until(both).await, [true, true]);
    assert!(waited.await.unwrap().is_err());
}

#[tokio::test]
async fn a_removed_listener_leaves_others_alone() {
    let edge = Edge::start(plain());
    let mut other = plain();
    other.name = "other".to_owned();
    let bound = BoundListener::bind(&other, 2).unwrap();
    edge.workers.add(bound, edge.settings(other)).unwrap();
    let mut stays = TcpStream::connect(edge.workers.local_addr("other").unwrap())
        .await
        .unwrap();
    let mut tunnel = edge.connect().await;
    let ask =
        b"GET /tunnel HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nx";
    tunnel.write_all(ask).await.unwrap();
    response(&mut tunnel, "x").await;
    let address = edge.address();
    assert!(edge.workers.remove("test", SOON));
    assert!(!edge.workers.remove("test", SOON));
    // The tunnel is cut at the deadline, by the listener's own leaving.
    assert_eq!(soon(tunnel.read(&mut [0])).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
    assert!(
        exchange(&mut stays, &get_and_close("/"))
            .await
            .ends_with("hello")
    );
    assert_eq!(edge.workers.connections().len(), 1);
}
