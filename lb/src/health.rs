//! Active health checks: what probes say of a target, and the probes themselves.
//!
//! A target is down until its first success. Probes run on a runtime apart from those that serve.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::Duration;

use config::HealthCheck;
use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::error::{End, ProxyError};
use crate::target_group::Target;
use crate::upstream::connect::Dial;
use crate::upstream::http1::{Call, Connection, Outgoing};
use crate::upstream::request_body::RequestBody;

/// What is known of a target's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its group has no health check: it is taken for healthy.
    Unchecked,
    /// Not probed yet: down.
    Initial,
    /// It answers.
    Healthy,
    /// It does not.
    Unhealthy,
}

impl Verdict {
    /// `unchecked`, `initial`, `healthy` or `unhealthy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchecked => "unchecked",
            Self::Initial => "initial",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }

    /// Whether requests may be sent to the target.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Unchecked | Self::Healthy)
    }
}

/// The state of one target's health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    verdict: Verdict,
    /// Outcomes in a row that speak against the verdict.
    against: u32,
}

impl Health {
    /// Before the first probe.
    pub fn new(checked: bool) -> Self {
        let verdict = if checked {
            Verdict::Initial
        } else {
            Verdict::Unchecked
        };
        Self {
            verdict,
            against: 0,
        }
    }

    /// What is known now.
    pub fn verdict(self) -> Verdict {
        self.verdict
    }

    /// Takes the outcome of a probe into account; the new verdict, if it changes. The first success of
    /// all is enough, and so is the first failure.
    pub fn observe(&mut self, success: bool, check: &HealthCheck) -> Option<Verdict> {
        let (next, needed) = match (self.verdict, success) {
            (Verdict::Unchecked, _) => return None,
            (Verdict::Initial, true) => (Verdict::Healthy, 1),
            (Verdict::Initial, false) => (Verdict::Unhealthy, 1),
            (Verdict::Healthy, false) => (Verdict::Unhealthy, check.unhealthy),
            (Verdict::Unhealthy, true) => (Verdict::Healthy, check.healthy),
            (Verdict::Healthy, true) | (Verdict::Unhealthy, false) => {
                self.against = 0;
                return None;
            }
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        (self.verdict, self.against) = (next, 0);
        Some(next)
    }
}

/// Probes a target for as long as it is part of a configuration. `jitter` gives a number from 0 to 1 for
/// each pause, so that many targets are not probed at the same moment.
pub async fn watch(
    target: Weak<Target>,
    check: Arc<HealthCheck>,
    jitter: impl Fn() -> f64 + Send + 'static,
) {
    loop {
        let Some(dial) = target.upgrade().map(|target| target.dial().clone()) else {
            return;
        };
        let outcome = probe(&dial, &check).await;
        let Some(target) = target.upgrade() else {
            return;
        };
        report(&target, outcome, &check);
        drop(target);
        sleep(pause(check.interval, jitter())).await;
    }
}

/// Why a probe is no success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The target is not healthy.
    #[error("{0}")]
    Down(String),
    /// The probe could not be made, for want of something of our own: it says nothing of the target.
    #[error("{0}")]
    NotMade(String),
}

impl From<String> for ProbeError {
    fn from(reason: String) -> Self {
        Self::Down(reason)
    }
}

impl From<ProxyError> for ProbeError {
    fn from(error: ProxyError) -> Self {
        match error.end {
            End::OutOfResources => Self::NotMade(error.to_string()),
            _ => Self::Down(error.to_string()),
        }
    }
}

/// Asks once: an error says why the target is not healthy.
///
/// # Errors
/// When there is no answer in time, or none that is a success; or when nothing could be asked.
pub async fn probe(dial: &Dial, check: &HealthCheck) -> Result<(), ProbeError> {
    let asked = timeout(check.timeout, ask(dial, check)).await;
    let status = asked.map_err(|_| format!("no answer within {:?}", check.timeout))??;
    let code = status.as_u16();
    let good = |(first, last): &(u16, u16)| (*first..=*last).contains(&code);
    if check.statuses.iter().any(good) {
        Ok(())
    } else {
        Err(format!("status {code}").into())
    }
}

async fn ask(dial: &Dial, check: &HealthCheck) -> Result<StatusCode, ProbeError> {
    let connection = Connection::new(dial.connect(None).await?, check.timeout);
    let mut call = Call::new(connection, Outgoing::new(question(dial, check)?));
    let answered = poll_fn(|cx| call.poll(cx, |_| {})).await;
    let answered = answered.map_err(|fault| fault.to_string())?;
    let response = call.answer(answered);
    let status = response.status();
    response.into_body().close();
    Ok(status)
}

fn question(dial: &Dial, check: &HealthCheck) -> Result<Request<RequestBody>, String> {
    let host = check
        .host
        .clone()
        .unwrap_or_else(|| dial.address().to_string());
    Request::get(check.path.as_str())
        .header(HOST, host)
        .header(
            USER_AGENT,
            HeaderValue::from_static("sealgate-health-check"),
        )
        .header(http::header::CONNECTION, HeaderValue::from_static("close"))
        .body(RequestBody::empty())
        .map_err(|error| format!("the probe cannot be sent: {error}"))
}

fn report(target: &Target, outcome: Result<(), ProbeError>, check: &HealthCheck) {
    let reason = match outcome {
        Ok(()) => None,
        Err(ProbeError::Down(reason)) => Some(reason),
        Err(ProbeError::NotMade(reason)) => {
            let (group, address) = (target.group(), target.dial().address());
            return warn!(target_group = group, target = %address, reason, "the target cannot be probed");
        }
    };
    let Some(verdict) = target.observe(reason.clone(), check) else {
        return;
    };
    let (group, address) = (target.group(), target.dial().address());
    match reason {
        None => info!(target_group = group, target = %address, "the target is healthy"),
        Some(reason) => warn!(
            target_group = group, target = %address, reason,
            "the target is {}", verdict.as_str()
        ),
    }
}

/// Nine to eleven tenths of the interval.
fn pause(interval: Duration, jitter: f64) -> Duration {
    interval.mul_f64(0.9 + 0.2 * jitter.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> HealthCheck {
        HealthCheck {
            path: "/healthz".into(),
            host: None,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
            statuses: vec![(200, 299)],
        }
    }

    fn verdicts(outcomes: &[bool]) -> Vec<&'static str> {
        let mut health = Health::new(true);
        let mut verdict = |success: &bool| {
            health.observe(*success, &check());
            health.verdict().as_str()
        };
        outcomes.iter().map(&mut verdict).collect()
    }

    #[test]
    fn the_first_outcome_decides() {
        assert!(!Health::new(true).verdict().is_up());
        assert_eq!(verdicts(&[true]), ["healthy"]);
        assert_eq!(verdicts(&[false]), ["unhealthy"]);
    }

    #[test]
    fn later_ones_must_come_in_a_row() {
        let seen = verdicts(&[true, false, false, true, false, false, false]);
        assert_eq!(seen[..6], ["healthy"; 6]);
        assert_eq!(seen[6], "unhealthy");
        let seen = verdicts(&[false, true, false, true, true]);
        assert_eq!(seen[..4], ["unhealthy"; 4]);
        assert_eq!(seen[4], "healthy");
    }

    #[test]
    fn a_change_is_said_once() {
        let mut health = Health::new(true);
        let changes: Vec<_> = [false, false, false, true, true, true]
            .map(|success| health.observe(success, &check()))
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(changes, [Verdict::Unhealthy, Verdict::Healthy]);
    }

    #[test]
    fn without_a_check_a_target_is_up() {
        let mut health = Health::new(false);
        assert!(health.verdict().is_up());
        assert_eq!(health.observe(false, &check()), None);
    }

    #[tokio::test]
    async fn a_target_that_is_silent_or_gone_fails_its_probe() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dial = Dial::new(listener.local_addr().unwrap(), Duration::from_secs(9), None);
        let mut check = check();
        check.timeout = Duration::from_millis(20);
        let silent = probe(&dial, &check).await.unwrap_err().to_string();
        assert_eq!(silent, "no answer within 20ms");
        drop(listener);
        check.timeout = Duration::from_secs(9);
        let gone = probe(&dial, &check).await.unwrap_err().to_string();
        assert!(gone.starts_with("connect_failed: 127.0.0.1:"), "{gone}");
    }

    #[test]
    fn what_runs_out_here_is_no_verdict() {
        let own = ProbeError::from(ProxyError::because(End::OutOfResources, "EMFILE"));
        assert!(matches!(own, ProbeError::NotMade(_)));
        let theirs = ProbeError::from(ProxyError::because(End::ConnectFailed, "ECONNREFUSED"));
        assert!(matches!(theirs, ProbeError::Down(_)));
    }

    #[test]
    fn pauses_spread_around_the_interval() {
        let interval = Duration::from_secs(10);
        assert_eq!(pause(interval, 0.0), Duration::from_secs(9));
        assert_eq!(pause(interval, 1.0), Duration::from_secs(11));
    }
}
