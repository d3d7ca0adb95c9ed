//! Listeners.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::{MANY, Resolver, check, items, layer};
use crate::document::{
    DefaultCertificate, HttpVersion as Version, Listener as Document, ListenerLimits as Limits,
    ListenerTls as Tls, SecurityPolicy as Policy,
};
use crate::fault::Fault;
use crate::reader::{Field, Named, OneOrMany, WordOr};
use crate::span::Span;
use crate::{
    HttpVersion, Listener, ListenerLimits, ListenerTls, SecurityPolicy, UnknownSni, defaults,
};

/// Addresses that are taken, and where in the document that stands.
type Taken = HashMap<SocketAddr, Span>;

impl Resolver<'_> {
    /// All listeners, in the order of the document.
    pub(super) fn all_listeners(&mut self) -> Vec<Listener> {
        let document = self.document;
        self.require(&document.listeners, self.root, "listeners", LISTENERS_HINT);
        self.listener_limits(None);
        let Some((Named(listeners), span)) = document.listeners.spanned() else {
            return Vec::new();
        };
        if listeners.is_empty() {
            self.report(Fault::error(span, "`listeners` is empty").hint(LISTENERS_HINT.to_owned()));
        }
        let mut taken: Taken = self.admin_address().into_iter().collect();
        listeners
            .iter()
            .filter_map(|(name, listener)| {
                let listener = listener.value.as_ref()?;
                self.listener(name.value.as_deref()?, name.span, listener, &mut taken)
            })
            .collect()
    }

    fn listener(
        &mut self,
        name: &str,
        span: Span,
        listener: &Document,
        taken: &mut Taken,
    ) -> Option<Listener> {
        let bind = self.bind(listener, span, taken);
        let defaults = self.defaults().and_then(|defaults| defaults.listener.get());
        let slashes = listener.allow_encoded_slash.get();
        let slashes = slashes.or(defaults.and_then(|defaults| defaults.allow_encoded_slash.get()));
        let merge = listener.merge_slashes.get();
        let merge = merge.or(defaults.and_then(|defaults| defaults.merge_slashes.get()));
        let resolved = Listener {
            name: name.to_owned(),
            bind: bind.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))),
            protocols: self.protocols(listener),
            tls: self.listener_tls(listener),
            proxy_protocol: self.proxy_protocol(&listener.proxy_protocol),
            action: listener
                .action
                .spanned()
                .and_then(|(action, span)| self.action(&action.into(), span)),
            limits: self.listener_limits(listener.limits.get()),
            allow_encoded_slash: slashes.copied().unwrap_or_default(),
            merge_slashes: merge.copied().unwrap_or(defaults::MERGE_SLASHES),
        };
        bind.map(|_| resolved)
    }

    fn bind(&mut self, listener: &Document, span: Span, taken: &mut Taken) -> Option<SocketAddr> {
        self.require(&listener.bind, span, "bind", "such as `bind: \"[::]:443\"`");
        let bind = self.address(&listener.bind, "bind", check::bind)?;
        let span = listener.bind.span()?;
        if bind.port() == 0 {
            return Some(bind);
        }
        if let Some(first) = taken.get(&bind) {
            self.report(
                Fault::error(span, format!("`{bind}` is bound twice"))
                    .related(*first, "also bound here")
                    .hint("give one of the two another address or port".to_owned()),
            );
        } else {
            taken.insert(bind, span);
        }
        Some(bind)
    }

    fn protocols(&mut self, listener: &Document) -> Vec<HttpVersion> {
        let Some((OneOrMany(list), span)) = listener.protocols.spanned() else {
            return default_protocols(listener);
        };
        self.refuse_empty(
            &listener.protocols,
            "protocols",
            "leave it out for the default",
        );
        let mut protocols = Vec::new();
        for (version, span) in items(list) {
            let version = http_version(*version);
            if protocols.contains(&version) {
                self.report(
                    Fault::error(span, "a protocol is named twice").hint("remove one".to_owned()),
                );
            }
            protocols.push(version);
        }
        if !listener.tls.is_given() && protocols == [HttpVersion::Http2] {
            self.report(
                Fault::error(span, "a plain listener must speak `http/1.1`")
                    .found("`h2` alone")
                    .hint(
                        "add `http/1.1`, or `tls`: clients use `h2` over TLS only, save few"
                            .to_owned(),
                    ),
            );
        }
        protocols
    }

    fn listener_tls(&mut self, listener: &Document) -> Option<ListenerTls> {
        let (own, span) = listener.tls.spanned()?;
        let defaults = self
            .defaults()
            .and_then(|defaults| defaults.listener.get()?.tls.get());
        let certificates = layer(Some(own), defaults, |tls: &Tls| &tls.certificates);
        if !certificates.is_some_and(Field::is_given) {
            self.require(&own.certificates, span, "certificates", CERTIFICATES_HINT);
        }
        self.refuse_empty(&own.certificates, "certificates", CERTIFICATES_HINT);
        let policy = layer(Some(own), defaults, |tls: &Tls| &tls.policy).and_then(Field::get);
        Some(ListenerTls {
            policy: policy
                .copied()
                .map_or(SecurityPolicy::Modern, security_policy),
            certificates: self.words(certificates, "certificates", check::selector),
            on_unknown_sni: self
                .on_unknown_sni(layer(Some(own), defaults, |tls: &Tls| &tls.on_unknown_sni)),
        })
    }

    fn on_unknown_sni(
        &mut self,
        field: Option<&Field<WordOr<crate::document::Reject, DefaultCertificate>>>,
    ) -> UnknownSni {
        let Some((WordOr::Map(certificate), span)) = field.and_then(Field::spanned) else {
            return UnknownSni::Reject;
        };
        let key = "default_certificate";
        self.require(
            &certificate.default_certificate,
            span,
            key,
            "such as `default_certificate: www.example.com`",
        );
        self.word(&certificate.default_certificate, key, check::entry_name)
            .map_or(UnknownSni::Reject, UnknownSni::DefaultCertificate)
    }

    fn proxy_protocol(&mut self, field: &Field<bool>) -> bool {
        let Some((wanted, span)) = field.spanned() else {
            return false;
        };
        if *wanted && !self.document.trusted_proxies.is_given() {
            self.report(
                Fault::error(span, "`proxy_protocol` without `trusted_proxies`").hint(
                    "name the proxies that send the header: `trusted_proxies: [10.0.0.0/8]`"
                        .to_owned(),
                ),
            );
        }
        *wanted
    }

    fn listener_limits(&mut self, own: Option<&Limits>) -> ListenerLimits {
        let base = &defaults::LISTENER_LIMITS;
        let default = self
            .defaults()
            .and_then(|defaults| defaults.listener.get()?.limits.get());
        let time = |field: fn(&Limits) -> &Field<_>| layer(own, default, field);
        let handshake = time(|limits| &limits.handshake_timeout);
        let header = time(|limits| &limits.header_timeout);
        let idle = time(|limits| &limits.idle_timeout);
        let body_idle = time(|limits| &limits.body_idle_timeout);
        let header_size = layer(own, default, |limits: &Limits| &limits.max_header_size);
        let headers = layer(own, default, |limits: &Limits| &limits.max_headers);
        let streams = layer(own, default, |limits: &Limits| &limits.max_streams);
        let body_size = layer(own, default, |limits: &Limits| &limits.max_body_size);
        let header_bytes = self.size(
            header_size,
            "max_header_size",
            1 << 10..=1 << 20,
            "a size from 1KiB to 1MiB",
        );
        ListenerLimits {
            handshake_timeout: self.time(handshake, "handshake_timeout", base.handshake_timeout),
            header_timeout: self.time(header, "header_timeout", base.header_timeout),
            idle_timeout: self.time(idle, "idle_timeout", base.idle_timeout),
            body_idle_timeout: self.time(body_idle, "body_idle_timeout", base.body_idle_timeout),
            max_header_bytes: header_bytes
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(base.max_header_bytes),
            max_headers: self.count(headers, "max_headers", 1..=1_000, base.max_headers),
            max_streams: self.small(streams, "max_streams", 1..=65_536, base.max_streams),
            max_body_bytes: self.size(
                body_size,
                "max_body_size",
                0..=MANY << 20,
                "a size up to 1,000,000GiB",
            ),
        }
    }
}

fn default_protocols(listener: &Document) -> Vec<HttpVersion> {
    if listener.tls.is_given() {
        defaults::TLS_PROTOCOLS.to_vec()
    } else {
        defaults::PLAIN_PROTOCOLS.to_vec()
    }
}

fn http_version(version: Version) -> HttpVersion {
    match version {
        Version::Http1 => HttpVersion::Http1,
        Version::Http2 => HttpVersion::Http2,
    }
}

fn security_policy(policy: Policy) -> SecurityPolicy {
    match policy {
        Policy::Modern => SecurityPolicy::Modern,
        Policy::Compatible => SecurityPolicy::Compatible,
    }
}

const LISTENERS_HINT: &str =
    "such as `listeners: { https: { bind: \"[::]:443\", tls: { certificates: [\"*\"] } } }`";
const CERTIFICATES_HINT: &str =
    "`certificates: [\"*\"]` serves every valid entry of the sealed store";
