//! Counters, one shard per worker thread, summed when somebody asks (OpenMetrics text, version 1.0).
//!
//! Nothing here is locked where requests pass: a shard is plain atomics that only its worker writes.

use std::collections::{BTreeMap, HashSet};
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use certstore::{CertTable, KmsCalls};
use kms::audit::AuditStatus;
use parking_lot::Mutex;

use crate::access_log::micros;
use crate::connection::{HandshakeFailure, HandshakeOutcome};
use crate::error::End;
use crate::health::Verdict;
use crate::published::Published;

/// All counters of the process. They outlive reloads.
#[derive(Debug)]
pub struct Metrics {
    workers: usize,
    ends: Sharded<[AtomicU64; End::ALL.len()]>,
    /// Lines that the access log has lost.
    pub access_log_lost: Arc<AtomicU64>,
    started: SystemTime,
    reload: Reload,
    listeners: Mutex<BTreeMap<String, Arc<ListenerCounters>>>,
    requests: Mutex<BTreeMap<(String, String), Arc<RequestCounters>>>,
}

/// How reloads of the configuration went.
#[derive(Debug, Default)]
struct Reload {
    /// Whether the last one failed.
    failed: AtomicBool,
    /// When the last one that succeeded did, in seconds since 1970; 0 before the first.
    succeeded: AtomicU64,
}

/// What is counted of one listener.
pub type ListenerCounters = Sharded<ListenerShard>;
/// What is counted of the requests from one listener to one target group.
pub type RequestCounters = Sharded<RequestShard>;

/// One worker's share of [`ListenerCounters`].
#[derive(Debug, Default)]
pub struct ListenerShard {
    opened: AtomicU64,
    closed: AtomicU64,
    /// TLS 1.2 full and resumed, TLS 1.3 full and resumed.
    handshakes: [AtomicU64; 4],
    failures: [AtomicU64; FAILURES.len()],
    handshake_time: Histogram,
}

impl ListenerShard {
    /// A connection was accepted, or has ended.
    pub fn connection(&self, opened: bool) {
        let counter = if opened { &self.opened } else { &self.closed };
        counter.fetch_add(1, Relaxed);
    }

    /// A handshake has ended.
    pub fn handshake(&self, outcome: HandshakeOutcome<'_>) {
        match outcome {
            HandshakeOutcome::Done(tls) => {
                let newer = usize::from(tls.version == "TLSv1.3");
                self.handshakes[newer * 2 + usize::from(tls.resumed)].fetch_add(1, Relaxed);
                self.handshake_time.observe(tls.handshake);
            }
            HandshakeOutcome::Failed(why) => {
                let place = FAILURES.iter().position(|kind| *kind == why);
                if let Some(counter) = place.and_then(|place| self.failures.get(place)) {
                    counter.fetch_add(1, Relaxed);
                }
            }
        }
    }
}

/// One worker's share of [`RequestCounters`].
#[derive(Debug, Default)]
pub struct RequestShard {
    /// By the first digit of the status.
    classes: [AtomicU64; 6],
    time: Histogram,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    retries: AtomicU64,
}

impl RequestShard {
    /// A request has ended.
    pub fn observe(&self, record: &crate::access_log::Record) {
        let class = usize::from(record.status / 100).min(5);
        self.classes[class].fetch_add(1, Relaxed);
        self.time.observe(Duration::from_micros(record.total_us));
        self.request_bytes.fetch_add(record.request_bytes, Relaxed);
        self.response_bytes
            .fetch_add(record.response_bytes, Relaxed);
        if record.retries > 0 {
            self.retries.fetch_add(u64::from(record.retries), Relaxed);
        }
    }
}

impl Metrics {
    /// Counters for `workers` worker threads.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self {
            workers,
            ends: Sharded::new(workers),
            access_log_lost: Arc::default(),
            started: SystemTime::now(),
            reload: Reload::default(),
            listeners: Mutex::default(),
            requests: Mutex::default(),
        })
    }

    /// How many worker threads there are.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// A request of `worker` has ended.
    pub fn end(&self, worker: usize, end: End) {
        self.ends.shard(worker)[end as usize].fetch_add(1, Relaxed);
    }

    /// The configuration was loaded anew at `time`, or not.
    pub fn reloaded(&self, success: bool, time: SystemTime) {
        self.reload.failed.store(!success, Relaxed);
        if success {
            self.reload.succeeded.store(unix_seconds(time), Relaxed);
        }
    }

    /// The counters of a listener. Locks: for load time.
    pub fn listener(&self, name: &str) -> Arc<ListenerCounters> {
        let mut listeners = self.listeners.lock();
        let counters = listeners.entry(name.to_owned());
        counters
            .or_insert_with(|| Arc::new(Sharded::new(self.workers)))
            .clone()
    }

    /// The counters of requests from a listener to a target group (empty: answered here). Locks: for the
    /// first request of each pair.
    pub fn requests(&self, listener: &str, group: &str) -> Arc<RequestCounters> {
        let mut requests = self.requests.lock();
        let counters = requests.entry((listener.to_owned(), group.to_owned()));
        counters
            .or_insert_with(|| Arc::new(Sharded::new(self.workers)))
            .clone()
    }

    /// Connections open now at the listener `name`.
    pub fn connections(&self, name: &str) -> u64 {
        let listeners = self.listeners.lock();
        listeners
            .get(name)
            .map_or(0, |counters| open_connections(counters))
    }

    /// Everything, in the OpenMetrics text format. Counts open descriptors: not for a thread that serves.
    pub fn encode(
        &self,
        published: &Published,
        certificates: &CertTable,
        store: StoreFigures,
    ) -> String {
        let mut page = Page::default();
        self.encode_process(&mut page);
        self.encode_requests(&mut page);
        self.encode_listeners(published, &mut page);
        encode_targets(published, &mut page);
        encode_certificates(certificates, &mut page);
        encode_audit(&store.audit, &mut page);
        encode_store(&store, &mut page);
        page.family(
            "access_log_lost_lines",
            "counter",
            "Lines that the access log has lost",
        );
        page.sample(
            "access_log_lost_lines_total",
            &[],
            self.access_log_lost.load(Relaxed),
        );
        page.finish()
    }

    fn encode_process(&self, page: &mut Page) {
        page.family("build_info", "gauge", "1, with the version of the program");
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        page.sample("build_info", &version, 1);
        page.gauge(
            "start_time_seconds",
            "When the process began, in seconds since 1970",
            unix_seconds(self.started),
        );
        // Only where /proc is mounted.
        if let Ok(descriptors) = std::fs::read_dir("/proc/self/fd") {
            page.gauge("open_fds", "Descriptors that are open", descriptors.count());
        }
        page.gauge(
            "config_reload_successful",
            "1 unless the last reload of the configuration failed",
            u8::from(!self.reload.failed.load(Relaxed)),
        );
        let reloaded = self.reload.succeeded.load(Relaxed);
        let loaded = if reloaded > 0 {
            reloaded
        } else {
            unix_seconds(self.started)
        };
        page.gauge(
            "config_loaded_timestamp_seconds",
            "When the configuration in force was loaded, in seconds since 1970",
            loaded,
        );
    }

    fn encode_requests(&self, page: &mut Page) {
        let requests = self.requests.lock();
        page.family(
            "requests",
            "counter",
            "Requests by the class of their status",
        );
        for (labels, counters) in requests.iter().map(labelled) {
            for (class, name) in CLASSES.iter().enumerate() {
                let count = counters.sum(|shard| &shard.classes[class]);
                if count > 0 {
                    let labels = [labels[0], labels[1], ("status", *name)];
                    page.sample("requests_total", &labels, count);
                }
            }
        }
        for (name, help, counter) in REQUEST_COUNTERS {
            page.family(name, "counter", help);
            for (labels, counters) in requests.iter().map(labelled) {
                let total = format!("{name}_total");
                page.sample(&total, &labels, counters.sum(counter));
            }
        }
        page.family(
            "request_duration_seconds",
            "histogram",
            "From the head to the end of the response",
        );
        for (labels, counters) in requests.iter().map(labelled) {
            let name = "request_duration_seconds";
            page.histogram(name, &labels, counters, |shard| &shard.time);
        }
        page.family(
            "request_ends",
            "counter",
            "How requests ended, by the word of the access log",
        );
        for end in End::ALL {
            let count = self.ends.sum(|shard| &shard[end as usize]);
            page.sample("request_ends_total", &[("end", end.word())], count);
        }
    }

    fn encode_listeners(&self, published: &Published, page: &mut Page) {
        let listeners = self.listeners.lock();
        let named = || {
            listeners
                .iter()
                .map(|(name, counters)| (("listener", name.as_str()), counters))
        };
        let configured = &published.config().listeners;
        let is_plain = |name: &str| {
            let mut plain = configured.iter().filter(|listener| listener.tls.is_none());
            plain.any(|listener| listener.name == name)
        };
        let secure = || named().filter(|((_, name), _)| !is_plain(name));
        page.family(
            "connections",
            "gauge",
            "Connections from clients that are open",
        );
        for (label, counters) in named() {
            page.sample("connections", &[label], open_connections(counters));
        }
        page.family(
            "connections_accepted",
            "counter",
            "Connections from clients",
        );
        for (label, counters) in named() {
            let accepted = counters.sum(|shard| &shard.opened);
            page.sample("connections_accepted_total", &[label], accepted);
        }
        page.family(
            "handshakes",
            "counter",
            "TLS handshakes that came to a session",
        );
        for (label, counters) in secure() {
            for (kind, (version, resumed)) in HANDSHAKES.iter().enumerate() {
                let labels = [label, ("version", *version), ("resumed", *resumed)];
                let count = counters.sum(|shard| &shard.handshakes[kind]);
                page.sample("handshakes_total", &labels, count);
            }
        }
        page.family(
            "handshake_failures",
            "counter",
            "TLS handshakes that came to none",
        );
        for (label, counters) in named() {
            for (kind, failure) in FAILURES.iter().enumerate() {
                let labels = [label, ("kind", failure.as_str())];
                let count = counters.sum(|shard| &shard.failures[kind]);
                page.sample("handshake_failures_total", &labels, count);
            }
        }
        page.family(
            "handshake_duration_seconds",
            "histogram",
            "From accept to the TLS session",
        );
        for (label, counters) in secure() {
            let name = "handshake_duration_seconds";
            page.histogram(name, &[label], counters, |shard| &shard.handshake_time);
        }
    }
}

fn open_connections(counters: &ListenerCounters) -> u64 {
    let closed = counters.sum(|shard| &shard.closed);
    counters.sum(|shard| &shard.opened).saturating_sub(closed)
}

fn encode_targets(published: &Published, page: &mut Page) {
    let targets = || {
        published.groups().iter().flat_map(|group| {
            group.targets().iter().map(move |target| {
                let address = target.dial().address().to_string();
                (group.name(), address, target)
            })
        })
    };
    page.family(
        "target_healthy",
        "gauge",
        "1 if the target passes its health check",
    );
    let checked = targets().filter(|(_, _, target)| target.verdict() != Verdict::Unchecked);
    for (group, address, target) in checked {
        let labels = [("target_group", group), ("target", address.as_str())];
        page.sample(
            "target_healthy",
            &labels,
            u8::from(target.verdict().is_up()),
        );
    }
    page.family(
        "target_requests_in_flight",
        "gauge",
        "Requests that the target has not answered",
    );
    for (group, address, target) in targets() {
        let labels = [("target_group", group), ("target", address.as_str())];
        page.sample("target_requests_in_flight", &labels, target.in_flight());
    }
    page.family("target_connections", "gauge", "Connections to the target");
    for (group, address, target) in targets() {
        let labels = [("target_group", group), ("target", address.as_str())];
        page.sample("target_connections", &labels, target.pool().open());
    }
    page.family(
        "target_group_unverified",
        "gauge",
        "1 if the certificates of targets are not verified",
    );
    for group in published.groups() {
        let labels = [("target_group", group.name())];
        page.sample(
            "target_group_unverified",
            &labels,
            u8::from(group.is_unverified()),
        );
    }
}

/// What is counted elsewhere of the store and its keys.
#[derive(Debug, Clone, Default)]
pub struct StoreFigures {
    /// Entries that are broken or refused.
    pub not_served: usize,
    /// Calls of the KMS for entries since the start.
    pub kms_calls: KmsCalls,
    /// How the audit log is.
    pub audit: AuditStatus,
}

fn encode_audit(audit: &AuditStatus, page: &mut Page) {
    page.gauge(
        "audit_log_writable",
        "0 while the audit log cannot be written",
        u8::from(audit.failing.is_none()),
    );
    let records_help = "Records of the audit log";
    let refused_help = "Calls of the KMS that were refused for want of a record";
    let lost_help = "Calls of the KMS that were answered without a record";
    for (name, help, count) in [
        ("audit_records", records_help, audit.records),
        ("audit_refused_calls", refused_help, audit.refused),
        ("audit_lost_records", lost_help, audit.lost),
    ] {
        page.family(name, "counter", help);
        page.sample(&format!("{name}_total"), &[], count);
    }
}

fn encode_store(store: &StoreFigures, page: &mut Page) {
    page.gauge(
        "entries_not_served",
        "Entries of the store that are broken or refused",
        store.not_served,
    );
    let KmsCalls { made, saved } = store.kms_calls;
    let made_help = "Calls of the KMS for entries of the store";
    let saved_help = "Calls of the KMS for entries of the store that bucket keys have saved";
    for (name, help, value) in [
        ("certstore_kms_calls", made_help, made),
        ("certstore_kms_calls_saved", saved_help, saved),
    ] {
        page.family(name, "counter", help);
        page.sample(&format!("{name}_total"), &[], value);
    }
}

fn encode_certificates(certificates: &CertTable, page: &mut Page) {
    page.family(
        "certificate_not_after_seconds",
        "gauge",
        "When the served certificate expires, in seconds since 1970",
    );
    let mut served: Vec<_> = certificates.iter().collect();
    served.sort_by_key(|certificate| {
        let key_type = certificate.key_type.as_str();
        (&certificate.entry, key_type, &certificate.serial)
    });
    for certificate in served {
        let labels = [
            ("certificate", certificate.entry.as_str()),
            ("key_type", certificate.key_type.as_str()),
            ("serial", &certificate.serial),
        ];
        page.sample(
            "certificate_not_after_seconds",
            &labels,
            unix_seconds(certificate.not_after),
        );
    }
}

/// A page of OpenMetrics in the older text format (version 0.0.4): there, counters are named in full, and
/// nothing says where the page ends.
pub fn in_plain_text(page: &str) -> String {
    let counters: HashSet<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(page.len());
    for line in page.lines().filter(|line| *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        let named = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(kind), Some(name), Some(rest)) if counters.contains(name) => {
                format!("# {kind} {name}_total {rest}\n")
            }
            _ => format!("{line}\n"),
        };
        text.push_str(&named);
    }
    text
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn labelled<'a, T>(
    ((listener, group), counters): (&'a (String, String), &'a T),
) -> ([(&'static str, &'a str); 2], &'a T) {
    ([("listener", listener), ("target_group", group)], counters)
}

/// One value per worker, far enough apart in memory that none slows another down.
#[derive(Debug)]
pub struct Sharded<T>(Box<[Apart<T>]>);

impl<T: Default> Sharded<T> {
    /// `workers` values.
    pub fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| Apart::default()).collect())
    }
}

impl<T> Sharded<T> {
    /// The value of `worker`.
    pub fn shard(&self, worker: usize) -> &T {
        &self.0[worker % self.0.len()].0
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|apart| &apart.0)
    }

    fn sum(&self, counter: impl Fn(&T) -> &AtomicU64) -> u64 {
        self.iter().map(|shard| counter(shard).load(Relaxed)).sum()
    }
}

/// On cache lines of its own (two, for processors fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

/// Durations in few buckets.
#[derive(Debug, Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    fn observe(&self, duration: Duration) {
        let us = micros(duration);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
    }
}

/// A page in the making.
#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {PREFIX}_{name} {help}."));
        self.line(format_args!("# TYPE {PREFIX}_{name} {kind}"));
    }

    /// A family with one sample that has no labels.
    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels = Labels(labels);
        self.line(format_args!("{PREFIX}_{name}{labels} {value}"));
    }

    fn histogram<T>(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        counters: &Sharded<T>,
        histogram: impl Fn(&T) -> &Histogram,
    ) {
        let mut count = 0;
        for bucket in 0..=BOUNDS_US.len() {
            count += counters.sum(|shard| &histogram(shard).buckets[bucket]);
            // In the canonical form of OpenMetrics: 0.00025, 10.0.
            let bound = BOUNDS_US
                .get(bucket)
                .map(|us| format!("{:?}", *us as f64 / 1e6));
            let bound = bound.unwrap_or_else(|| "+Inf".to_owned());
            let labels = [labels, &[("le", bound.as_str())]].concat();
            self.sample(&format!("{name}_bucket"), &labels, count);
        }
        let sum = counters.sum(|shard| &histogram(shard).sum_us);
        self.sample(&format!("{name}_sum"), labels, seconds(sum));
        self.sample(&format!("{name}_count"), labels, count);
    }

    fn finish(mut self) -> String {
        self.line(format_args!("# EOF"));
        self.0
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a string takes what is written to it");
    }
}

/// `{name="value",…}`, escaped.
struct Labels<'a>(&'a [(&'a str, &'a str)]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, (name, value)) in self.0.iter().enumerate() {
            let opening = if place == 0 { '{' } else { ',' };
            write!(f, "{opening}{name}=\"")?;
            for character in value.chars() {
                match character {
                    '\\' | '"' => write!(f, "\\{character}")?,
                    '\n' => f.write_str("\\n")?,
                    _ => f.write_char(character)?,
                }
            }
            f.write_char('"')?;
        }
        let closing = if self.0.is_empty() { "" } else { "}" };
        f.write_str(closing)
    }
}

/// Microseconds as seconds, exactly.
fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

const PREFIX: &str = "sealgate";
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
const HANDSHAKES: [(&str, &str); 4] = [
    ("TLSv1.2", "false"),
    ("TLSv1.2", "true"),
    ("TLSv1.3", "false"),
    ("TLSv1.3", "true"),
];
const FAILURES: [HandshakeFailure; 7] = [
    HandshakeFailure::Timeout,
    HandshakeFailure::Closed,
    HandshakeFailure::UnknownName,
    HandshakeFailure::NothingInCommon,
    HandshakeFailure::Alert,
    HandshakeFailure::Protocol,
    HandshakeFailure::ProxyHeader,
];
type RequestCounter = (&'static str, &'static str, fn(&RequestShard) -> &AtomicU64);
const REQUEST_COUNTERS: [RequestCounter; 3] = [
    ("request_body_bytes", "Bytes of request bodies", |shard| {
        &shard.request_bytes
    }),
    ("response_body_bytes", "Bytes of response bodies", |shard| {
        &shard.response_bytes
    }),
    (
        "request_retries",
        "Requests sent again, or to another target",
        |shard| &shard.retries,
    ),
];
const BOUNDS_US: [u64; 12] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 2_500_000, 10_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_buckets() {
        let counters: RequestCounters = Sharded::new(2);
        for (worker, us) in [(0, 1), (1, 250), (0, 251), (1, 99_000_000)] {
            counters
                .shard(worker)
                .time
                .observe(Duration::from_micros(us));
        }
        let mut page = Page::default();
        page.histogram("t", &[("a", "b")], &counters, |shard| &shard.time);
        let text = page.finish();
        assert!(
            text.contains("sealgate_t_bucket{a=\"b\",le=\"0.00025\"} 2\n"),
            "{text}"
        );
        assert!(
            text.contains("sealgate_t_bucket{a=\"b\",le=\"0.0005\"} 3\n"),
            "{text}"
        );
        assert!(
            text.contains("sealgate_t_bucket{a=\"b\",le=\"+Inf\"} 4\n"),
            "{text}"
        );
        assert!(
            text.contains("sealgate_t_sum{a=\"b\"} 99.000502\n"),
            "{text}"
        );
        assert!(
            text.ends_with("sealgate_t_count{a=\"b\"} 4\n# EOF\n"),
            "{text}"
        );
    }

    fn page(change: impl FnOnce(&Metrics)) -> String {
        use crate::testing::{config, group, publish};
        let metrics = Metrics::new(1);
        change(&metrics);
        let published = publish(config(vec![group(&[1])]), None, &metrics);
        let mut table = CertTable::default();
        table.insert(Arc::new(crate::testing::certificate(
            "shop",
            &["a.example"],
        )));
        let kms_calls = KmsCalls { made: 2, saved: 98 };
        let not_served = 3;
        let store = StoreFigures {
            not_served,
            kms_calls,
            audit: AuditStatus::default(),
        };
        metrics.encode(&published, &table, store)
    }

    #[test]
    fn what_is_not_there_has_no_series() {
        let text = page(|_| {});
        assert!(
            text.contains("sealgate_connections{listener=\"http\"} 0\n"),
            "{text}"
        );
        assert!(!text.contains("sealgate_handshakes_total{"), "{text}");
        assert!(
            !text.contains("sealgate_handshake_duration_seconds_count{"),
            "{text}"
        );
        assert!(!text.contains("sealgate_target_healthy{"), "{text}");
    }

    #[test]
    fn the_process_and_its_configuration_are_described() {
        let text = page(|_| {});
        for line in [
            concat!(
                "sealgate_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1\n"
            ),
            "sealgate_config_reload_successful 1\n",
            "sealgate_entries_not_served 3\n",
            "sealgate_certstore_kms_calls_total 2\n",
            "sealgate_certstore_kms_calls_saved_total 98\n",
            "key_type=\"ecdsa-p256\"",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let time = UNIX_EPOCH + Duration::from_secs(7);
        let text = page(|metrics| {
            metrics.reloaded(true, time);
            metrics.reloaded(false, SystemTime::now());
        });
        assert!(
            text.contains("sealgate_config_reload_successful 0\n"),
            "{text}"
        );
        assert!(
            text.contains("sealgate_config_loaded_timestamp_seconds 7\n"),
            "{text}"
        );
    }

    #[test]
    fn the_older_format_names_counters_in_full() {
        let page = "# HELP a_b Of c.\n# TYPE a_b counter\na_b_total{d=\"e f\"} 1\n\
                    # HELP g Of c.\n# TYPE g gauge\ng 1\n# EOF\n";
        let text = "# HELP a_b_total Of c.\n# TYPE a_b_total counter\na_b_total{d=\"e f\"} 1\n\
                    # HELP g Of c.\n# TYPE g gauge\ng 1\n";
        assert_eq!(in_plain_text(page), text);
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(
            Labels(&[("a", "x\"\\\n")]).to_string(),
            "{a=\"x\\\"\\\\\\n\"}"
        );
        assert_eq!(Labels(&[]).to_string(), "");
    }

    #[test]
    fn shards_are_apart() {
        assert!(size_of::<Apart<u8>>() >= 128);
    }
}
