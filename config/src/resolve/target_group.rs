//! Target groups.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::rule::no_weight;
use super::{MANY, Resolver, check, items, layer};
use crate::document::{
    Address, Algorithm as Balance, FilePath, HeaderEdits, HealthCheck as Probe, NoHealthCheck,
    OnAllUnhealthy as WhenUnhealthy, Scheme, Target as TargetDocument, TargetGroup as Document,
    TargetLimits as Limits, TargetTls as Tls, Verify,
};
use crate::fault::Fault;
use crate::reader::{Field, Named, OneOrMany, WordOr};
use crate::span::Span;
use crate::units::{self, Time};
use crate::yaml;
use crate::{
    Algorithm, CertificateAuthorities, FieldValue, HealthCheck, OnAllUnhealthy, Sealed, Target,
    TargetGroup, TargetHeaders, TargetLimits, TargetProtocol, TargetTls, defaults,
};

/// A field that probes targets, or says that they are not.
type ProbeField = Field<WordOr<NoHealthCheck, Probe>>;

impl Resolver<'_> {
    /// All target groups, in the order of the document.
    pub(super) fn all_target_groups(&mut self) -> Vec<TargetGroup> {
        self.target_limits(None);
        let groups = self
            .document
            .target_groups
            .get()
            .map_or(&[][..], |named| &named.0);
        groups
            .iter()
            .filter_map(|(name, group)| {
                Some(self.target_group(name.value.as_deref()?, name.span, group.value.as_ref()?))
            })
            .collect()
    }

    fn target_group(&mut self, name: &str, span: Span, group: &Document) -> TargetGroup {
        let defaults = self
            .defaults()
            .and_then(|defaults| defaults.target_group.get());
        let balance = group
            .balance
            .get()
            .or(defaults.and_then(|defaults| defaults.balance.get()));
        let unhealthy = group.on_all_unhealthy.get();
        let unhealthy = unhealthy.or(defaults.and_then(|defaults| defaults.on_all_unhealthy.get()));
        TargetGroup {
            name: name.to_owned(),
            protocol: self.protocol(group),
            algorithm: balance.copied().map_or(Algorithm::RoundRobin, algorithm),
            on_all_unhealthy: unhealthy
                .copied()
                .map_or(OnAllUnhealthy::Refuse, on_all_unhealthy),
            health_check: self.health_check(&group.health_check),
            limits: self.target_limits(group.limits.get()),
            request_headers: self.target_headers(group.request_headers.get()),
            targets: self.targets(group, span),
        }
    }

    fn target_headers(&mut self, edits: Option<&HeaderEdits>) -> TargetHeaders {
        let Some(edits) = edits else {
            return TargetHeaders::default();
        };
        TargetHeaders {
            remove: self.words(Some(&edits.remove), "remove", check::header_name),
            set: self.field_values(&edits.set),
            add: self.field_values(&edits.add),
        }
    }

    fn field_values(&mut self, field: &Field<Named<String>>) -> Vec<(String, FieldValue)> {
        let fields = field.get().map_or(&[][..], |fields| &fields.0);
        let fields = fields.iter().filter_map(|(name, value)| {
            let what = "a field name";
            let name = self.check(name.value.as_deref()?, name.span, what, check::header_name);
            let value = self.field_value(value.value.as_deref()?, value.span);
            Some((name?, value?))
        });
        fields.collect()
    }

    fn field_value(&mut self, text: &str, span: Span) -> Option<FieldValue> {
        if !text.starts_with(Sealed::PREFIX) {
            let value = self.check(text, span, "a field value", check::header_value);
            return value.map(FieldValue::Plain);
        }
        let ciphertext = self.check(text, span, "a sealed value", check::sealed)?;
        let path = yaml::path(self.tree, span);
        Some(FieldValue::Sealed(Sealed { path, ciphertext }))
    }

    fn protocol(&mut self, group: &Document) -> TargetProtocol {
        let https = group.protocol.get() == Some(&Scheme::Https);
        if let Some(span) = group.tls.span()
            && !https
        {
            self.report(
                Fault::error(span, "`tls` without `protocol: https`").hint(
                    "add `protocol: https`, or remove `tls`: these targets are spoken to in plain"
                        .to_owned(),
                ),
            );
        }
        let tls = group.tls.get().map(|tls| self.target_tls(tls));
        if !https {
            return TargetProtocol::Http;
        }
        TargetProtocol::Https(tls.unwrap_or(TargetTls {
            server_name: None,
            ca: Some(CertificateAuthorities::System),
            client_certificate: None,
        }))
    }

    fn target_tls(&mut self, tls: &Tls) -> TargetTls {
        TargetTls {
            server_name: self.word(&tls.server_name, "server_name", check::server_name),
            ca: self.authorities(tls),
            client_certificate: self.word(
                &tls.client_certificate,
                "client_certificate",
                check::entry_name,
            ),
        }
    }

    fn authorities(&mut self, tls: &Tls) -> Option<CertificateAuthorities> {
        let named = tls
            .ca
            .spanned()
            .and_then(|(ca, span)| self.authority(ca, span));
        if tls.verify.get() != Some(&Verify::None) {
            return Some(named.unwrap_or(CertificateAuthorities::System));
        }
        if let (Some(ca), Some(verify)) = (tls.ca.span(), tls.verify.span()) {
            self.report(
                Fault::error(verify, "`verify: none` beside `ca`")
                    .related(ca, "nothing would be verified against this")
                    .hint("remove one of the two".to_owned()),
            );
        }
        None
    }

    fn authority(
        &mut self,
        ca: &WordOr<String, FilePath>,
        span: Span,
    ) -> Option<CertificateAuthorities> {
        match ca {
            WordOr::Map(path) => self.file(path, span).map(CertificateAuthorities::File),
            WordOr::Word(name) if name == "system" => Some(CertificateAuthorities::System),
            WordOr::Word(name)
                if name.contains('/') || name.ends_with(".pem") || name.ends_with(".crt") =>
            {
                self.report(
                    Fault::error(span, "invalid value for `ca`")
                        .found(format!("`{name}`"))
                        .allowed("`system`, `{ file: PATH }` or the name of a trust store")
                        .hint(format!("write `{{ file: {name} }}`")),
                );
                None
            }
            WordOr::Word(name) => self
                .check(name, span, "`ca`", check::name)
                .map(CertificateAuthorities::TrustStore),
        }
    }

    fn targets(&mut self, group: &Document, span: Span) -> Vec<Target> {
        self.require(&group.targets, span, "targets", TARGETS_HINT);
        self.refuse_empty(&group.targets, "targets", TARGETS_HINT);
        let Some((OneOrMany(list), list_span)) = group.targets.spanned() else {
            return Vec::new();
        };
        let mut taken = HashMap::with_capacity(list.len());
        let targets: Vec<Target> = items(list)
            .filter_map(|(target, span)| self.target(target, span, &mut taken))
            .collect();
        if !targets.is_empty() && targets.iter().all(|target| target.weight == 0) {
            self.report(no_weight(list_span));
        }
        targets
    }

    fn target(
        &mut self,
        target: &WordOr<Address, TargetDocument>,
        span: Span,
        taken: &mut HashMap<SocketAddr, Span>,
    ) -> Option<Target> {
        let (address, weight) = match target {
            WordOr::Word(Address(address)) => {
                (self.check(address, span, "a target", check::target)?, 1)
            }
            WordOr::Map(target) => {
                self.require(
                    &target.address,
                    span,
                    "address",
                    "such as `address: 10.0.1.11:8080`",
                );
                let weight = target
                    .weight
                    .spanned()
                    .map_or(1, |(weight, span)| self.weight(*weight, span));
                (
                    self.address(&target.address, "address", check::target)?,
                    weight,
                )
            }
        };
        if let Some(first) = taken.insert(address, span) {
            self.report(
                Fault::error(span, format!("target `{address}` is named twice"))
                    .related(first, "first named here")
                    .hint("remove one; to send it more requests, give it a weight".to_owned()),
            );
        }
        Some(Target { address, weight })
    }

    fn health_check(&mut self, own: &ProbeField) -> Option<HealthCheck> {
        let default = self
            .defaults()
            .and_then(|defaults| defaults.target_group.get());
        let default = default.and_then(|defaults| probe(&defaults.health_check));
        if own.is_given() {
            probe(own).map(|own| self.probe(Some(own), default))
        } else {
            default.map(|default| self.probe(None, Some(default)))
        }
    }

    fn probe(&mut self, own: Option<&Probe>, default: Option<&Probe>) -> HealthCheck {
        let text = |field: fn(&Probe) -> &Field<String>| layer(own, default, field);
        let path = text(|probe| &probe.path)
            .and_then(|field| self.word(field, "path", check::origin_path));
        let host = text(|probe| &probe.host)
            .and_then(|field| self.word(field, "host", check::header_value));
        let healthy = layer(own, default, |probe: &Probe| &probe.healthy);
        let unhealthy = layer(own, default, |probe: &Probe| &probe.unhealthy);
        let interval_field = layer(own, default, |probe: &Probe| &probe.interval);
        let interval = self.time(interval_field, "interval", defaults::HEALTH_INTERVAL);
        let statuses = layer(own, default, |probe: &Probe| &probe.statuses).and_then(Field::get);
        HealthCheck {
            path: path.unwrap_or_else(|| defaults::HEALTH_PATH.to_owned()),
            host,
            interval,
            timeout: self.probe_timeout(
                layer(own, default, |probe: &Probe| &probe.timeout),
                interval_field,
                interval,
            ),
            healthy: self.small(healthy, "healthy", 1..=100, defaults::HEALTHY),
            unhealthy: self.small(unhealthy, "unhealthy", 1..=100, defaults::UNHEALTHY),
            statuses: statuses.map_or(vec![defaults::HEALTH_STATUSES], |OneOrMany(list)| {
                items(list).map(|(range, _)| (range.0, range.1)).collect()
            }),
        }
    }

    /// The timeout of a probe, which is no longer than the interval (if that could be read).
    fn probe_timeout(
        &mut self,
        field: Option<&Field<Time>>,
        interval_field: Option<&Field<Time>>,
        interval: Duration,
    ) -> Duration {
        let timeout = self.time(field, "timeout", defaults::HEALTH_TIMEOUT.min(interval));
        let unreadable =
            interval_field.is_some_and(|field| field.is_given() && field.get().is_none());
        if let Some(span) = field.and_then(Field::span)
            && timeout > interval
            && !unreadable
        {
            self.report(
                Fault::error(
                    span,
                    "a probe may take longer than the interval between probes",
                )
                .found(format!("`{}`", units::written(timeout)))
                .allowed(format!(
                    "at most the interval, `{}`",
                    units::written(interval)
                )),
            );
        }
        timeout
    }

    fn target_limits(&mut self, own: Option<&Limits>) -> TargetLimits {
        let base = &defaults::TARGET_LIMITS;
        let default = self
            .defaults()
            .and_then(|defaults| defaults.target_group.get()?.limits.get());
        let time = |field: fn(&Limits) -> &Field<_>| layer(own, default, field);
        let connect = time(|limits| &limits.connect_timeout);
        let response = time(|limits| &limits.response_timeout);
        let idle = time(|limits| &limits.idle_timeout);
        let connections = layer(own, default, |limits: &Limits| &limits.max_connections);
        let idle_connections = layer(own, default, |limits: &Limits| &limits.max_idle_connections);
        TargetLimits {
            connect_timeout: self.time(connect, "connect_timeout", base.connect_timeout),
            response_timeout: self.time(response, "response_timeout", base.response_timeout),
            max_connections: self.count(
                connections,
                "max_connections",
                1..=MANY,
                base.max_connections,
            ),
            max_idle_connections: self.count(
                idle_connections,
                "max_idle_connections",
                0..=MANY,
                base.max_idle_connections,
            ),
            idle_timeout: self.time(idle, "idle_timeout", base.idle_timeout),
        }
    }
}

/// How the field says targets are probed; none where it says `none` or nothing.
fn probe(field: &ProbeField) -> Option<&Probe> {
    match field.get()? {
        WordOr::Word(NoHealthCheck::None) => None,
        WordOr::Map(probe) => Some(probe),
    }
}

fn algorithm(balance: Balance) -> Algorithm {
    match balance {
        Balance::RoundRobin => Algorithm::RoundRobin,
        Balance::LeastOutstandingRequests => Algorithm::LeastOutstandingRequests,
    }
}

fn on_all_unhealthy(when: WhenUnhealthy) -> OnAllUnhealthy {
    match when {
        WhenUnhealthy::Refuse => OnAllUnhealthy::Refuse,
        WhenUnhealthy::Forward => OnAllUnhealthy::Forward,
    }
}

const TARGETS_HINT: &str = "such as `targets: [\"10.0.1.11:8080\"]`";
