//! The application: configuration and sealed store in, listeners out.
//!
//! A start goes: lock the state directory, open keys and certificates ([`Foundation`]), make the
//! configuration ready off to the side ([`Prepared`]), bind every socket, probe the targets once, and
//! only then serve. A reload takes the same way, and replaces what is in force as one value or not at all.

mod control;
mod desk;
mod foundation;
pub mod keys;
mod limits;
mod publish;
mod reload;
mod sealed;
mod status;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use certstore::Watcher;
use config::{Config, Loaded};
use kms::{DirectoryLock, Kms, StateDirectory};
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;
use tracing::{error, info, warn};

use desk::Desk;
pub use foundation::{Foundation, Prepared};
pub use sealed::wait_for_keys;
use watch::Digest;

use crate::admin::Control;
use crate::admin::protocol::Refusal;
use crate::admin::rendezvous;
use crate::admin::server::{self, Bound, Endpoints, Served};
use crate::admin::supervisor;
use crate::published::Published;
use crate::request::Balancer;
use crate::worker::Workers;

/// A running balancer.
pub struct App {
    me: Weak<Self>,
    directory: StateDirectory,
    config_file: PathBuf,
    started: SystemTime,
    foundation: Arc<Foundation>,
    published: Arc<ArcSwap<Published>>,
    workers: Workers,
    certificates: Watcher,
    runtime: Handle,
    admin_http: Option<std::net::SocketAddr>,
    phase: ArcSwap<Phase>,
    /// Whether the drain has begun.
    leaving: AtomicBool,
    /// Held from reading a configuration until it is in force: one reload at a time.
    reloading: Mutex<()>,
    in_force: Mutex<InForce>,
    admin: Mutex<Option<Served>>,
    end: Mutex<Option<Ended>>,
    ended: Condvar,
    _lock: DirectoryLock,
}

/// What a start has to begin with: a state directory, and the keys in it.
pub struct Keys {
    /// The state directory.
    pub directory: StateDirectory,
    /// The right to write there.
    pub lock: DirectoryLock,
    /// Its KMS.
    pub kms: Kms,
    /// The [`admin_runtime`].
    pub runtime: Handle,
}

/// About the configuration in force.
struct InForce {
    loaded: SystemTime,
    /// Why the newest one is not.
    refused: Option<String>,
}

/// What the balancer is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Draining,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// How the drain went.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// Connections that were cut at the deadline.
    pub cut: usize,
}

impl App {
    /// Starts to serve `loaded`, which came from `config_file`, from the state directory.
    ///
    /// # Errors
    /// Why it cannot: nothing is bound or changed then.
    pub fn start(
        Keys {
            directory,
            lock,
            kms,
            runtime,
        }: Keys,
        config_file: &Path,
        loaded: Loaded,
    ) -> Result<Arc<Self>, Refusal> {
        limits::raise_open_files();
        let digest = watch::digest_of(loaded.text.as_bytes());
        let config = Arc::new(loaded.config.clone());
        let workers = worker_count(&config);
        let foundation = Foundation::open(directory.clone(), kms, &config, workers, Some(&lock))?;
        let foundation = Arc::new(foundation);
        let secrets = foundation.open_secrets(&loaded)?;
        let log = foundation.access_log(&config, None)?;
        let prepared = foundation.prepare(config.clone(), &secrets, None, log)?;
        prepared
            .warnings
            .iter()
            .for_each(|warning| warn!("{warning}"));
        let admin = bind_admin(&directory, &config)?;
        let sockets = reload::bind_all(&config.listeners, workers)?;
        probe_once(&prepared.published, &runtime)?;
        let published = Arc::new(ArcSwap::new(prepared.published));
        let served = serve_clients(&foundation, &published, workers, &config)?;
        let certificates = foundation.watch(&directory)?;
        let config_file = std::path::absolute(config_file).map_err(Refusal::failed)?;
        let app = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            certificates,
            config_file,
            started: SystemTime::now(),
            foundation,
            published,
            workers: served,
            runtime,
            admin_http: admin.http_address(),
            phase: ArcSwap::from_pointee(Phase::Starting),
            leaving: AtomicBool::new(false),
            reloading: Mutex::new(()),
            in_force: Mutex::new(InForce {
                loaded: SystemTime::now(),
                refused: None,
            }),
            admin: Mutex::new(None),
            end: Mutex::new(None),
            ended: Condvar::new(),
            directory,
            _lock: lock,
        });
        reload::add_all(&app.workers, sockets, prepared.settings)?;
        app.announce(admin, digest)?;
        Ok(app)
    }

    /// Waits until a drain has ended, and closes what was open.
    pub fn wait(&self) -> Ended {
        let mut end = self.end.lock();
        let ended = loop {
            match *end {
                Some(ended) => break ended,
                None => self.ended.wait(&mut end),
            }
        };
        drop(end);
        // What is cut with the threads still has its line in the log.
        self.workers.end();
        if let Some(log) = self.published.load().access_log() {
            log.close();
        }
        *self.admin.lock() = None;
        self.foundation.close_audit_log();
        match ended.cut {
            0 => info!("drained"),
            cut => warn!(
                connections = cut,
                "connections were cut at the drain's deadline"
            ),
        }
        ended
    }
}

impl App {
    /// Opens the doors: answers on the admin endpoints, follows the configuration file, obeys.
    fn announce(self: &Arc<Self>, admin: Bound, digest: Digest) -> Result<(), Refusal> {
        let control: Arc<dyn Control> = self.clone();
        let desk = Desk::new(self.foundation.clone(), control.clone());
        let served = admin.serve(&self.runtime, Arc::new(desk), control);
        *self.admin.lock() = Some(served.map_err(Refusal::failed)?);
        watch::follow(self, digest)?;
        self.look_again_when_audited();
        self.runtime.spawn(keep_time(Arc::downgrade(self)));
        self.runtime
            .spawn_blocking(finish_move(self.foundation.clone()));
        self.phase.store(Arc::new(Phase::Serving));
        supervisor::ready();
        info!(config = %self.config_file.display(), "serving");
        Ok(())
    }

    /// Entries that could not be opened while the audit log could not be written are looked at again when it
    /// can.
    fn look_again_when_audited(&self) {
        let (app, runtime) = (self.me.clone(), self.runtime.clone());
        let refresh = move || {
            let app = app.clone();
            runtime.spawn_blocking(move || app.upgrade().map(|app| app.refresh()));
        };
        self.foundation.on_audit_recovery(refresh);
    }

    fn phase(&self) -> Phase {
        **self.phase.load()
    }
}

/// Goes on with a move of the root key that was cut short, beside everything else.
fn finish_move(foundation: Arc<Foundation>) -> impl FnOnce() + Send + 'static {
    move || match foundation.custody().finish_move() {
        Ok(true) => info!("the move of the root key that was cut short is finished"),
        Ok(false) => {}
        Err(error) => warn!(%error, "the move of the root key that was cut short cannot go on"),
    }
}

/// Becomes the writer of the state directory; a command that is at work there is waited for.
///
/// # Errors
/// Who holds it, or what the system says.
pub fn lock(directory: &StateDirectory, holder: &str) -> Result<DirectoryLock, Refusal> {
    let deadline = Instant::now() + LOCK;
    loop {
        match directory.lock(holder) {
            Err(kms::Error::Locked { .. }) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome => return outcome.map_err(Refusal::failed),
        }
    }
}

/// Does what is due from time to time.
async fn keep_time(app: Weak<App>) {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tick.tick().await;
        let Some(app) = app.upgrade() else { return };
        app.foundation.end_keys();
        let foundation = app.foundation.clone();
        drop(app);
        // Off this thread: it waits for the disk. One at a time.
        let tended = tokio::task::spawn_blocking(move || {
            // A sealed one catches up after it was unsealed.
            if let Ok(kms) = foundation.custody().kms() {
                keys::tend(&kms);
            }
        });
        if let Err(error) = tended.await {
            error!("the KMS keys were not looked after: {error}");
        }
    }
}

fn worker_count(config: &Config) -> usize {
    config
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

fn bind_admin(directory: &StateDirectory, config: &Config) -> Result<Bound, Refusal> {
    let by_default = || directory.path().join(rendezvous::SOCKET);
    let endpoints = Endpoints {
        admin: config.admin.socket.clone().unwrap_or_else(by_default),
        kms: config.kms_socket.clone(),
        http: config.admin.http,
    };
    server::bind(directory.path(), &endpoints).map_err(Refusal::failed)
}

/// A runtime on a thread of its own, for whatever must not keep a worker waiting: probes, the admin
/// endpoints, timers. It lives as long as the process.
///
/// # Errors
/// When the system gives none.
pub fn admin_runtime() -> Result<Handle, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(Refusal::failed)?;
    let handle = runtime.handle().clone();
    let thread = std::thread::Builder::new().name("admin".to_owned());
    let forever = move || runtime.block_on(std::future::pending::<()>());
    thread.spawn(forever).map_err(Refusal::failed)?;
    Ok(handle)
}

/// Probes every target once before anybody is let in, but waits for no slow one.
fn probe_once(published: &Arc<Published>, runtime: &Handle) -> Result<(), Refusal> {
    published.start_probes(runtime);
    let (done, probed) = std::sync::mpsc::sync_channel(1);
    let round = published.clone();
    runtime.spawn(async move {
        round.first_round(FIRST_ROUND).await;
        // Whoever waited may have given up.
        let _ = done.send(());
    });
    probed
        .recv()
        .map_err(|_| Refusal::failed("the health checks could not be started"))
}

fn serve_clients(
    foundation: &Foundation,
    published: &Arc<ArcSwap<Published>>,
    workers: usize,
    config: &Config,
) -> Result<Workers, Refusal> {
    let (published, metrics) = (published.clone(), foundation.metrics().clone());
    let service = move |worker| {
        warm_up();
        Balancer::new(published.clone(), metrics.clone(), worker, rand::random())
    };
    let most = limits::connections(config.max_connections);
    Workers::start(workers, most, service).map_err(Refusal::failed)
}

/// Draws a first random number: AWS-LC seeds a generator for each thread, which takes some 50 ms that
/// would else be the first client's.
fn warm_up() {
    if aws_lc_rs::rand::fill(&mut [0]).is_err() {
        warn!("the system gives no random numbers");
    }
}

/// How long a start waits for a command that holds the state directory.
const LOCK: Duration = Duration::from_secs(5);
/// How long a start waits for the targets' first probes.
const FIRST_ROUND: Duration = Duration::from_secs(3);
/// How often is looked whether something is due.
const TICK: Duration = Duration::from_secs(60);
