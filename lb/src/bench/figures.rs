//! Reports as they were written, read again: what of them is compared and drawn.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::statistics::{Ratio, Spread};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Handshakes or requests per second.
    PerSecond,
    /// CPU time of the server for each of them, in microseconds.
    ServerCpuUs,
    /// Half took less, in microseconds.
    P50Us,
    /// 90 % took less, in microseconds.
    P90Us,
    /// 99 % took less, in microseconds.
    P99Us,
    /// 99.9 % took less, in microseconds.
    P999Us,
    /// The server's memory at its peak, in bytes.
    PeakMemoryBytes,
    /// CPU time of the client for each of them, in microseconds.
    ClientCpuUs,
}

impl Figure {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::PerSecond,
        Self::ServerCpuUs,
        Self::P50Us,
        Self::P90Us,
        Self::P99Us,
        Self::P999Us,
        Self::PeakMemoryBytes,
        Self::ClientCpuUs,
    ];

    /// For people, with its unit.
    pub fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "per second",
            Self::ServerCpuUs => "server CPU µs each",
            Self::P50Us => "p50 ms",
            Self::P90Us => "p90 ms",
            Self::P99Us => "p99 ms",
            Self::P999Us => "p99.9 ms",
            Self::PeakMemoryBytes => "server peak MiB",
            Self::ClientCpuUs => "client CPU µs each",
        }
    }

    /// A value in the unit of [`Self::name`].
    pub(super) fn shown(self, value: f64) -> String {
        match self {
            Self::PerSecond if value >= 1000.0 => super::words::grouped(value.round() as u64),
            Self::PerSecond | Self::ServerCpuUs | Self::ClientCpuUs => format!("{value:.1}"),
            Self::P50Us | Self::P90Us | Self::P99Us | Self::P999Us => {
                format!("{:.3}", value / 1000.0)
            }
            Self::PeakMemoryBytes => format!("{:.1}", value / MIB),
        }
    }

    fn of(self, report: &Measured) -> Option<f64> {
        let latency = report.latency.as_ref();
        match self {
            Self::PerSecond => Some(report.done().per_second),
            Self::ServerCpuUs => report.server.as_ref()?.cpu_us(),
            Self::P50Us => Some(latency?.p50_us),
            Self::P90Us => Some(latency?.p90_us),
            Self::P99Us => Some(latency?.p99_us),
            Self::P999Us => Some(latency?.p99_9_us),
            Self::PeakMemoryBytes => report.server.as_ref()?.peak_memory_bytes,
            Self::ClientCpuUs => report.client.cpu_us(),
        }
    }
}

/// Why a document is not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotAReport {
    /// It lacks what every report has.
    #[error("this is no report of `sealgate bench … --output json`: {0}")]
    Foreign(#[from] serde_json::Error),
    /// There is nothing in it, or nothing in both.
    #[error("there is no server with a round in it, or none that is in both reports")]
    Empty,
    /// It was measured in another way.
    #[error("one measures {0}, the other {1}: they do not compare")]
    Kinds(String, String),
}

/// What was measured, of one server or several.
#[derive(Debug, Clone, PartialEq)]
pub struct Sheet {
    /// `handshake` or `http`
    pub(super) measured: String,
    /// At least one.
    pub(super) columns: Vec<Column>,
}

/// What was measured of one server.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) label: String,
    /// At least one.
    pub(super) rounds: Vec<Measured>,
    /// What its ratios are to.
    pub(super) base: Base,
}

/// What the ratios of a column are to, if they are to anything: a column before it, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Nothing,
    /// It was measured in the same rounds.
    SameRounds(usize),
    /// It was measured at another time.
    Before(usize),
}

impl Base {
    /// Servers of one measurement are compared with its first.
    fn first(index: usize) -> Self {
        match index {
            0 => Self::Nothing,
            _ => Self::SameRounds(0),
        }
    }

    fn index(self) -> Option<usize> {
        match self {
            Self::Nothing => None,
            Self::SameRounds(index) | Self::Before(index) => Some(index),
        }
    }
}

/// The part of a report that is compared and drawn.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Measured {
    measured: String,
    pub(super) address: String,
    url: Option<String>,
    server_name: Option<String>,
    protocol: Option<String>,
    method: Option<String>,
    body_bytes: Option<u64>,
    concurrency: Option<u64>,
    connections: Option<u64>,
    streams: Option<u64>,
    threads: u64,
    rate: Option<f64>,
    verified: bool,
    pub(super) seconds: f64,
    pub(super) interrupted: bool,
    handshakes: Option<Done>,
    requests: Option<Done>,
    latency: Option<Times>,
    #[serde(default)]
    negotiated: Vec<Agreed>,
    client: Used,
    server: Option<Used>,
    machine: Option<Place>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Done {
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) per_second: f64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Times {
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    p99_9_us: f64,
    #[serde(default)]
    curve: Vec<(f64, f64)>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Agreed {
    version: String,
    suite: String,
    group: Option<String>,
    alpn: Option<String>,
    resumed: bool,
    certificate: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Used {
    cpu_us_per_handshake: Option<f64>,
    cpu_us_per_request: Option<f64>,
    peak_memory_bytes: Option<f64>,
    limit: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Place {
    processor: String,
    cores: u64,
    kernel: String,
    tool: String,
    time: String,
}

impl Sheet {
    /// Reads a report, or a comparison of several servers.
    ///
    /// # Errors
    /// When it is neither, or nothing is in it.
    pub fn read(document: &Value) -> Result<Self, NotAReport> {
        match document.get("endpoints") {
            Some(_) => Self::of_several(&Several::deserialize(document)?),
            None => Self::of_one(Measured::deserialize(document)?),
        }
    }

    fn of_one(report: Measured) -> Result<Self, NotAReport> {
        let label = report.address.clone();
        let rounds = vec![report];
        let base = Base::Nothing;
        Self::new(vec![Column {
            label,
            rounds,
            base,
        }])
    }

    fn of_several(document: &Several) -> Result<Self, NotAReport> {
        let column = |(index, endpoint): (usize, &Endpoint)| Column {
            label: endpoint.label.clone(),
            rounds: endpoint.rounds.clone(),
            base: Base::first(index),
        };
        let endpoints = document.endpoints.iter().enumerate();
        Self::new(endpoints.map(column).collect())
    }

    /// Of reports for each label.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_reports(reports: &[(String, Vec<Value>)]) -> Result<Self, NotAReport> {
        let column = |(index, (label, rounds)): (usize, &(String, Vec<Value>))| {
            let rounds: Result<_, _> = rounds.iter().map(Measured::deserialize).collect();
            rounds.map(|rounds| Column {
                label: label.clone(),
                rounds,
                base: Base::first(index),
            })
        };
        let columns: Result<_, _> = reports.iter().enumerate().map(column).collect();
        Self::new(columns?)
    }

    fn new(columns: Vec<Column>) -> Result<Self, NotAReport> {
        let first = columns.first().and_then(|column| column.rounds.first());
        let measured = first.ok_or(NotAReport::Empty)?.measured.clone();
        let mut all = columns.iter().flat_map(|column| &column.rounds);
        if let Some(other) = all.find(|report| report.measured != measured) {
            return Err(NotAReport::Kinds(measured, other.measured.clone()));
        }
        match columns.iter().any(|column| column.rounds.is_empty()) {
            true => Err(NotAReport::Empty),
            false => Ok(Self { measured, columns }),
        }
    }

    /// Old and new of each server that is in both, one beside the other. Servers go by their labels;
    /// if each has just one, whatever its label.
    pub(super) fn pairs<'a>(old: &'a Self, new: &'a Self) -> Vec<(&'a Column, &'a Column)> {
        if let ([old], [new]) = (old.columns.as_slice(), new.columns.as_slice()) {
            return vec![(old, new)];
        }
        let partner = |column: &'a Column| {
            let mut others = old.columns.iter();
            Some((others.find(|other| other.label == column.label)?, column))
        };
        new.columns.iter().filter_map(partner).collect()
    }

    /// What changed from `old` to `new`, for each server that is in both.
    ///
    /// # Errors
    /// When they measure different things, or no server is in both.
    pub fn of_change(old: &Self, new: &Self) -> Result<Self, NotAReport> {
        let column = |word: &str, column: &Column, base| Column {
            label: format!("{word} {}", column.label),
            rounds: column.rounds.clone(),
            base,
        };
        let pairs = Self::pairs(old, new).into_iter().enumerate();
        let columns = pairs.flat_map(|(index, (old, new))| {
            let base = Base::Before(2 * index);
            [column("old", old, Base::Nothing), column("new", new, base)]
        });
        Self::new(columns.collect())
    }

    /// How a figure of a column relates to that of its base.
    pub(super) fn ratio(&self, column: &Column, figure: Figure) -> Option<Ratio> {
        let base = self.columns.get(column.base.index()?)?;
        match column.base {
            Base::Before(_) => Ratio::between(&column.spread(figure)?, &base.spread(figure)?),
            _ => Ratio::within(&column.figures(figure)?, &base.figures(figure)?),
        }
    }

    /// `handshakes` or `requests`
    pub(super) fn unit(&self) -> &'static str {
        match self.measured.as_str() {
            "http" => "requests",
            _ => "handshakes",
        }
    }

    /// What one should know before one believes the figures.
    pub(super) fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<_> = self.columns.iter().flat_map(Column::remarks).collect();
        for column in &self.columns {
            let base = column.base.index().and_then(|base| self.columns.get(base));
            remarks.extend(base.and_then(|base| column.other_work(base)));
        }
        remarks
    }
}

#[derive(Deserialize)]
struct Several {
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    label: String,
    rounds: Vec<Measured>,
}

impl Column {
    /// A figure of all rounds; none if a round lacks it.
    pub(super) fn figures(&self, figure: Figure) -> Option<Vec<f64>> {
        self.rounds.iter().map(|round| figure.of(round)).collect()
    }

    pub(super) fn spread(&self, figure: Figure) -> Option<Spread> {
        Spread::of(&self.figures(figure)?)
    }

    /// The latency's curve: at each quantile the median of the rounds, in microseconds.
    pub(super) fn curve(&self) -> Vec<(f64, f64)> {
        let curves = self
            .rounds
            .iter()
            .filter_map(|round| round.latency.as_ref());
        let curves: Vec<_> = curves.map(|latency| &latency.curve).collect();
        let point = |index: usize, quantile: f64| {
            let times = curves.iter().filter_map(|curve| curve.get(index));
            let times: Vec<f64> = times.map(|(_, time)| *time).collect();
            Some((quantile, Spread::of(&times)?.median))
        };
        let first = curves.first().map_or(&[][..], |curve| curve.as_slice());
        let points = first.iter().enumerate();
        points
            .filter_map(|(index, (quantile, _))| point(index, *quantile))
            .collect()
    }

    pub(super) fn failed(&self) -> u64 {
        self.rounds.iter().map(|round| round.done().failed).sum()
    }

    pub(super) fn succeeded(&self) -> u64 {
        self.rounds.iter().map(|round| round.done().succeeded).sum()
    }

    /// What was agreed on in TLS, most frequent first; the same in all rounds, as a rule.
    pub(super) fn agreed(&self) -> String {
        let agreed = self.rounds.iter().flat_map(|round| &round.negotiated);
        let mut seen: Vec<String> = Vec::new();
        for words in agreed.map(Agreed::words) {
            if !seen.contains(&words) {
                seen.push(words);
            }
        }
        match seen.is_empty() {
            true => "no TLS".to_owned(),
            false => seen.join("; "),
        }
    }

    fn other_work(&self, base: &Self) -> Option<String> {
        let (ours, theirs) = (self.agreed(), base.agreed());
        let (one, two) = (&self.label, &base.label);
        (ours != theirs).then(|| {
            format!("{one} agreed on {ours}, {two} on {theirs}: this is not the same work")
        })
    }

    fn remarks(&self) -> Vec<String> {
        let rounds = self.rounds.len();
        let count = |what: fn(&Measured) -> bool| self.rounds.iter().filter(|r| what(r)).count();
        let limited = count(|round| round.client.limit == Some(true));
        let mut remarks = Vec::new();
        if limited > 0 {
            remarks.push(format!(
                "{}: in {limited} of {rounds} rounds the client was the limit, the server had time \
                 to spare (more --threads?)",
                self.label
            ));
        }
        if self.failed() > 0 {
            let failed = super::words::grouped(self.failed());
            remarks.push(format!("{}: {failed} failed", self.label));
        }
        remarks
    }
}

impl Measured {
    pub(super) fn done(&self) -> Done {
        let done = self.handshakes.as_ref().or(self.requests.as_ref());
        done.cloned().unwrap_or_default()
    }

    /// How it was measured, by name.
    pub(super) fn parameters(&self) -> Vec<(&'static str, String)> {
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let text = |text: &Option<String>| text.clone();
        let all = [
            ("URL", text(&self.url)),
            ("server name", text(&self.server_name)),
            ("protocol", text(&self.protocol)),
            ("method", text(&self.method)),
            ("request body, bytes", number(self.body_bytes)),
            (
                "connections at a time",
                number(self.concurrency.or(self.connections)),
            ),
            ("streams on each", number(self.streams)),
            ("threads", number(Some(self.threads))),
            (
                "rate per second",
                Some(
                    self.rate
                        .map_or("as many as go".to_owned(), |rate| rate.to_string()),
                ),
            ),
            (
                "certificates verified",
                Some(if self.verified { "yes" } else { "no" }.to_owned()),
            ),
        ];
        let known = all
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        known.collect()
    }

    /// Where and when it was measured, by name.
    pub(super) fn place(&self) -> Vec<(&'static str, String)> {
        let Some(place) = &self.machine else {
            return Vec::new();
        };
        vec![
            ("processor", place.processor.clone()),
            ("cores", place.cores.to_string()),
            ("kernel", place.kernel.clone()),
            ("measured with", place.tool.clone()),
            ("time", place.time.clone()),
        ]
    }
}

impl Used {
    fn cpu_us(&self) -> Option<f64> {
        self.cpu_us_per_handshake.or(self.cpu_us_per_request)
    }
}

impl Agreed {
    fn words(&self) -> String {
        let mut words = vec![self.version.as_str(), self.suite.as_str()];
        let others = [&self.group, &self.certificate, &self.alpn];
        words.extend(others.into_iter().flatten().map(String::as_str));
        words.extend(self.resumed.then_some("resumed"));
        words.join(", ")
    }
}

const MIB: f64 = 1024.0 * 1024.0;
