//! What every request sees: configuration, rules and target groups, built off to the side and published as
//! one value.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use config::{Config, TargetProtocol};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::access_log::AccessLog;
use crate::metrics::{ListenerCounters, Metrics, RequestCounters};
use crate::router::Router;
use crate::target_group::TargetGroup;
use crate::upstream::tls::{UpstreamTls, UpstreamTlsError};

/// A configuration in force.
#[derive(Debug)]
pub struct Published {
    config: Arc<Config>,
    router: Router,
    groups: Vec<Arc<TargetGroup>>,
    listeners: HashMap<String, PublishedListener>,
    log: Option<AccessLog>,
}

/// A listener, as far as requests see it.
#[derive(Debug)]
pub struct PublishedListener {
    /// Its place in the configuration.
    pub index: usize,
    /// What is counted of it.
    pub counters: Arc<ListenerCounters>,
    /// Per target group what is counted of its requests, and at the end of those answered here.
    requests: Vec<OnceLock<Arc<RequestCounters>>>,
}

impl Published {
    /// Makes a configuration ready. Of the `previous` one, target groups that have not changed are kept,
    /// with health, connections and counts. Nothing is probed yet: see [`Published::start_probes`].
    ///
    /// # Errors
    /// All reasons why TLS towards targets cannot be set up.
    pub fn build(
        config: Arc<Config>,
        previous: Option<&Self>,
        tls: &UpstreamTls<'_>,
        metrics: &Metrics,
        log: Option<AccessLog>,
    ) -> Result<Arc<Self>, Vec<UpstreamTlsError>> {
        let (mut groups, mut faults) = (Vec::new(), Vec::new());
        for group in &config.target_groups {
            match build_group(group, previous, tls, metrics.workers()) {
                Ok(group) => groups.push(group),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let listeners = config
            .listeners
            .iter()
            .enumerate()
            .map(|(index, listener)| {
                let published = PublishedListener {
                    index,
                    counters: metrics.listener(&listener.name),
                    requests: (0..=groups.len()).map(|_| OnceLock::new()).collect(),
                };
                (listener.name.clone(), published)
            });
        Ok(Arc::new(Self {
            router: Router::new(&config),
            listeners: listeners.collect(),
            groups,
            config,
            log,
        }))
    }

    /// Begins to probe what is not probed yet, on `runtime`.
    pub fn start_probes(&self, runtime: &Handle) {
        for group in &self.groups {
            group.start_probes(runtime);
        }
    }

    /// Waits until every target has been probed once, but no longer than `patience`: so that what is
    /// published does not begin with refusals.
    pub async fn first_round(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        for target in self.groups.iter().flat_map(|group| group.targets()) {
            if timeout_at(deadline, target.first_probe()).await.is_err() {
                return;
            }
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The rules.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The target groups, in the order of the configuration.
    pub fn groups(&self) -> &[Arc<TargetGroup>] {
        &self.groups
    }

    /// The access log.
    pub fn access_log(&self) -> Option<&AccessLog> {
        self.log.as_ref()
    }

    /// The listener `name`, unless a reload has removed it.
    pub fn listener(&self, name: &str) -> Option<&PublishedListener> {
        self.listeners.get(name)
    }

    /// Whether `address` is one of the trusted proxies.
    pub fn trusts(&self, address: std::net::IpAddr) -> bool {
        let address = address.to_canonical();
        self.config
            .trusted_proxies
            .iter()
            .any(|network| network.contains(&address))
    }

    /// What is counted of requests from a listener to a group; of those answered here, if there is none.
    pub fn request_counters(
        &self,
        listener: &str,
        group: Option<usize>,
        metrics: &Metrics,
    ) -> Option<Arc<RequestCounters>> {
        let requests = &self.listeners.get(listener)?.requests;
        let name = || {
            group
                .and_then(|group| self.groups.get(group))
                .map_or("", |group| group.name())
        };
        let counters = requests.get(group.unwrap_or(self.groups.len()))?;
        Some(
            counters
                .get_or_init(|| metrics.requests(listener, name()))
                .clone(),
        )
    }
}

fn build_group(
    group: &config::TargetGroup,
    previous: Option<&Published>,
    tls: &UpstreamTls<'_>,
    workers: usize,
) -> Result<Arc<TargetGroup>, UpstreamTlsError> {
    let mut former = previous.into_iter().flat_map(|previous| &previous.groups);
    let former = former.find(|former| former.name() == group.name);
    let tls = match &group.protocol {
        TargetProtocol::Http => None,
        TargetProtocol::Https(names) => Some(tls.group(&group.name, names)?),
    };
    TargetGroup::build(group, tls, former, workers)
}
