//! The PROXY protocol header of a trusted proxy in front: who its client is.
//!
//! Versions 1 and 2, of at most `MAX_LEN` bytes. Not a byte behind the header is taken from the
//! socket: there TLS begins.

use std::io;
use std::net::SocketAddr;

use ppp::{HeaderResult, v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proxied {
    /// The proxy speaks for this client, which connected to this address.
    Client {
        source: SocketAddr,
        destination: SocketAddr,
    },
    /// The proxy speaks for itself, or does not know: the socket's addresses hold.
    Itself,
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoHeader {
    /// The connection broke off.
    #[error("the connection broke off")]
    Closed(#[from] io::Error),
    /// Something else came.
    #[error("what came is no PROXY header of version 1 or 2")]
    Malformed,
}

/// Reads the header that `stream` begins with.
pub(crate) async fn read(stream: &mut TcpStream) -> Result<Proxied, NoHeader> {
    let mut header = [0; MAX_LEN];
    let mut length = 0;
    loop {
        let peeked = stream.peek(&mut header[length..]).await?;
        if peeked == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let missing = missing(&header[..length + peeked]).ok_or(NoHeader::Malformed)?;
        // What was looked at is in the socket still, so this does not wait.
        let own = match missing {
            Missing::Nothing { end } => end - length,
            Missing::Something => peeked,
        };
        stream.read_exact(&mut header[length..length + own]).await?;
        length += own;
        if let Missing::Nothing { .. } = missing {
            return parse(&header[..length]).ok_or(NoHeader::Malformed);
        }
        if length == MAX_LEN {
            return Err(NoHeader::Malformed);
        }
    }
}

/// How far the header has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It ends here, and something else may follow.
    Nothing { end: usize },
    /// All that came belongs to it.
    Something,
}

/// What `bytes` lack to be a header. None: they can become none.
fn missing(bytes: &[u8]) -> Option<Missing> {
    if begins_as(bytes, v1::PROTOCOL_PREFIX.as_bytes()) {
        return missing_of_line(bytes);
    }
    if !begins_as(bytes, v2::PROTOCOL_PREFIX) {
        return None;
    }
    let Some(length) = bytes.get(14..16) else {
        return Some(Missing::Something);
    };
    let end = 16 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    match bytes.len() {
        _ if end > MAX_LEN => None,
        length if length >= end => Some(Missing::Nothing { end }),
        _ => Some(Missing::Something),
    }
}

fn missing_of_line(bytes: &[u8]) -> Option<Missing> {
    let line = &bytes[..bytes.len().min(MAX_LINE)];
    match line.iter().position(|byte| *byte == b'\n') {
        Some(feed) => Some(Missing::Nothing { end: feed + 1 }),
        None if bytes.len() >= MAX_LINE => None,
        None => Some(Missing::Something),
    }
}

fn begins_as(bytes: &[u8], prefix: &[u8]) -> bool {
    let known = bytes.len().min(prefix.len());
    bytes[..known] == prefix[..known]
}

fn parse(header: &[u8]) -> Option<Proxied> {
    match HeaderResult::parse(header) {
        HeaderResult::V1(header) => Some(of_v1(header.ok()?.addresses)),
        HeaderResult::V2(header) => of_v2(&header.ok()?),
    }
}

fn of_v1(addresses: v1::Addresses) -> Proxied {
    match addresses {
        v1::Addresses::Unknown => Proxied::Itself,
        v1::Addresses::Tcp4(ip) => of_v4(ip),
        v1::Addresses::Tcp6(ip) => of_v6(ip),
    }
}

fn of_v2(header: &v2::Header<'_>) -> Option<Proxied> {
    match (header.command, header.protocol, header.addresses) {
        (v2::Command::Local, ..) => Some(Proxied::Itself),
        (_, v2::Protocol::Datagram, _) => None,
        (_, _, v2::Addresses::IPv4(ip)) => Some(of_v4(ip)),
        (_, _, v2::Addresses::IPv6(ip)) => Some(of_v6(ip)),
        (_, _, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => Some(Proxied::Itself),
    }
}

fn of_v4(ip: v2::IPv4) -> Proxied {
    Proxied::Client {
        source: (ip.source_address, ip.source_port).into(),
        destination: (ip.destination_address, ip.destination_port).into(),
    }
}

fn of_v6(ip: v2::IPv6) -> Proxied {
    Proxied::Client {
        source: (ip.source_address.to_canonical(), ip.source_port).into(),
        destination: (ip.destination_address.to_canonical(), ip.destination_port).into(),
    }
}

/// Bytes of a header of version 2 with everything that proxies are known to put into one.
const MAX_LEN: usize = 2048;

/// Bytes of a header of version 1, as its specification says.
const MAX_LINE: usize = 107;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    const V4: &[u8] = b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n";
    const REST: &[u8] = b"\x16\x03\x01 and so on";

    fn v2_header(command: v2::Command, protocol: v2::Protocol, tlv: usize) -> Vec<u8> {
        let addresses: v2::Addresses = (
            "[2001:db8::1]:4711".parse::<SocketAddr>().unwrap(),
            "[2001:db8::2]:443".parse::<SocketAddr>().unwrap(),
        )
            .into();
        let builder = v2::Builder::with_addresses(v2::Version::Two | command, protocol, addresses);
        let builder = builder.write_tlv(v2::Type::NoOp, &vec![0; tlv]).unwrap();
        builder.build().unwrap()
    }

    fn client(source: &str, destination: &str) -> Proxied {
        Proxied::Client {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    /// Sends `pieces` one by one, and returns what was read as a header and what is left.
    async fn exchange(pieces: Vec<Vec<u8>>) -> (Result<Proxied, NoHeader>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        sender.set_nodelay(true).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let send = async move {
            for piece in pieces {
                // The reader may have turned away.
                let _ = sender.write_all(&piece).await;
                tokio::task::yield_now().await;
            }
        };
        let receive = async {
            let header = read(&mut stream).await;
            let mut rest = Vec::new();
            if header.is_ok() {
                stream.read_to_end(&mut rest).await.unwrap();
            }
            (header, rest)
        };
        tokio::join!(send, receive).1
    }

    #[tokio::test]
    async fn headers_are_read_and_nothing_behind_them() {
        let v2 = v2_header(v2::Command::Proxy, v2::Protocol::Stream, 200);
        let local = v2_header(v2::Command::Local, v2::Protocol::Stream, 0);
        let six = client("[2001:db8::1]:4711", "[2001:db8::2]:443");
        for (header, expected) in [
            (V4, client("192.0.2.1:4711", "198.51.100.2:443")),
            (b"PROXY UNKNOWN\r\n", Proxied::Itself),
            (&v2, six),
            (&local, Proxied::Itself),
        ] {
            let whole = [header, REST].concat();
            let (read, rest) = exchange(vec![whole.clone()]).await;
            assert_eq!((read.unwrap(), rest.as_slice()), (expected, REST));
            let bytes = whole.iter().map(|byte| vec![*byte]).collect();
            let (read, rest) = exchange(bytes).await;
            assert_eq!((read.unwrap(), rest.as_slice()), (expected, REST));
        }
    }

    #[tokio::test]
    async fn everything_else_is_refused() {
        let datagram = v2_header(v2::Command::Proxy, v2::Protocol::Datagram, 0);
        let large = v2_header(v2::Command::Proxy, v2::Protocol::Stream, MAX_LEN);
        let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        for bytes in [
            b"GET / HTTP/1.1\r\n".as_slice(),
            b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 4711\r\n",
            b"PROXY TCP4 192.0.2.256 198.51.100.2 4711 443\r\n",
            b"PROXY ",
            b"",
            &datagram,
            &large,
            &endless,
        ] {
            assert!(exchange(vec![bytes.to_vec()]).await.0.is_err(), "{bytes:?}");
        }
    }

    proptest! {
        /// A header is found at the same place however much of what follows is there.
        #[test]
        fn the_end_does_not_depend_on_what_follows(
            tlv in 0usize..64,
            more in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            for header in [V4.to_vec(), v2_header(v2::Command::Proxy, v2::Protocol::Stream, tlv)] {
                for end in 1..header.len() {
                    prop_assert_eq!(missing(&header[..end]), Some(Missing::Something));
                }
                let whole = [header.as_slice(), &more].concat();
                let nothing = Missing::Nothing { end: header.len() };
                prop_assert_eq!(missing(&whole), Some(nothing));
            }
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            for prefix in [b"".as_slice(), b"PROXY ", v2::PROTOCOL_PREFIX] {
                let bytes = [prefix, &bytes].concat();
                if let Some(Missing::Nothing { end }) = missing(&bytes) {
                    let _ = parse(&bytes[..end]);
                }
            }
        }
    }
}
