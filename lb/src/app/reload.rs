//! From one configuration to the next, whole or not at all.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use config::{Config, Listener};
use tracing::warn;

use super::{App, limits};
use crate::admin::protocol::{Refusal, Reloaded};
use crate::commands::root_target::root_key_source;
use crate::listener::{BoundListener, ListenerSettings};
use crate::published::Published;
use crate::worker::Workers;

impl App {
    /// Reads the configuration file anew and puts it in force.
    pub(super) fn reload_file(&self) -> Result<Reloaded, Refusal> {
        // One at a time: what is compared must still be in force when it is replaced.
        let _turn = self.reloading.lock();
        let replaced = self.replace();
        let mut in_force = self.in_force.lock();
        match replaced {
            Ok(reloaded) => {
                in_force.loaded = SystemTime::now();
                in_force.refused = None;
                Ok(reloaded)
            }
            Err(refusal) => {
                in_force.refused = Some(refusal.message.clone());
                Err(refusal)
            }
        }
    }

    fn replace(&self) -> Result<Reloaded, Refusal> {
        let loaded = load(&self.config_file)?;
        let previous = self.published.load_full();
        let config = Arc::new(loaded.config.clone());
        refuse_unchangeable(previous.config(), &config)?;
        let secrets = self.foundation.open_secrets(&loaded)?;
        let log = self.foundation.access_log(&config, Some(&previous))?;
        let prepared = self
            .foundation
            .prepare(config.clone(), &secrets, Some(&previous), log)?;
        prepared
            .warnings
            .iter()
            .for_each(|warning| warn!("{warning}"));
        let plan = Plan::between(&previous.config().listeners, &config.listeners);
        let sockets = bind_all(plan.bind.iter().copied(), self.workers.count())?;
        // Nothing fails from here on.
        self.foundation
            .custody()
            .store()
            .use_bucket_keys(config.bucket_keys);
        prepared.published.start_probes(&self.runtime);
        self.published.store(prepared.published);
        self.foundation
            .custody()
            .name_root_key(config.root_key.as_ref().map(root_key_source));
        let most = limits::connections(config.max_connections);
        self.workers.set_max_connections(most);
        for name in &plan.remove {
            self.workers.remove(name, config.drain);
        }
        self.runtime
            .spawn(forget_former(self.published.clone(), config.drain));
        let (added, kept): (Vec<_>, Vec<_>) = prepared
            .settings
            .into_iter()
            .partition(|settings| plan.is_bound(&settings.listener.name));
        for settings in kept {
            match plan.former_name(&settings.listener.name) {
                Some(former) => self.workers.replace(former, settings),
                None => self.workers.update(settings),
            };
        }
        add_all(&self.workers, sockets, added)?;
        Ok(Reloaded {
            config: self.config_file.display().to_string(),
            changes: changes(previous.config(), &config),
        })
    }
}

/// Lets go of what connections of removed listeners still went by, once they have left.
async fn forget_former(published: Arc<ArcSwap<Published>>, drain: Duration) {
    let current = published.load_full();
    tokio::time::sleep(drain).await;
    current.forget_former();
}

/// Reads a configuration file.
pub(super) fn load(path: &std::path::Path) -> Result<config::Loaded, Refusal> {
    Config::load(path).map_err(Refusal::from)
}

/// Binds each listener.
///
/// # Errors
/// All that cannot be bound; none is then.
pub(super) fn bind_all<'l>(
    listeners: impl IntoIterator<Item = &'l Listener>,
    workers: usize,
) -> Result<Vec<BoundListener>, Refusal> {
    let (mut bound, mut faults) = (Vec::new(), Vec::new());
    for listener in listeners {
        match BoundListener::bind(listener, workers) {
            Ok(sockets) => bound.push(sockets),
            Err(error) => faults.push(error.to_string()),
        }
    }
    match faults.is_empty() {
        true => Ok(bound),
        false => Err(Refusal::failed(faults.join("\n"))),
    }
}

/// Serves bound listeners, in the same order as their settings.
pub(super) fn add_all(
    workers: &Workers,
    sockets: Vec<BoundListener>,
    settings: Vec<ListenerSettings>,
) -> Result<(), Refusal> {
    for (sockets, settings) in sockets.into_iter().zip(settings) {
        workers.add(sockets, settings).map_err(Refusal::failed)?;
    }
    Ok(())
}

/// What happens to listeners.
#[derive(Debug)]
struct Plan<'c> {
    /// Names of those that leave.
    remove: Vec<&'c str>,
    /// Those that need sockets.
    bind: Vec<&'c Listener>,
    /// Old and new name of those that keep their sockets under another name.
    renamed: Vec<(&'c str, &'c str)>,
}

impl<'c> Plan<'c> {
    fn between(old: &'c [Listener], new: &'c [Listener]) -> Self {
        let has = |listeners: &[Listener], name: &str| listeners.iter().any(|l| l.name == name);
        let stays = |one: &Listener, others: &[Listener]| {
            let same = |other: &Listener| other.name == one.name && other.bind == one.bind;
            others.iter().any(same)
        };
        // Port 0 is another port every time.
        let renamed = |one: &'c Listener| {
            let same = |other: &&Listener| other.bind == one.bind && one.bind.port() != 0;
            let other = new.iter().find(same)?;
            let swapped = has(new, &one.name) || has(old, &other.name);
            (!swapped).then_some((one.name.as_str(), other.name.as_str()))
        };
        let renamed: Vec<_> = old.iter().filter_map(renamed).collect();
        let leaves = |one: &&Listener| {
            !stays(one, new) && !renamed.iter().any(|(former, _)| *former == one.name)
        };
        let comes = |one: &&Listener| {
            !stays(one, old) && !renamed.iter().any(|(_, name)| *name == one.name)
        };
        Self {
            remove: old.iter().filter(leaves).map(|l| l.name.as_str()).collect(),
            bind: new.iter().filter(comes).collect(),
            renamed,
        }
    }

    fn former_name(&self, name: &str) -> Option<&'c str> {
        let mut renamed = self.renamed.iter();
        renamed
            .find(|(_, new)| *new == name)
            .map(|(former, _)| *former)
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bind.iter().any(|listener| listener.name == name)
    }
}

/// What only a restart can change must not look changed.
fn refuse_unchangeable(old: &Config, new: &Config) -> Result<(), Refusal> {
    let settings = [
        ("kms.audit", old.audit != new.audit),
        ("kms.quotas", old.quotas != new.quotas),
        ("kms.socket", old.kms_socket != new.kms_socket),
        ("certstore.key", old.certstore_key != new.certstore_key),
        ("admin", old.admin != new.admin),
        ("workers", old.workers != new.workers),
    ];
    let changed: Vec<_> = settings
        .into_iter()
        .filter(|(_, c)| *c)
        .map(|(name, _)| name)
        .collect();
    match changed.is_empty() {
        true => Ok(()),
        false => Err(Refusal::failed(format!(
            "a reload cannot change {}: restart the balancer, or undo that change",
            changed.join(", ")
        ))),
    }
}

/// What is different, for people.
fn changes(old: &Config, new: &Config) -> Vec<String> {
    let mut changes = Vec::new();
    named(
        "listener",
        &old.listeners,
        &new.listeners,
        |l| &l.name,
        &mut changes,
    );
    named(
        "target group",
        &old.target_groups,
        &new.target_groups,
        |g| &g.name,
        &mut changes,
    );
    let rest = [
        ("rules", old.rules != new.rules),
        ("certstore.bucket_keys", old.bucket_keys != new.bucket_keys),
        (
            "trusted_proxies",
            old.trusted_proxies != new.trusted_proxies,
        ),
        ("access_log", old.access_log != new.access_log),
        (
            "max_connections",
            old.max_connections != new.max_connections,
        ),
        ("drain", old.drain != new.drain),
    ];
    changes.extend(
        rest.into_iter()
            .filter(|(_, c)| *c)
            .map(|(name, _)| format!("{name} changed")),
    );
    changes
}

fn named<T: PartialEq>(
    kind: &str,
    old: &[T],
    new: &[T],
    name: impl Fn(&T) -> &str,
    changes: &mut Vec<String>,
) {
    for one in new {
        match old.iter().find(|other| name(other) == name(one)) {
            None => changes.push(format!("{kind} {} added", name(one))),
            Some(other) if other != one => changes.push(format!("{kind} {} changed", name(one))),
            Some(_) => {}
        }
    }
    let gone = old
        .iter()
        .filter(|one| !new.iter().any(|other| name(other) == name(one)));
    changes.extend(gone.map(|one| format!("{kind} {} removed", name(one))));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(text: &[(&str, &str)]) -> Vec<Listener> {
        let listeners = text.iter().map(|(name, bind)| {
            format!("  {name}: {{ bind: \"{bind}\", action: {{ respond: 404 }} }}\n")
        });
        let yaml = format!("version: 1\nlisteners:\n{}", listeners.collect::<String>());
        Config::parse("test.yaml", &yaml).unwrap().config.listeners
    }

    #[test]
    fn only_what_changed_is_touched() {
        let old = listeners(&[
            ("a", "127.0.0.1:1"),
            ("b", "127.0.0.1:2"),
            ("c", "127.0.0.1:3"),
        ]);
        let new = listeners(&[
            ("a", "127.0.0.1:1"),
            ("b", "127.0.0.1:4"),
            ("d", "127.0.0.1:3"),
        ]);
        let plan = Plan::between(&old, &new);
        assert_eq!(plan.remove, ["b"]);
        assert_eq!(
            plan.bind
                .iter()
                .map(|l| l.name.as_str())
                .collect::<Vec<_>>(),
            ["b"]
        );
        assert_eq!(plan.renamed, [("c", "d")]);
        assert!(Plan::between(&old, &old).bind.is_empty());
    }

    #[test]
    fn listeners_that_the_kernel_gives_ports_are_never_renamed() {
        let old = listeners(&[("a", "127.0.0.1:0")]);
        let new = listeners(&[("b", "127.0.0.1:0")]);
        let plan = Plan::between(&old, &new);
        assert_eq!(
            (plan.remove, plan.bind.len(), plan.renamed.len()),
            (vec!["a"], 1, 0)
        );
    }

    #[test]
    fn changes_are_told_by_name() {
        let parse = |yaml: &str| Config::parse("test.yaml", yaml).unwrap().config;
        let old = parse(
            "version: 1\nlisteners: { a: { bind: \"127.0.0.1:1\", action: { respond: 404 } } }\n",
        );
        let new = parse(
            "version: 1\ndrain: 5s\nlisteners: { b: { bind: \"127.0.0.1:1\", action: { respond: 404 } } }\n",
        );
        assert_eq!(
            changes(&old, &new),
            ["listener b added", "listener a removed", "drain changed"]
        );
        assert!(changes(&old, &old).is_empty());
    }
}
