use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, CipherSuite, Error};

use super::*;

/// What `/tls` says to a client of this configuration.
async fn ask(edge: &Edge, config: &Arc<ClientConfig>, name: &'static str) -> String {
    let mut stream = edge.connect_tls(config, name).await.unwrap();
    let answer = exchange(&mut stream, &get_and_close("/tls")).await;
    answer.rsplit("\r\n").next().unwrap().to_owned()
}

fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

fn with_tls(change: impl FnOnce(&mut ListenerTls)) -> config::Listener {
    let mut listener = secure();
    change(listener.tls.as_mut().unwrap());
    listener
}

#[tokio::test]
async fn unknown_and_missing_names_are_refused() {
    let edge = Edge::start(secure());
    let client = edge.pki.client(&[&TLS13, &TLS12], &[]);
    for name in ["other.example.com", "a.b.shop.example.com", "127.0.0.1"] {
        let error = edge.connect_tls(&client, name).await.unwrap_err();
        assert_eq!(
            alert(&error),
            Some(AlertDescription::AccessDenied),
            "{name}"
        );
    }
    assert_eq!(edge.probe.failure().await, HandshakeFailure::UnknownName);
}

#[tokio::test]
async fn a_default_certificate_is_for_unknown_and_missing_names() {
    let edge = Edge::start(with_tls(|tls| {
        tls.on_unknown_sni = UnknownSni::DefaultCertificate("fallback".to_owned());
        tls.certificates = vec![CertificateSelector::Name("shop".to_owned())];
    }));
    let names = ["127.0.0.1", "other.example.com"];
    edge.serve(
        "unrelated",
        &["other.example.com"],
        &rcgen::PKCS_ECDSA_P256_SHA256,
    );
    let serial = edge.serve("fallback", &names, &rcgen::PKCS_ECDSA_P256_SHA256);
    let client = edge.pki.client(&[&TLS13], &[]);
    for name in names {
        assert!(ask(&edge, &client, name).await.ends_with(&serial), "{name}");
    }
    assert!(
        !ask(&edge, &client, "shop.example.com")
            .await
            .ends_with(&serial)
    );
}

#[tokio::test]
async fn only_selected_entries_are_shown() {
    let edge = Edge::start(with_tls(|tls| {
        tls.certificates = vec![CertificateSelector::Glob("sh*".to_owned())];
    }));
    edge.serve(
        "other",
        &["other.example.com"],
        &rcgen::PKCS_ECDSA_P256_SHA256,
    );
    let client = edge.pki.client(&[&TLS13], &[]);
    assert!(edge.connect_tls(&client, "shop.example.com").await.is_ok());
    assert!(
        edge.connect_tls(&client, "x.shop.example.com")
            .await
            .is_ok()
    );
    assert!(
        edge.connect_tls(&client, "other.example.com")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_key_follows_what_the_client_takes() {
    let edge = Edge::start(secure());
    let ecdsa = edge.table.load().entry("shop")[0].serial.clone();
    let rsa = edge.serve("shop", &["shop.example.com"], &rcgen::PKCS_RSA_SHA256);
    let client = edge.pki.client(&[&TLS13, &TLS12], &[]);
    assert!(
        ask(&edge, &client, "shop.example.com")
            .await
            .ends_with(&ecdsa)
    );

    let mut provider = default_provider();
    let suite = CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384;
    provider.cipher_suites.retain(|own| own.suite() == suite);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(Arc::clone(&edge.pki.roots))
        .with_no_client_auth();
    let said = ask(&edge, &Arc::new(config.clone()), "shop.example.com").await;
    assert!(
        said.starts_with("TLSv1.2 TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
        "{said}"
    );
    assert!(said.ends_with(&rsa), "{said}");

    let without_rsa = edge.table.load().without("shop", certstore::KeyFamily::Rsa);
    edge.table.store(Arc::new(without_rsa));
    assert!(
        edge.connect_tls(&Arc::new(config), "shop.example.com")
            .await
            .is_err()
    );
    assert_eq!(
        edge.probe.failure().await,
        HandshakeFailure::NothingInCommon
    );
}

#[tokio::test]
async fn aes_128_is_chosen_unless_the_client_prefers_chacha() {
    let edge = Edge::start(secure());
    let client = edge.pki.client(&[&TLS13], &[]);
    let said = ask(&edge, &client, "shop.example.com").await;
    assert!(
        said.starts_with("TLSv1.3 TLS13_AES_128_GCM_SHA256 X25519MLKEM768 full"),
        "{said}"
    );

    let mut provider = default_provider();
    let chacha = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
    provider
        .cipher_suites
        .sort_by_key(|own| own.suite() != chacha);
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(Arc::clone(&edge.pki.roots))
        .with_no_client_auth();
    let said = ask(&edge, &Arc::new(config), "shop.example.com").await;
    assert!(
        said.starts_with("TLSv1.3 TLS13_CHACHA20_POLY1305_SHA256"),
        "{said}"
    );
}

/// Tickets outlive swaps of certificates and of settings, and go across workers; the certificate that
/// is spoken of is the one that would be shown now.
#[tokio::test]
async fn sessions_resume_across_swaps() {
    for version in [&TLS13, &TLS12] {
        let edge = Edge::start(secure());
        let client = edge.pki.client(&[version], &[]);
        let said = ask(&edge, &client, "shop.example.com").await;
        assert!(said.contains(" full shop.example.com "), "{said}");
        let serial = edge.serve(
            "shop",
            &["shop.example.com"],
            &rcgen::PKCS_ECDSA_P256_SHA256,
        );
        for _ in 0..8 {
            let said = ask(&edge, &client, "shop.example.com").await;
            assert!(said.contains(" resumed shop.example.com "), "{said}");
            assert!(said.ends_with(&serial), "{said}");
        }
        edge.update(limited(secure(), |limits| limits.max_streams = 5));
        let said = ask(&edge, &client, "shop.example.com").await;
        assert!(said.contains(" resumed "), "{said}");
        edge.update(with_tls(|tls| tls.policy = SecurityPolicy::Compatible));
        let said = ask(&edge, &client, "shop.example.com").await;
        assert!(said.contains(" full "), "{said}");
    }
}

#[tokio::test]
async fn protocols_are_offered_by_alpn() {
    let edge = Edge::start(secure());
    for (offered, chosen) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let client = edge.pki.client(&[&TLS13], offered);
        let stream = edge.connect_tls(&client, "shop.example.com").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
    }
    let client = edge.pki.client(&[&TLS13], &["spdy/3"]);
    let error = edge
        .connect_tls(&client, "shop.example.com")
        .await
        .unwrap_err();
    assert_eq!(alert(&error), Some(AlertDescription::NoApplicationProtocol));
    assert_eq!(
        edge.probe.failure().await,
        HandshakeFailure::NothingInCommon
    );
}

#[tokio::test]
async fn a_slow_handshake_is_given_up() {
    let edge = Edge::start(limited(secure(), |limits| limits.handshake_timeout = SOON));
    for bytes in [b"".as_slice(), b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut stream = edge.connect().await;
        assert_eq!(exchange(&mut stream, bytes).await, "");
    }
    assert_eq!(edge.probe.failure().await, HandshakeFailure::Timeout);
    edge.probe
        .until(|told| (told.closed == 2).then_some(()))
        .await;
}

#[tokio::test]
async fn those_who_forget_tls_are_told() {
    let edge = Edge::start(secure());
    let mut stream = edge.connect().await;
    let answer = exchange(&mut stream, &get("/")).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let (head, line) = answer.split_once("\r\n\r\n").unwrap();
    assert!(line.contains("this port speaks HTTPS"), "{answer}");
    let length = format!("content-length: {}\r\n", line.len());
    assert!(head.contains(&length), "{answer}");
    drop(stream);
    assert_eq!(edge.probe.failure().await, HandshakeFailure::Protocol);
}

#[tokio::test]
async fn what_is_not_tls_is_refused() {
    let edge = Edge::start(secure());
    let mut stream = edge.connect().await;
    stream.write_all(b"\x7f no TLS at all").await.unwrap();
    let mut alert = Vec::new();
    stream.read_to_end(&mut alert).await.unwrap();
    assert_eq!(alert[..2], [21, 3], "an alert record");
    assert_eq!(edge.probe.failure().await, HandshakeFailure::Protocol);
    drop(edge.connect().await);
    edge.probe
        .until(|told| {
            told.failed
                .contains(&HandshakeFailure::Closed)
                .then_some(())
        })
        .await;
}
