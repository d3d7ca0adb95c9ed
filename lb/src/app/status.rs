//! What is said of a running balancer.

use std::sync::Arc;
use std::time::SystemTime;

use certstore::ServedCertificate;
use config::Listener;

use super::App;
use crate::admin::describe;
use crate::admin::protocol::{
    ExplainRequest, Explanation, ListenerStatus, RefusedEntry, ServedStatus, Stage, Status,
    TargetGroupStatus, TargetStatus,
};
use crate::target_group::{Target, TargetGroup};
use crate::tls::{ANY_CLIENT, CertLookup};

impl App {
    pub(super) fn describe(&self) -> Status {
        let published = self.published.load();
        let in_force = self.in_force.lock();
        let broken = self.certificates.broken();
        let refused = broken
            .into_iter()
            .map(|(file, reason)| RefusedEntry { file, reason });
        Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: self.directory.path().display().to_string(),
            config: self.config_file.display().to_string(),
            started: describe::time(self.started),
            loaded: describe::time(in_force.loaded),
            refused_config: in_force.refused.clone(),
            phase: self.phase().as_str().to_owned(),
            sealed: self
                .foundation
                .custody()
                .seal()
                .needs()
                .map(|needs| needs.to_string()),
            admin_http: self.admin_http.map(|address| address.to_string()),
            listeners: self.listeners(&published.config().listeners),
            target_groups: published
                .groups()
                .iter()
                .map(|group| target_group(group))
                .collect(),
            refused_entries: refused.collect(),
            kms_calls: self.foundation.custody().store().kms_calls(),
        }
    }

    fn listeners(&self, listeners: &[Listener]) -> Vec<ListenerStatus> {
        let open = self.workers.connections();
        let described = listeners.iter().map(|listener| {
            let count = open.iter().find(|(name, _)| *name == listener.name);
            let address = self
                .workers
                .local_addr(&listener.name)
                .unwrap_or(listener.bind);
            ListenerStatus {
                name: listener.name.clone(),
                bind: address.to_string(),
                protocol: if listener.tls.is_some() {
                    "https"
                } else {
                    "http"
                }
                .to_owned(),
                connections: count.map_or(0, |(_, open)| *open as u64),
                certificates: self.shown_by(listener).iter().map(|c| served(c)).collect(),
            }
        });
        described.collect()
    }

    /// The certificates that a listener may show, by name.
    fn shown_by(&self, listener: &Listener) -> Vec<Arc<ServedCertificate>> {
        let Some(tls) = &listener.tls else {
            return Vec::new();
        };
        let lookup = CertLookup::new(self.foundation.table().clone(), tls);
        let table = self.foundation.table().load();
        let mut shown: Vec<_> = table
            .iter()
            .filter(|c| lookup.may_show(c))
            .cloned()
            .collect();
        shown.sort_by(|one, other| (&one.entry, one.key_type).cmp(&(&other.entry, other.key_type)));
        shown
    }

    /// Puts the certificate into the way of a request, or ends it there.
    pub(super) fn explain_certificate(
        &self,
        request: &ExplainRequest,
        explanation: &mut Explanation,
    ) {
        let published = self.published.load();
        let named = explanation.stages.first().map(|stage| stage.choice.clone());
        let mut listeners = published.config().listeners.iter();
        let listener = listeners.find(|listener| Some(&listener.name) == named.as_ref());
        let Some(tls) = listener.and_then(|listener| listener.tls.as_ref()) else {
            return;
        };
        let uri: Option<http::Uri> = request.url.parse().ok();
        let host = uri
            .as_ref()
            .and_then(http::Uri::host)
            .unwrap_or_default()
            .to_lowercase();
        // Clients do not ask for addresses by name.
        let is_address = host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok();
        let asked = (!is_address).then_some(host.as_str());
        let lookup = CertLookup::new(self.foundation.table().clone(), tls);
        let (choice, because) = match lookup.find(asked, ANY_CLIENT, SystemTime::now()) {
            Ok(found) => (
                format!("{} ({})", found.entry, found.key_type),
                format!(
                    "serial {}, until {}",
                    found.serial,
                    describe::time(found.not_after)
                ),
            ),
            Err(none) => {
                explanation.stages.truncate(1);
                explanation.answered = false;
                ("none".to_owned(), none.to_string())
            }
        };
        let stage = Stage {
            stage: "certificate".to_owned(),
            choice,
            because,
        };
        explanation.stages.insert(1, stage);
    }
}

fn served(certificate: &ServedCertificate) -> ServedStatus {
    ServedStatus {
        name: certificate.entry.to_string(),
        key_type: certificate.key_type.to_string(),
        serial: certificate.serial.to_string(),
        not_after: describe::time(certificate.not_after),
    }
}

fn target_group(group: &TargetGroup) -> TargetGroupStatus {
    TargetGroupStatus {
        name: group.name().to_owned(),
        targets: group
            .targets()
            .iter()
            .map(|target| target_status(target))
            .collect(),
    }
}

fn target_status(target: &Target) -> TargetStatus {
    TargetStatus {
        address: target.dial().address().to_string(),
        health: target.verdict().as_str().to_owned(),
        reason: target.reason(),
        in_flight: target.in_flight() as u64,
    }
}
