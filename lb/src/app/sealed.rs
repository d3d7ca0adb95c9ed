//! A start that waits for its root key: the admin endpoints answer, and nothing is served yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use config::Config;
use kms::root_key::Needs;
use kms::{Kms, RootKeySource, Seal, StateDirectory};
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::bind_admin;
use crate::admin::Control;
use crate::admin::control::Draining;
use crate::admin::protocol::{
    Answer, CertDelete, Entry, ExplainRequest, Explanation, KmsCalls, Publication, Refusal,
    Reloaded, Request, Response, Status, Step,
};
use crate::admin::socket::Handler;
use crate::admin::wire::Secret;
use crate::admin::{describe, roots, supervisor};
use crate::commands::root_target::root_key_source;

/// Waits until somebody has opened the KMS of `directory`, which needs `needs`.
///
/// # Errors
/// When the admin endpoints cannot be bound.
pub fn wait_for_keys(
    directory: &StateDirectory,
    (config, config_file): (&Config, &Path),
    needs: Needs,
    runtime: &Handle,
) -> Result<Kms, Refusal> {
    warn!("the key management service is sealed: {needs}; waiting for `sealgate kms unseal`");
    let antechamber = Arc::new(Antechamber {
        seal: Seal::sealed(needs),
        directory: directory.clone(),
        root_key: config.root_key.as_ref().map(root_key_source),
        config_file: config_file.to_owned(),
        started: SystemTime::now(),
        open: Mutex::new(false),
        opened: Condvar::new(),
    });
    let admin = bind_admin(directory, config)?;
    let served = admin.serve(runtime, antechamber.clone(), antechamber.clone());
    let _served = served.map_err(Refusal::failed)?;
    supervisor::waiting("sealed: waiting for `sealgate kms unseal`");
    let mut open = antechamber.open.lock();
    while !*open {
        antechamber.opened.wait(&mut open);
    }
    info!("the key management service is open");
    let kms = antechamber.seal.clone().into_kms(LEAVING);
    kms.ok_or_else(|| {
        Refusal::failed("the key management service is in use and cannot be handed on")
    })
}

/// Answers while nothing is open.
struct Antechamber {
    seal: Seal,
    directory: StateDirectory,
    root_key: Option<RootKeySource>,
    config_file: PathBuf,
    started: SystemTime,
    open: Mutex<bool>,
    opened: Condvar,
}

impl Handler for Antechamber {
    fn handle(
        &self,
        _peer: u32,
        request: Request,
        secret: Secret,
        _progress: &dyn Fn(Step),
    ) -> Result<Answer, Refusal> {
        let response = match request {
            Request::Status => Response::Status(Box::new(self.status())),
            Request::Unseal => self.unseal(secret)?,
            Request::RootShow => roots::show(&self.directory, self.root_key.as_ref())?,
            Request::Drain => Response::Draining {
                connections: 0,
                deadline_s: 0,
            },
            _ => return Err(self.sealed()),
        };
        Ok(response.into())
    }

    fn leave(&self) {
        Control::leave(self);
    }
}

impl Antechamber {
    fn unseal(&self, secret: Secret) -> Result<Response, Refusal> {
        let root = self.root_key.as_ref();
        let answer = roots::unseal(&self.seal, (&self.directory, root), secret, &Ok)?;
        if self.seal.needs().is_none() {
            *self.open.lock() = true;
            self.opened.notify_all();
        }
        Ok(answer)
    }

    fn sealed(&self) -> Refusal {
        match self.seal.get() {
            Err(sealed) => Refusal::failed(sealed),
            Ok(_) => Refusal::failed("the balancer is starting: try again"),
        }
    }
}

impl Control for Antechamber {
    fn status(&self) -> Status {
        Status {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: self.directory.path().display().to_string(),
            config: self.config_file.display().to_string(),
            started: describe::time(self.started),
            loaded: describe::time(self.started),
            refused_config: None,
            phase: "sealed".to_owned(),
            sealed: self.seal.needs().map(|needs| needs.to_string()),
            admin_http: None,
            listeners: Vec::new(),
            target_groups: Vec::new(),
            refused_entries: Vec::new(),
            kms_calls: KmsCalls::default(),
        }
    }

    fn reload(&self) -> Result<Reloaded, Refusal> {
        Err(self.sealed())
    }

    fn drain(&self) -> Draining {
        Draining {
            connections: 0,
            deadline_s: 0,
        }
    }

    /// Nothing is in flight.
    fn leave(&self) {
        info!("ended while sealed");
        std::process::exit(0);
    }

    fn reopen_logs(&self) {}

    fn publish(&self, _entry: &Entry) -> Publication {
        Publication {
            proofs: Vec::new(),
            remarks: vec![self.sealed().message],
            failed: true,
            elapsed_ms: 0.0,
        }
    }

    fn users_of_entry(&self, _: &CertDelete) -> Vec<String> {
        // Nothing is served yet.
        Vec::new()
    }

    fn users_of_trust_store(&self, _: &str) -> Vec<String> {
        Vec::new()
    }

    fn refresh(&self) {}

    fn explain(&self, _request: &ExplainRequest) -> Result<Explanation, Refusal> {
        Err(self.sealed())
    }

    fn ready(&self) -> Result<(), String> {
        Err("sealed".to_owned())
    }

    fn metrics(&self) -> String {
        "# EOF\n".to_owned()
    }
}

/// How long questions about the KMS may last that is to be handed on.
const LEAVING: Duration = Duration::from_secs(10);
