//! A certificate that was just sealed on its way to the clients, and the proof that it has arrived.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use certstore::{ClientOffer, ServedCertificate};
use config::{Listener, ListenerTls};

use super::App;
use crate::admin::protocol::{Entry, Proof, Publication};
use crate::proof;
use crate::tls::CertLookup;

impl App {
    /// Puts the entry into the table of the next handshake, and asks every listener that should show
    /// it.
    pub(super) fn bring_to_clients(&self, entry: &Entry) -> Publication {
        let start = Instant::now();
        let change = self.certificates.refresh(std::slice::from_ref(&entry.file));
        let mut publication = Publication {
            proofs: Vec::new(),
            remarks: Vec::new(),
            failed: false,
            elapsed_ms: 0.0,
        };
        for broken in change.broken {
            publication.failed = true;
            publication.remarks.push(broken.to_string());
        }
        match self.opened(entry) {
            Some(certificate) => self.prove_everywhere(&certificate, &mut publication),
            None if !publication.failed => {
                publication.failed = true;
                publication
                    .remarks
                    .push("another import has replaced it already".to_owned());
            }
            None => {}
        }
        publication.elapsed_ms = start.elapsed().as_secs_f64() * 1e3;
        publication
    }

    fn opened(&self, entry: &Entry) -> Option<Arc<ServedCertificate>> {
        let table = self.foundation.table().load();
        let sealed = |c: &&Arc<ServedCertificate>| entry.sha256.as_deref() == Some(&*c.sha256);
        table.entry(&entry.name).iter().find(sealed).cloned()
    }

    fn prove_everywhere(&self, certificate: &ServedCertificate, publication: &mut Publication) {
        let published = self.published.load();
        let mut named = false;
        for listener in &published.config().listeners {
            let Some(tls) = &listener.tls else { continue };
            let lookup = CertLookup::new(self.foundation.table().clone(), tls);
            if lookup.may_show(certificate) {
                named = true;
                self.prove(listener, tls, &lookup, certificate, publication);
            }
        }
        if !named {
            publication.remarks.push(format!(
                "No listener of the running balancer names it: add `{}` to a listener's `tls.certificates`",
                certificate.entry
            ));
        }
    }

    fn prove(
        &self,
        listener: &Listener,
        tls: &ListenerTls,
        lookup: &CertLookup,
        certificate: &ServedCertificate,
        publication: &mut Publication,
    ) {
        let name = match shown_for(lookup, tls, certificate) {
            Ok(name) => name,
            Err(why) => {
                return publication
                    .remarks
                    .push(format!("listener {}: {why}", listener.name));
            }
        };
        if listener.proxy_protocol {
            return publication.remarks.push(format!(
                "listener {}: it expects PROXY headers, so its handshake was not tried",
                listener.name
            ));
        }
        let Some(address) = self.workers.local_addr(&listener.name) else {
            return;
        };
        match proof::served(address, &name, certificate.key_type.family()) {
            Ok(sha256) if *sha256 == *certificate.sha256 => publication.proofs.push(Proof {
                listener: listener.name.clone(),
                address: address.to_string(),
                server_name: name,
            }),
            Ok(_) => fail(publication, listener, &name, "it shows another certificate"),
            Err(error) => fail(publication, listener, &name, &error.to_string()),
        }
    }
}

fn fail(publication: &mut Publication, listener: &Listener, name: &str, why: &str) {
    publication.failed = true;
    let remark = format!(
        "listener {} does not serve it for {name}: {why}",
        listener.name
    );
    publication.remarks.push(remark);
}

/// A name for which a client gets `certificate` from the listener; else, why it gets it for none.
fn shown_for(
    lookup: &CertLookup,
    tls: &ListenerTls,
    certificate: &ServedCertificate,
) -> Result<String, String> {
    let mut others = None;
    for name in certificate.names.iter() {
        let server_name = proof::server_name_for(name);
        match lookup.find(
            server_name.as_deref(),
            offer(certificate),
            SystemTime::now(),
        ) {
            Ok(found) if found.sha256 == certificate.sha256 => {
                // Clients that connect to an address ask for no name.
                return Ok(server_name.unwrap_or_else(|| name.to_string()));
            }
            Ok(found) => others = Some(found.entry.to_string()),
            Err(_) => {}
        }
    }
    Err(match others {
        Some(other) => {
            format!("clients get `{other}` for its names: it is better by date, name or key")
        }
        None => format!(
            "no client can ask for it by name, and it is not the default ({:?})",
            tls.on_unknown_sni
        ),
    })
}

/// A client that verifies signatures of this certificate's kind alone, so that no twin is in the way.
fn offer(certificate: &ServedCertificate) -> ClientOffer<'static> {
    ClientOffer {
        signature_schemes: proof::schemes(certificate.key_type.family()),
        ecdsa_suites: true,
        rsa_suites: true,
    }
}
