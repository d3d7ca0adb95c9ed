//! One server or several, once or in rounds: what is shown while it lasts, and what comes of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use super::options::Series;
use crate::bench::{
    Broken, Comparison, End, HttpPlan, HttpReport, Plan, Progress, Report, Sheet, Turn, in_rounds,
    page, run, run_http,
};
use crate::commands::failure::Failure;
use crate::commands::output::Output;
use crate::commands::session::Session;

/// A server that is to be measured.
pub(super) struct Contestant<P> {
    /// What it is called.
    pub(super) label: String,
    /// What was asked for, word for word.
    pub(super) asked: String,
    /// How many connections are open at a time.
    pub(super) connections: usize,
    pub(super) plan: P,
}

/// A measurement that can be carried out again and again.
pub(super) trait Measurement: Clone {
    type Report: Reported;
    /// What is measured, in the plural.
    const UNIT: &'static str;

    fn end(&self) -> End;

    async fn measure(
        self,
        stop: impl Future<Output = ()>,
        show: impl Fn(Progress),
    ) -> Result<Self::Report, Broken>;
}

/// What comes of it.
pub(super) trait Reported: Serialize {
    fn text(&self) -> String;
    /// How many went well, and how many did not.
    fn counts(&self) -> (u64, u64);
    /// The server's address, and the failures by kind, if not one connection came about.
    fn gave_up(&self) -> Option<(&str, &BTreeMap<String, u64>)>;
}

/// Measures, shows the report and writes the page.
///
/// # Errors
/// When a server cannot be reached, or nothing goes well with one.
pub(super) fn run_series<M: Measurement>(
    session: &Session,
    series: &Series,
    contestants: Vec<Contestant<M>>,
) -> Result<(), Failure> {
    if series.rounds == 0 {
        return Err(Failure::usage(
            "`--rounds 0` measures nothing: write 1 or more",
        ));
    }
    let most = contestants.iter().map(|one| one.connections).max();
    allow_descriptors(most.unwrap_or_default());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(Failure::failed)?;
    let measured = runtime.block_on(measure(session, series, &contestants))?;
    let mut reports = contestants.iter().zip(measured).collect::<Vec<_>>();
    let alone = reports.len() == 1 && series.rounds == 1;
    match reports.pop() {
        Some((contestant, report)) if alone => conclude_one(session, series, contestant, report),
        last => {
            reports.extend(last);
            conclude_several(session, series, &reports)
        }
    }
}

async fn measure<M: Measurement>(
    session: &Session,
    series: &Series,
    contestants: &[Contestant<M>],
) -> Result<Vec<Vec<M::Report>>, Failure> {
    let stop = interrupted();
    let (bar, rounds) = (bar(session), series.rounds);
    let alone = contestants.len() * rounds == 1;
    let turn = async |turn: Turn| {
        let Contestant { label, plan, .. } = &contestants[turn.server];
        if *stop.borrow() {
            return Ok(None);
        }
        let whose = match alone {
            true => String::new(),
            false => format!("{label}, round {} of {rounds}: ", turn.round + 1),
        };
        let show = |progress| show(&bar, plan, &whose, progress);
        let report = plan.clone().measure(called(stop.clone()), show).await?;
        // What was cut short is no round.
        Ok((alone || !*stop.borrow() || turn.round == 0).then_some(report))
    };
    let measured = in_rounds(contestants.len(), rounds, turn).await;
    bar.finish_and_clear();
    measured.map_err(broken)
}

/// Shows the report, unless there is nothing in it.
fn conclude_one<M: Measurement>(
    session: &Session,
    series: &Series,
    contestant: &Contestant<M>,
    reports: Vec<M::Report>,
) -> Result<(), Failure> {
    let Some(report) = reports.first() else {
        return Err(Failure::failed("it was ended before it began"));
    };
    check_reached(&contestant.asked, report)?;
    session.output.result(report, |_| report.text())?;
    if let Some(path) = &series.html {
        let json = serde_json::to_value(report).map_err(Failure::failed)?;
        let labelled = vec![(contestant.label.clone(), vec![json])];
        write_page(
            path,
            &Sheet::of_reports(&labelled).map_err(Failure::failed)?,
        )?;
    }
    check_went_well::<M>(&contestant.asked, report)
}

fn conclude_several<M: Measurement>(
    session: &Session,
    series: &Series,
    measured: &[(&Contestant<M>, Vec<M::Report>)],
) -> Result<(), Failure> {
    let mut labelled = Vec::new();
    for (contestant, reports) in measured {
        for report in reports {
            check_reached(&contestant.asked, report)?;
        }
        let reports: Result<Vec<Value>, _> = reports.iter().map(serde_json::to_value).collect();
        labelled.push((contestant.label.clone(), reports.map_err(Failure::failed)?));
    }
    labelled.retain(|(_, rounds)| !rounds.is_empty());
    let sheet = Sheet::of_reports(&labelled).map_err(Failure::failed)?;
    let comparison = Comparison::new(labelled).map_err(Failure::failed)?;
    let text = |output: &Output| comparison_text(output, &comparison);
    session.output.result(&comparison, text)?;
    if let Some(path) = &series.html {
        write_page(path, &sheet)?;
    }
    for (contestant, reports) in measured {
        for report in reports {
            check_went_well::<M>(&contestant.asked, report)?;
        }
    }
    Ok(())
}

fn comparison_text(output: &Output, comparison: &Comparison) -> String {
    let heads = [
        "figure",
        "server",
        "median",
        "low–high",
        "ratio",
        "low–high",
    ];
    let mut table = output.table(heads);
    comparison.rows().into_iter().for_each(|row| table.row(row));
    with_remarks(table.finish(), &comparison.remarks)
}

/// A table and what should be known about it.
pub(super) fn with_remarks(mut text: String, remarks: &[String]) -> String {
    for remark in remarks {
        text.push_str("\nremark: ");
        text.push_str(remark);
    }
    text
}

/// Writes a page with charts.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write_page(path: &Path, sheet: &Sheet) -> Result<(), Failure> {
    std::fs::write(path, page(sheet))
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", path.display())))
}

fn check_reached<R: Reported>(asked: &str, report: &R) -> Result<(), Failure> {
    let Some((address, failures)) = report.gave_up() else {
        return Ok(());
    };
    let why: Vec<_> = failures.keys().map(String::as_str).collect();
    let mut failure = Failure::failed(format!(
        "cannot connect to {asked} ({address}): {}; is the server running, and is it this port?",
        why.join(", ")
    ));
    failure.details = serde_json::to_value(report).ok();
    Err(failure)
}

fn check_went_well<M: Measurement>(asked: &str, report: &M::Report) -> Result<(), Failure> {
    match report.counts() {
        (0, 1..) => {
            let unit = M::UNIT;
            let why = format!("not one of the {unit} with {asked} went well");
            Err(Failure::failed(why))
        }
        _ => Ok(()),
    }
}

fn broken(broken: Broken) -> Failure {
    match broken {
        Broken::Plan(_) => Failure::usage(broken),
        Broken::Process(_) | Broken::System(_) => Failure::failed(broken),
    }
}

/// Each connection takes a descriptor; the hard limit is the user's say.
fn allow_descriptors(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = connections as u64 + SPARE_DESCRIPTORS;
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |maximum| wanted.min(maximum)));
        // Where it fails, connections fail and say why.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

/// True from the first Ctrl-C on; the second one ends the process at once.
fn interrupted() -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            tell.send_replace(true);
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(BY_SIGINT);
        }
    });
    told
}

async fn called(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn bar(session: &Session) -> ProgressBar {
    let bar = session.output.progress("");
    if let Ok(look) = ProgressStyle::with_template("{wide_bar} {msg}") {
        bar.set_style(look);
    }
    bar
}

/// The bar fills with the time or the number, whichever has an end.
fn show<M: Measurement>(bar: &ProgressBar, plan: &M, whose: &str, progress: Progress) {
    let Progress {
        elapsed,
        succeeded,
        failed,
    } = progress;
    let (position, length) = match plan.end() {
        End::After(duration) => (milliseconds(elapsed), milliseconds(duration)),
        End::Count(count) => (succeeded + failed, count),
    };
    bar.set_length(length);
    bar.set_position(position);
    let rate = succeeded as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
    bar.set_message(format!(
        "{whose}{:.1} s  {succeeded} {}, {rate:.0}/s  {failed} failed",
        elapsed.as_secs_f64(),
        M::UNIT
    ));
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

// === the two kinds ===

impl Measurement for Plan {
    type Report = Report;
    const UNIT: &'static str = "handshakes";

    fn end(&self) -> End {
        self.end
    }

    async fn measure(
        self,
        stop: impl Future<Output = ()>,
        show: impl Fn(Progress),
    ) -> Result<Report, Broken> {
        run(self, stop, show).await
    }
}

impl Measurement for HttpPlan {
    type Report = HttpReport;
    const UNIT: &'static str = "requests";

    fn end(&self) -> End {
        self.end
    }

    async fn measure(
        self,
        stop: impl Future<Output = ()>,
        show: impl Fn(Progress),
    ) -> Result<HttpReport, Broken> {
        run_http(self, stop, show).await
    }
}

impl Reported for Report {
    fn text(&self) -> String {
        Self::text(self)
    }

    fn counts(&self) -> (u64, u64) {
        (self.handshakes.succeeded, self.handshakes.failed)
    }

    fn gave_up(&self) -> Option<(&str, &BTreeMap<String, u64>)> {
        self.gave_up.then_some((&self.address, &self.failures))
    }
}

impl Reported for HttpReport {
    fn text(&self) -> String {
        Self::text(self)
    }

    fn counts(&self) -> (u64, u64) {
        (self.requests.succeeded, self.requests.failed)
    }

    fn gave_up(&self) -> Option<(&str, &BTreeMap<String, u64>)> {
        self.gave_up.then_some((&self.address, &self.failures))
    }
}

/// For everything but connections.
const SPARE_DESCRIPTORS: u64 = 64;
const BY_SIGINT: i32 = 130;
