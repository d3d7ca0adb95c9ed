//! What the tests of several modules are made of.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use certstore::{CertTable, KeyType, ServedCertificate};
use config::{
    Action, Algorithm, Config, Forward, HealthCheck, HttpVersion, Listener, ListenerLimits,
    OnAllUnhealthy, Secrets, Target, TargetGroup, TargetHeaders, TargetLimits, TargetProtocol,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use crate::access_log::AccessLog;
use crate::downstream::Downstream;
use crate::metrics::Metrics;
use crate::published::Published;
use crate::upstream::tls::{UpstreamTls, UpstreamTlsError};

const SECOND: Duration = Duration::from_secs(1);

/// A plain connection to the listener `http`.
pub(crate) fn downstream() -> Arc<Downstream> {
    Arc::new(Downstream {
        listener: Arc::new(listener("http")),
        client: "198.51.100.7:4711".parse().unwrap(),
        peer: "198.51.100.7:4711".parse().unwrap(),
        local: "192.0.2.1:80".parse().unwrap(),
        accepted: Instant::now(),
        tls: None,
        told: OnceLock::new(),
    })
}

/// A plain listener that sends everything to the first target group.
pub(crate) fn listener(name: &str) -> Listener {
    Listener {
        name: name.to_owned(),
        bind: "127.0.0.1:0".parse().unwrap(),
        protocols: vec![HttpVersion::Http1],
        tls: None,
        proxy_protocol: false,
        action: Some(forward_to(0)),
        limits: ListenerLimits {
            handshake_timeout: SECOND * 5,
            header_timeout: SECOND * 5,
            idle_timeout: SECOND * 5,
            body_idle_timeout: SECOND * 5,
            max_header_bytes: 64 << 10,
            max_headers: 100,
            max_streams: 100,
            max_body_bytes: None,
        },
        allow_encoded_slash: false,
        merge_slashes: true,
    }
}

pub(crate) fn forward_to(group: usize) -> Action {
    Action::Forward(Forward {
        groups: vec![(group, 1)],
        ..Forward::default()
    })
}

/// The group `g` of unchecked targets on these ports of 127.0.0.1.
pub(crate) fn group(ports: &[u16]) -> TargetGroup {
    let target = |port: &u16| Target {
        address: ([127, 0, 0, 1], *port).into(),
        weight: 1,
    };
    TargetGroup {
        name: "g".to_owned(),
        protocol: TargetProtocol::Http,
        algorithm: Algorithm::RoundRobin,
        on_all_unhealthy: OnAllUnhealthy::Refuse,
        health_check: None,
        limits: TargetLimits {
            connect_timeout: SECOND * 5,
            response_timeout: SECOND * 5,
            max_connections: 100,
            max_idle_connections: 10,
            idle_timeout: SECOND * 60,
        },
        request_headers: TargetHeaders::default(),
        targets: ports.iter().map(target).collect(),
    }
}

pub(crate) fn health_check() -> HealthCheck {
    HealthCheck {
        path: "/healthz".to_owned(),
        host: None,
        interval: SECOND / 20,
        timeout: SECOND,
        healthy: 1,
        unhealthy: 1,
        statuses: vec![(200, 299)],
    }
}

/// The listener `http` in front of these groups.
pub(crate) fn config(target_groups: Vec<TargetGroup>) -> Config {
    Config {
        region: None,
        root_key: None,
        audit: config::Audit::default(),
        quotas: config::Quotas::default(),
        kms_socket: None,
        on_sealed: config::OnSealed::Refuse,
        certstore_key: "alias/sealgate/certstore".to_owned(),
        bucket_keys: true,
        admin: config::Admin::default(),
        trusted_proxies: Vec::new(),
        workers: Some(1),
        max_connections: 1000,
        drain: SECOND,
        access_log: None,
        listeners: vec![listener("http")],
        rules: Vec::new(),
        target_groups,
    }
}

pub(crate) fn published(config: Config) -> Arc<Published> {
    publish(config, None, &Metrics::new(1))
}

pub(crate) fn publish(config: Config, log: Option<AccessLog>, metrics: &Metrics) -> Arc<Published> {
    try_publish(config, None, log, metrics).unwrap()
}

/// Without certificates and trust stores.
pub(crate) fn try_publish(
    config: Config,
    previous: Option<&Published>,
    log: Option<AccessLog>,
    metrics: &Metrics,
) -> Result<Arc<Published>, Vec<UpstreamTlsError>> {
    let certificates = Arc::new(ArcSwap::from_pointee(CertTable::default()));
    let tls = UpstreamTls {
        trust: &|name| Err(format!("there is no trust store {name}")),
        certificates: &certificates,
    };
    Published::build(
        Arc::new(config),
        previous,
        &Secrets::default(),
        &tls,
        metrics,
        log,
    )
}

/// A self-signed certificate for these names.
pub(crate) fn certificate(entry: &str, names: &[&str]) -> ServedCertificate {
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().copied().map(str::to_owned).collect();
    let params = CertificateParams::new(names.clone()).unwrap();
    let leaf = params.self_signed(&key).unwrap();
    let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let signer = any_supported_type(&der).unwrap();
    ServedCertificate {
        entry: entry.to_owned(),
        key_type: KeyType::EcdsaP256,
        version: 1,
        names,
        serial: "01".to_owned(),
        sha256: String::new(),
        not_before: SystemTime::UNIX_EPOCH,
        not_after: SystemTime::UNIX_EPOCH + SECOND * 4_000_000_000,
        key: Arc::new(CertifiedKey::new(vec![leaf.der().clone()], signer)),
    }
}
