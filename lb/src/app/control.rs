//! How a running balancer is watched and steered.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use certstore::KeyType;
use tracing::warn;

use super::{App, Ended, Phase};
use crate::admin::control::{Control, Draining};
use crate::admin::protocol::{
    CertDelete, Entry, ExplainRequest, Explanation, Publication, Refusal, Reloaded, Status,
};
use crate::admin::supervisor;
use crate::metrics::StoreFigures;
use crate::{explain, in_use};

impl Control for App {
    fn status(&self) -> Status {
        self.describe()
    }

    fn reload(&self) -> Result<Reloaded, Refusal> {
        if self.phase() == Phase::Draining {
            return Err(Refusal::failed("the balancer is draining"));
        }
        supervisor::reloading();
        let reloaded = self.reload_file();
        self.foundation
            .metrics()
            .reloaded(reloaded.is_ok(), SystemTime::now());
        supervisor::ready();
        reloaded
    }

    fn drain(&self) -> Draining {
        let limit = self.published.load().config().drain;
        self.phase.store(Arc::new(Phase::Draining));
        let connections = self.workers.connections();
        Draining {
            connections: connections.iter().map(|(_, open)| *open as u64).sum(),
            deadline_s: limit.as_secs(),
        }
    }

    fn leave(&self) {
        if self.leaving.swap(true, Ordering::Relaxed) {
            return;
        }
        let limit = self.published.load().config().drain;
        supervisor::stopping(limit);
        self.runtime.spawn(drain(self.me.clone(), limit));
    }

    fn reopen_logs(&self) {
        if let Some(log) = self.published.load().access_log() {
            log.reopen();
        }
    }

    fn publish(&self, entry: &Entry) -> Publication {
        self.bring_to_clients(entry)
    }

    fn refresh(&self) {
        if let Err(error) = self.certificates.rescan() {
            warn!(%error, "the store cannot be looked through");
        }
    }

    fn users_of_entry(&self, delete: &CertDelete) -> Vec<String> {
        let name = delete.name.to_ascii_lowercase();
        let table = self.foundation.table().load();
        let served = table.entry(&name);
        let goes = |key_type: KeyType| {
            let family = key_type.family().to_string();
            delete
                .family
                .as_ref()
                .is_none_or(|chosen| *chosen == family)
        };
        // As long as it has a certificate with another kind of key, that is shown.
        if served.is_empty() || !served.iter().all(|one| goes(one.key_type)) {
            return Vec::new();
        }
        in_use::of_entry(self.published.load().config(), &name)
    }

    fn users_of_trust_store(&self, name: &str) -> Vec<String> {
        in_use::of_trust_store(self.published.load().config(), name)
    }

    fn explain(&self, request: &ExplainRequest) -> Result<Explanation, Refusal> {
        let explained = explain::explain(&self.published.load(), request);
        let mut explanation = explained.map_err(Refusal::usage)?;
        self.explain_certificate(request, &mut explanation);
        Ok(explanation)
    }

    fn ready(&self) -> Result<(), String> {
        match self.phase() {
            Phase::Serving => Ok(()),
            other => Err(other.as_str().to_owned()),
        }
    }

    fn metrics(&self) -> String {
        let (published, table) = (self.published.load(), self.foundation.table().load());
        let store = StoreFigures {
            not_served: self.certificates.broken().len(),
            kms_calls: self.foundation.custody().store().kms_calls(),
            audit: self.foundation.audit_status(),
        };
        self.foundation.metrics().encode(&published, &table, store)
    }
}

/// Finishes what is in flight, and ends.
async fn drain(app: Weak<App>, limit: Duration) {
    let Some(app) = app.upgrade() else { return };
    let cut = app.workers.drain(limit).await;
    *app.end.lock() = Some(Ended { cut });
    app.ended.notify_all();
}
