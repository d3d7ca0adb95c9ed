//! Servers that answer the same requests, as they are right now: health, connections, requests in flight.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use config::{Algorithm, HealthCheck, OnAllUnhealthy, Secrets};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::balance;
use crate::headers::Edits;
use crate::health::{self, Health, Verdict};
use crate::metrics::Sharded;
use crate::upstream::connect::Dial;
use crate::upstream::pool::Pool;
use crate::upstream::tls::{GroupTls, UpstreamTlsError, server_name};

/// A target group.
#[derive(Debug)]
pub struct TargetGroup {
    name: Arc<str>,
    config: config::TargetGroup,
    tls: Option<GroupTls>,
    request_headers: Edits,
    targets: Vec<Arc<Target>>,
    /// Made anew whenever the health of a target changes.
    eligible: ArcSwap<Eligible>,
    /// Per worker, how many requests it has given to the group.
    turns: Sharded<AtomicUsize>,
}

/// The targets that may be asked.
#[derive(Debug, Default)]
struct Eligible {
    /// Index and weight.
    targets: Vec<(u32, u32)>,
    /// For round robin, places in `targets`.
    schedule: Vec<u32>,
}

impl TargetGroup {
    /// The group that the configuration describes. Of the `previous` one of the same name, everything is
    /// kept that has not changed: the whole group, or single targets with health, connections and counts.
    ///
    /// # Errors
    /// When the server name is none.
    pub fn build(
        config: &config::TargetGroup,
        tls: Option<GroupTls>,
        secrets: &Secrets,
        previous: Option<&Arc<Self>>,
        workers: usize,
    ) -> Result<Arc<Self>, UpstreamTlsError> {
        let alike = previous.filter(|group| group.is_spoken_to_alike(config, tls.as_ref()));
        if let Some(same) = alike
            && same.config == *config
        {
            return Ok(same.clone());
        }
        let name: Arc<str> = config.name.as_str().into();
        let tls = alike.map_or(tls, |group| group.tls.clone());
        let targets = config.targets.iter().map(|target| {
            let kept = alike.and_then(|group| group.target_at(target.address));
            kept.map_or_else(
                || Target::new(&name, config, target, tls.as_ref(), workers),
                Ok,
            )
        });
        let group = Arc::new(Self {
            targets: targets.collect::<Result<_, _>>()?,
            name,
            config: config.clone(),
            tls,
            request_headers: Edits::for_targets(&config.request_headers, secrets),
            eligible: ArcSwap::default(),
            turns: Sharded::new(workers),
        });
        for target in &group.targets {
            target.groups.lock().push(Arc::downgrade(&group));
        }
        group.refresh();
        Ok(group)
    }

    /// What is changed in requests to it.
    pub fn request_headers(&self) -> &Edits {
        &self.request_headers
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name, shared.
    pub fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its targets, in the order of the configuration.
    pub fn targets(&self) -> &[Arc<Target>] {
        &self.targets
    }

    /// What its targets may be asked for.
    pub fn limits(&self) -> &config::TargetLimits {
        &self.config.limits
    }

    /// The target for the next request of `worker`, but not the one that just failed; none if no target is
    /// healthy.
    pub fn pick(&self, worker: usize, failed: Option<&Arc<Target>>) -> Option<Arc<Target>> {
        let eligible = self.eligible.load();
        let turn = self.turns.shard(worker).fetch_add(1, Ordering::Relaxed);
        let place = |target: &Arc<Target>| {
            let own = |(index, _): &(u32, u32)| Arc::ptr_eq(&self.targets[*index as usize], target);
            eligible
                .targets
                .iter()
                .position(own)
                .and_then(|place| u32::try_from(place).ok())
        };
        let failed = failed.and_then(place);
        let place = match self.config.algorithm {
            Algorithm::RoundRobin => balance::turn(&eligible.schedule, turn, failed),
            Algorithm::LeastOutstandingRequests => self.least_outstanding(&eligible, turn, failed),
        }?;
        let (index, _) = eligible.targets[place as usize];
        Some(self.targets[index as usize].clone())
    }

    /// Whether its targets' certificates are not verified: `verify: none`.
    pub fn is_unverified(&self) -> bool {
        let protocol = &self.config.protocol;
        matches!(protocol, config::TargetProtocol::Https(tls) if tls.ca.is_none())
    }

    /// Whether there is any target that may be asked.
    pub fn has_eligible(&self) -> bool {
        !self.eligible.load().targets.is_empty()
    }

    /// Begins to probe what is not probed yet.
    pub fn start_probes(&self, runtime: &Handle) {
        let Some(check) = &self.config.health_check else {
            return;
        };
        let check = Arc::new(check.clone());
        for target in &self.targets {
            target.probe.get_or_init(|| {
                let probe =
                    health::watch(Arc::downgrade(target), check.clone(), rand::random::<f64>);
                runtime.spawn(probe).abort_handle()
            });
        }
    }

    fn least_outstanding(
        &self,
        eligible: &Eligible,
        turn: usize,
        failed: Option<u32>,
    ) -> Option<u32> {
        let count = eligible.targets.len();
        let places = (0..count).map(|offset| (turn.wrapping_add(offset)) % count);
        balance::fewest(places.filter_map(|place| {
            let (index, weight) = eligible.targets[place];
            let place = u32::try_from(place)
                .ok()
                .filter(|place| Some(*place) != failed)?;
            Some((place, self.targets[index as usize].in_flight(), weight))
        }))
    }

    /// Whether connections and health of the two mean the same.
    fn is_spoken_to_alike(&self, config: &config::TargetGroup, tls: Option<&GroupTls>) -> bool {
        self.config.protocol == config.protocol
            && self.config.limits == config.limits
            && self.config.health_check == config.health_check
            && self.tls.as_ref() == tls
    }

    fn target_at(&self, address: std::net::SocketAddr) -> Option<Arc<Target>> {
        let mut targets = self.targets.iter();
        targets
            .find(|target| target.dial.address() == address)
            .cloned()
    }

    /// Lists anew which targets may be asked.
    fn refresh(&self) {
        let all = self.targets.iter().zip(&self.config.targets).zip(0_u32..);
        let all = all.map(|((target, config), index)| (target, (index, config.weight)));
        let weighted = all.filter(|(_, (_, weight))| *weight > 0);
        let up = weighted
            .clone()
            .filter(|(target, _)| target.verdict().is_up());
        let mut targets: Vec<_> = up.map(|(_, entry)| entry).collect();
        if targets.is_empty() && self.config.on_all_unhealthy == OnAllUnhealthy::Forward {
            targets = weighted.map(|(_, entry)| entry).collect();
        }
        let weights: Vec<_> = targets.iter().map(|(_, weight)| *weight).collect();
        self.eligible.store(Arc::new(Eligible {
            targets,
            schedule: balance::schedule(&weights),
        }));
    }
}

/// One server.
#[derive(Debug)]
pub struct Target {
    group: Arc<str>,
    dial: Dial,
    pool: Arc<Pool>,
    in_flight: Alone,
    health: Mutex<(Health, Option<String>)>,
    verdict: watch::Sender<Verdict>,
    /// The groups that list it: one, and for a moment during a reload two.
    groups: Mutex<Vec<Weak<TargetGroup>>>,
    probe: OnceLock<AbortHandle>,
}

/// On a cache line of its own: every worker writes it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Alone(AtomicUsize);

impl Target {
    fn new(
        group: &Arc<str>,
        config: &config::TargetGroup,
        target: &config::Target,
        tls: Option<&GroupTls>,
        workers: usize,
    ) -> Result<Arc<Self>, UpstreamTlsError> {
        let tls = match (&config.protocol, tls) {
            (config::TargetProtocol::Https(names), Some(tls)) => {
                let name = server_name(group, names, target.address)?;
                Some((tls.config.clone(), name))
            }
            _ => None,
        };
        let health = Health::new(config.health_check.is_some());
        Ok(Arc::new(Self {
            group: group.clone(),
            dial: Dial::new(target.address, config.limits.connect_timeout, tls),
            pool: Arc::new(Pool::new(&config.limits, workers)),
            in_flight: Alone::default(),
            verdict: watch::Sender::new(health.verdict()),
            health: Mutex::new((health, None)),
            groups: Mutex::default(),
            probe: OnceLock::new(),
        }))
    }

    /// The name of its group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// How it is connected to.
    pub fn dial(&self) -> &Dial {
        &self.dial
    }

    /// The connections to it.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Requests that it has not answered whole.
    pub fn in_flight(&self) -> usize {
        self.in_flight.0.load(Ordering::Relaxed)
    }

    /// What is known of its health.
    pub fn verdict(&self) -> Verdict {
        *self.verdict.borrow()
    }

    /// Why the last probe failed, if it did.
    pub fn reason(&self) -> Option<String> {
        self.health.lock().1.clone()
    }

    /// Takes the outcome of a probe into account; the new verdict, if it changes.
    pub fn observe(&self, failure: Option<String>, check: &HealthCheck) -> Option<Verdict> {
        let mut health = self.health.lock();
        let changed = health.0.observe(failure.is_none(), check);
        health.1 = failure;
        drop(health);
        let verdict = changed?;
        self.verdict.send_replace(verdict);
        let mut groups = self.groups.lock();
        groups.retain(|group| group.upgrade().inspect(|group| group.refresh()).is_some());
        Some(verdict)
    }

    /// Waits until the first probe has ended.
    pub async fn first_probe(&self) {
        let mut verdict = self.verdict.subscribe();
        // It cannot be gone while `self` is there.
        let _ = verdict
            .wait_for(|verdict| *verdict != Verdict::Initial)
            .await;
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(probe) = self.probe.get() {
            probe.abort();
        }
    }
}

/// A request that a target has not answered whole.
#[derive(Debug)]
pub struct InFlight(Arc<Target>);

impl InFlight {
    /// One more for `target`.
    pub fn new(target: Arc<Target>) -> Self {
        target.in_flight.0.fetch_add(1, Ordering::Relaxed);
        Self(target)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{group, health_check};

    fn build(
        config: &config::TargetGroup,
        previous: Option<&Arc<TargetGroup>>,
    ) -> Arc<TargetGroup> {
        TargetGroup::build(config, None, &Secrets::default(), previous, 2).unwrap()
    }

    fn picked(group: &TargetGroup, requests: usize) -> Vec<u16> {
        let picks = (0..requests).filter_map(|_| group.pick(0, None));
        picks.map(|target| target.dial().address().port()).collect()
    }

    #[test]
    fn a_checked_target_is_down_until_its_first_success() {
        let mut config = group(&[1, 2]);
        config.health_check = Some(health_check());
        let group = build(&config, None);
        assert!(group.pick(0, None).is_none());
        group.targets[1].observe(None, &health_check());
        assert_eq!(picked(&group, 2), [2, 2]);
        group.targets[0].observe(Some("refused".into()), &health_check());
        assert_eq!(picked(&group, 2), [2, 2]);
        assert_eq!(group.targets[0].reason().as_deref(), Some("refused"));
    }

    #[test]
    fn all_down_can_mean_all_are_asked() {
        let mut config = group(&[1, 2]);
        config.health_check = Some(health_check());
        config.on_all_unhealthy = OnAllUnhealthy::Forward;
        assert_eq!(picked(&build(&config, None), 2), [1, 2]);
    }

    #[test]
    fn each_worker_goes_round_by_itself() {
        let group = build(&group(&[1, 2]), None);
        assert_eq!(picked(&group, 3), [1, 2, 1]);
        let other = group.pick(1, None).unwrap();
        assert_eq!(other.dial().address().port(), 1);
    }

    #[test]
    fn the_least_busy_is_picked_and_equals_take_turns() {
        let mut config = group(&[1, 2]);
        config.algorithm = Algorithm::LeastOutstandingRequests;
        let group = build(&config, None);
        assert_eq!(picked(&group, 2), [1, 2]);
        let busy = InFlight::new(group.targets[0].clone());
        assert_eq!(picked(&group, 2), [2, 2]);
        drop(busy);
        assert_eq!(group.targets[0].in_flight(), 0);
    }

    #[test]
    fn the_failed_one_is_not_picked_again() {
        let group = build(&group(&[1, 2]), None);
        let failed = group.targets[1].clone();
        for _ in 0..4 {
            let picked = group.pick(0, Some(&failed)).unwrap();
            assert_eq!(picked.dial().address().port(), 1);
        }
    }

    #[test]
    fn a_reload_keeps_what_has_not_changed() {
        let mut config = group(&[1, 2]);
        config.health_check = Some(health_check());
        let before = build(&config, None);
        before.targets[0].observe(None, &health_check());
        assert!(Arc::ptr_eq(&before, &build(&config, Some(&before))));
        config.targets.remove(1);
        config.algorithm = Algorithm::LeastOutstandingRequests;
        let after = build(&config, Some(&before));
        assert!(Arc::ptr_eq(&before.targets[0], &after.targets[0]));
        assert_eq!(picked(&after, 1), [1]);
        for _ in 0..9 {
            after.targets[0].observe(Some("down".into()), &health_check());
        }
        assert_eq!(picked(&after, 1), [0; 0]);
        config.limits.max_connections += 1;
        let other = build(&config, Some(&after));
        assert!(!Arc::ptr_eq(&other.targets[0], &after.targets[0]));
    }
}
