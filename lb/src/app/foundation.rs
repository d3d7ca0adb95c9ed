//! What outlives every configuration: keys, certificates, tickets and counts; and what a configuration
//! comes to on it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use certstore::{BrokenEntry, CertTable, Change, ServedCertificate, Watcher};
use config::{
    CertificateSelector, Config, Diagnostics, Listener, ListenerTls, Loaded, Secrets, UnknownSni,
};
use ipnet::IpNet;
use kms::audit::{AuditLog, AuditMode, AuditOptions, AuditStatus};
use kms::quota::RequestQuotas;
use kms::{Caller, DirectoryLock, Kms, StateDirectory};
use tracing::{error, info, warn};

use crate::access_log::AccessLog;
use crate::admin::custody::{Custody, CustodyOptions};
use crate::admin::describe;
use crate::admin::protocol::Refusal;
use crate::commands::root_target::root_key_source;
use crate::listener::ListenerSettings;
use crate::metrics::Metrics;
use crate::published::Published;
use crate::tls::{ClientAuthentication, ServerTls, Ticketers};
use crate::upstream::tls::UpstreamTls;

/// What outlives every configuration.
pub struct Foundation {
    custody: Custody,
    table: Arc<ArcSwap<CertTable>>,
    ticketers: Ticketers,
    metrics: Arc<Metrics>,
    broken: Vec<BrokenEntry>,
}

/// What a configuration comes to: loaded, opened and checked, with nothing bound or published.
pub struct Prepared {
    /// What requests see.
    pub published: Arc<Published>,
    /// What connections see, in the order of the configuration's listeners.
    pub settings: Vec<ListenerSettings>,
    /// What was probably not meant.
    pub warnings: Vec<String>,
}

impl Foundation {
    /// Opens every certificate of the store with the keys of `kms`. Without the `lock` of the directory it
    /// only reads, and its use of the keys is not written down in the audit log.
    ///
    /// # Errors
    /// Why there is nothing to serve from. A file of the store that does not open harms nobody else.
    pub fn open(
        directory: StateDirectory,
        kms: Kms,
        config: &Config,
        workers: usize,
        lock: Option<&DirectoryLock>,
    ) -> Result<Self, Refusal> {
        refuse_region(&directory, config)?;
        let custody = Custody::open(directory, kms, &custody_options(config), lock)?;
        remark_on_keys(&*custody.kms()?);
        let key = config.certstore_key.parse().map_err(Refusal::usage)?;
        let found = custody.kms()?.describe_key(&Caller::Internal, &key);
        found.map_err(Refusal::failed)?;
        let opened = custody.store().open_all(&|_, _| {});
        let (table, broken) = opened.map_err(Refusal::failed)?;
        Ok(Self {
            custody,
            table: Arc::new(ArcSwap::from_pointee(table)),
            ticketers: Ticketers::default(),
            metrics: Metrics::new(workers),
            broken,
        })
    }

    /// Opens the sealed values of a configuration.
    ///
    /// # Errors
    /// All that do not open where they stand.
    pub fn open_secrets(&self, loaded: &Loaded) -> Result<Secrets, Diagnostics> {
        loaded.open(|sealed| {
            let opened = self.custody.open_value(&sealed.path, &sealed.ciphertext);
            opened.map_err(|error| format!("this sealed value does not open here: {error}"))
        })
    }

    /// Makes a configuration ready, off to the side.
    ///
    /// # Errors
    /// Everything because of which it cannot be put in force.
    pub fn prepare(
        &self,
        config: Arc<Config>,
        secrets: &Secrets,
        previous: Option<&Published>,
        log: Option<AccessLog>,
    ) -> Result<Prepared, Refusal> {
        refuse_region(self.custody.directory(), &config)?;
        let mut faults = self.missing_defaults(&config);
        let trust = |name: &str| {
            let certificates = self.custody.trust().certificates(name);
            certificates.map_err(|error| error.to_string())
        };
        let upstream = UpstreamTls {
            trust: &trust,
            certificates: &self.table,
        };
        let built = Published::build(
            config.clone(),
            previous,
            secrets,
            &upstream,
            &self.metrics,
            log,
        );
        let published = match built {
            Ok(published) if faults.is_empty() => published,
            Ok(_) => return Err(Refusal::usage(faults.join("\n"))),
            Err(more) => {
                faults.extend(more.iter().map(ToString::to_string));
                return Err(Refusal::usage(faults.join("\n")));
            }
        };
        Ok(Prepared {
            settings: self.settings(&config)?,
            warnings: self.warnings(&config),
            published,
        })
    }

    /// The access log of `config`: the `previous` one where it goes to the same place.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn access_log(
        &self,
        config: &Config,
        previous: Option<&Published>,
    ) -> Result<Option<AccessLog>, Refusal> {
        let Some(destination) = &config.access_log else {
            return Ok(None);
        };
        let same = previous.filter(|p| p.config().access_log.as_ref() == Some(destination));
        if let Some(log) = same.and_then(Published::access_log) {
            return Ok(Some(log.clone()));
        }
        let started = AccessLog::start(destination, self.metrics.access_log_lost.clone());
        Ok(Some(started.map_err(Refusal::failed)?))
    }

    /// Follows the store's directory from here on.
    ///
    /// # Errors
    /// When the system gives no watch.
    pub fn watch(&self, directory: &StateDirectory) -> Result<Watcher, Refusal> {
        let store = self.custody.store().clone();
        let path = directory.store_directory();
        Watcher::start(store, self.table.clone(), &path, log_change).map_err(Refusal::failed)
    }

    /// The keys and the store.
    pub fn custody(&self) -> &Custody {
        &self.custody
    }

    /// The certificates that are open.
    pub fn table(&self) -> &Arc<ArcSwap<CertTable>> {
        &self.table
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// The files of the store that did not open.
    pub fn broken(&self) -> &[BrokenEntry] {
        &self.broken
    }

    /// Has the key database hold how far the audit log goes.
    pub fn close_audit_log(&self) {
        let Ok(kms) = self.custody.kms() else {
            // It was closed when the KMS was sealed.
            return;
        };
        if let Some(Err(error)) = kms.audit_log().map(AuditLog::checkpoint) {
            warn!("the audit log has no last checkpoint: {error}");
        }
    }

    /// Has `tell` told when the audit log can be written again.
    pub fn on_audit_recovery(&self, tell: impl Fn() + Send + Sync + 'static) {
        self.custody.on_audit_recovery(tell);
    }

    /// How the audit log is.
    pub fn audit_status(&self) -> AuditStatus {
        let kms = self.custody.kms();
        let status = kms
            .ok()
            .and_then(|kms| kms.audit_log().map(AuditLog::status));
        status.unwrap_or_default()
    }

    /// Ends ticket keys and bucket keys whose time is over.
    pub fn end_keys(&self) {
        self.ticketers.rotate(Instant::now());
        self.custody.store().end_bucket_keys();
    }

    fn settings(&self, config: &Config) -> Result<Vec<ListenerSettings>, Refusal> {
        let trusted: Arc<[IpNet]> = config.trusted_proxies.clone().into();
        let settings = config.listeners.iter().map(|listener| {
            let tls = listener
                .tls
                .as_ref()
                .map(|tls| self.server_tls(listener, tls));
            let tls = tls.transpose()?.map(Arc::new);
            Ok(ListenerSettings::new(
                Arc::new(listener.clone()),
                trusted.clone(),
                tls,
            ))
        });
        settings.collect()
    }

    fn server_tls(&self, listener: &Listener, tls: &ListenerTls) -> Result<ServerTls, Refusal> {
        let clients = ClientAuthentication::None;
        let ticketer = self.ticketers.get(&listener.name, tls.policy, clients);
        let ticketer = ticketer.map_err(Refusal::failed)?;
        Ok(ServerTls::new(
            tls,
            &listener.protocols,
            self.table.clone(),
            ticketer,
        ))
    }

    fn missing_defaults(&self, config: &Config) -> Vec<String> {
        let table = self.table.load();
        let missing = |listener: &Listener| match &listener.tls.as_ref()?.on_unknown_sni {
            UnknownSni::DefaultCertificate(name) if table.entry(name).is_empty() => Some(format!(
                "listener {}: its default_certificate `{name}` is not open in the store; \
                 `sealgate cert import {name}` puts it there",
                listener.name
            )),
            _ => None,
        };
        config.listeners.iter().filter_map(missing).collect()
    }

    fn warnings(&self, config: &Config) -> Vec<String> {
        let table = self.table.load();
        let listeners = config
            .listeners
            .iter()
            .filter_map(|l| Some((l, l.tls.as_ref()?)));
        listeners
            .flat_map(|(listener, tls)| listener_warnings(&table, listener, tls))
            .collect()
    }
}

fn listener_warnings(table: &CertTable, listener: &Listener, tls: &ListenerTls) -> Vec<String> {
    let shown = |selector: &CertificateSelector| table.iter().any(|c| selector.matches(&c.entry));
    let idle = tls.certificates.iter().filter(|selector| match selector {
        CertificateSelector::Name(name) => table.entry(name).is_empty(),
        other => !shown(other),
    });
    let mut warnings: Vec<_> = idle.map(|selector| {
        format!(
            "listener {}: no certificate in the store is meant by {}; clients that ask for one are refused \
             until it is imported",
            listener.name,
            spelled(selector)
        )
    }).collect();
    let now = SystemTime::now();
    let expired = |certificate: &&Arc<ServedCertificate>| {
        let meant = tls
            .certificates
            .iter()
            .any(|selector| selector.matches(&certificate.entry));
        meant && !certificate.is_valid_at(now)
    };
    warnings.extend(table.iter().filter(expired).map(|certificate| {
        format!(
            "listener {}: the certificate {} ({}) is valid from {} until {} only",
            listener.name,
            certificate.entry,
            certificate.key_type,
            describe::time(certificate.not_before),
            describe::time(certificate.not_after)
        )
    }));
    warnings
}

fn spelled(selector: &CertificateSelector) -> String {
    match selector {
        CertificateSelector::All => "`*`".to_owned(),
        CertificateSelector::Name(text) | CertificateSelector::Glob(text) => format!("`{text}`"),
    }
}

/// What is no reason to refuse a start, but wants somebody's attention.
fn remark_on_keys(kms: &Kms) {
    for damaged in kms.damaged() {
        error!("{}", damaged.error());
    }
    if !kms::secret::all_locked() {
        warn!(
            "the system locks no more memory for this process, so that keys may reach the swap: raise \
             LimitMEMLOCK"
        );
    }
}

fn refuse_region(directory: &StateDirectory, config: &Config) -> Result<(), Refusal> {
    let own = &directory.identity().region;
    match &config.region {
        Some(region) if region != own => Err(Refusal::usage(format!(
            "the configuration is for region `{region}`, but the state directory {} is of region `{own}`",
            directory.path().display()
        ))),
        _ => Ok(()),
    }
}

/// What a configuration says of keys.
fn custody_options(config: &Config) -> CustodyOptions {
    CustodyOptions {
        root_key: config.root_key.as_ref().map(root_key_source),
        certstore_key: Some(config.certstore_key.clone()),
        without_bucket_keys: !config.bucket_keys,
        audit: AuditOptions {
            mode: match config.audit.mode {
                config::AuditMode::Required => AuditMode::Required,
                config::AuditMode::Durable => AuditMode::Durable,
                config::AuditMode::BestEffort => AuditMode::BestEffort,
            },
            max_file_size: config.audit.max_file_size,
        },
        quotas: request_quotas(&config.quotas),
    }
}

fn request_quotas(quotas: &config::Quotas) -> RequestQuotas {
    RequestQuotas {
        symmetric: quotas.symmetric,
        rsa: quotas.rsa,
        ecc: quotas.ecc,
        create_key: quotas.create_key,
        grants: quotas.grants,
        read: quotas.read,
        change: quotas.change,
    }
}

fn log_change(change: &Change) {
    for served in &change.served {
        info!(
            certificate = served.entry,
            key_type = %served.key_type,
            serial = served.serial,
            not_after = describe::time(served.not_after),
            "swapped in"
        );
    }
    for removed in &change.removed {
        warn!(certificate = removed.entry, key_type = %removed.key_type, "no longer served");
    }
    for broken in &change.broken {
        error!(file = broken.file, reason = %broken.reason, "not served");
    }
}
