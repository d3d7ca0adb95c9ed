//! What every request sees: configuration, rules and target groups, built off to the side and published as
//! one value.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use config::{Config, Secrets, TargetProtocol};
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
    current: Arc<View>,
    /// The one before, as long as it has listeners that are leaving.
    former: ArcSwapOption<View>,
    log: Option<AccessLog>,
}

/// What requests of one configuration see.
#[derive(Debug)]
pub struct View {
    config: Arc<Config>,
    router: Router,
    groups: Vec<Arc<TargetGroup>>,
    listeners: BTreeMap<String, PublishedListener>,
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
        secrets: &Secrets,
        tls: &UpstreamTls<'_>,
        metrics: &Metrics,
        log: Option<AccessLog>,
    ) -> Result<Arc<Self>, Vec<UpstreamTlsError>> {
        let (mut groups, mut faults) = (Vec::new(), Vec::new());
        for group in &config.target_groups {
            match build_group(group, previous, secrets, tls, metrics.workers()) {
                Ok(group) => groups.push(group),
                Err(fault) => faults.push(fault),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let current = View::new(config, groups, metrics);
        let leaves = |name: &String| current.listener(name).is_none();
        let former = previous.map(|previous| &previous.current);
        let former = former.filter(|former| former.listeners.keys().any(leaves));
        Ok(Arc::new(Self {
            former: ArcSwapOption::new(former.cloned()),
            current: Arc::new(current),
            log,
        }))
    }

    /// What requests of the listener `name` see: the configuration in force, or the one before, where the
    /// listener is no longer in it and its connections are still leaving.
    pub fn view(&self, name: &str) -> Arc<View> {
        if self.current.listener(name).is_none()
            && let Some(former) = self.former.load_full()
        {
            return former;
        }
        self.current.clone()
    }

    /// Lets go of what was kept for listeners that a reload has removed, once their connections are gone.
    pub fn forget_former(&self) {
        self.former.store(None);
    }

    /// The access log.
    pub fn access_log(&self) -> Option<&AccessLog> {
        self.log.as_ref()
    }

    /// Begins to probe what is not probed yet, on `runtime`.
    pub fn start_probes(&self, runtime: &Handle) {
        for group in self.groups() {
            group.start_probes(runtime);
        }
    }

    /// Waits until every target has been probed once, but no longer than `patience`: so that what is
    /// published does not begin with refusals.
    pub async fn first_round(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        for target in self.groups().iter().flat_map(|group| group.targets()) {
            if timeout_at(deadline, target.first_probe()).await.is_err() {
                return;
            }
        }
    }
}

impl Deref for Published {
    type Target = View;

    fn deref(&self) -> &View {
        &self.current
    }
}

impl View {
    fn new(config: Arc<Config>, groups: Vec<Arc<TargetGroup>>, metrics: &Metrics) -> Self {
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
        Self {
            router: Router::new(&config),
            listeners: listeners.collect(),
            groups,
            config,
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

    /// The listener `name`, if there is one.
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
    secrets: &Secrets,
    tls: &UpstreamTls<'_>,
    workers: usize,
) -> Result<Arc<TargetGroup>, UpstreamTlsError> {
    let mut former = previous.into_iter().flat_map(|previous| previous.groups());
    let former = former.find(|former| former.name() == group.name);
    let tls = match &group.protocol {
        TargetProtocol::Http => None,
        TargetProtocol::Https(names) => Some(tls.group(&group.name, names)?),
    };
    TargetGroup::build(group, tls, secrets, former, workers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, group, listener, try_publish};

    fn build(config: Config, previous: Option<&Published>) -> Arc<Published> {
        try_publish(config, previous, None, &Metrics::new(1)).unwrap()
    }

    #[test]
    fn unchanged_groups_are_kept_wherever_they_stand() {
        let (first, mut second) = (group(&[1]), group(&[2]));
        second.name = "h".to_owned();
        let before = build(testing::config(vec![first.clone(), second.clone()]), None);
        let after = build(testing::config(vec![second, first]), Some(&before));
        assert!(Arc::ptr_eq(&before.groups()[0], &after.groups()[1]));
        assert!(Arc::ptr_eq(&before.groups()[1], &after.groups()[0]));
    }

    #[test]
    fn a_leaving_listener_keeps_its_rules() {
        let mut config = testing::config(vec![group(&[1])]);
        let before = build(config.clone(), None);
        config.listeners = vec![listener("other")];
        let after = build(config, Some(&before));
        assert!(after.view("http").listener("http").is_some());
        assert!(after.view("other").listener("other").is_some());
        after.forget_former();
        assert!(after.view("http").listener("http").is_none());
    }

    #[test]
    fn all_faults_of_tls_are_said() {
        let tls = |name: Option<&str>, ca| {
            TargetProtocol::Https(config::TargetTls {
                server_name: name.map(str::to_owned),
                ca,
                client_certificate: None,
            })
        };
        let mut groups = vec![group(&[1]), group(&[2]), group(&[3])];
        let store = config::CertificateAuthorities::TrustStore("x".to_owned());
        groups[0].protocol = tls(None, Some(store));
        groups[1].protocol = tls(Some("no name"), None);
        let config = testing::config(groups);
        let faults = try_publish(config, None, None, &Metrics::new(1)).unwrap_err();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(
            faults[0].contains("there is no trust store x"),
            "{faults:?}"
        );
        assert!(
            faults[1].contains("no name is no server name"),
            "{faults:?}"
        );
    }
}
