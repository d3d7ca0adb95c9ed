//! The signals that a balancer obeys.

use std::io;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::admin::Control;

/// The signals, caught: those that come before a balancer is there to [`obey`](Self::obey) them wait.
pub struct Signals {
    runtime: Runtime,
    hangup: Signal,
    user1: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches SIGHUP, SIGUSR1, SIGTERM and SIGINT from here on.
    ///
    /// # Errors
    /// When the system gives no handler.
    pub fn catch() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let inside = runtime.enter();
        let (hangup, user1) = (
            signal(SignalKind::hangup())?,
            signal(SignalKind::user_defined1())?,
        );
        let (terminate, interrupt) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        drop(inside);
        Ok(Self {
            runtime,
            hangup,
            user1,
            terminate,
            interrupt,
        })
    }

    /// Obeys SIGHUP (reload), SIGUSR1 (open the logs anew), SIGTERM and SIGINT (drain; the second one
    /// ends the process at once) on a thread of its own, for as long as the process lives.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn obey(self, control: Arc<dyn Control>) -> io::Result<()> {
        let Self {
            runtime,
            mut hangup,
            mut user1,
            mut terminate,
            mut interrupt,
        } = self;
        let thread = std::thread::Builder::new().name("signals".to_owned());
        thread.spawn(move || {
            runtime.block_on(async move {
                let mut leaving = false;
                loop {
                    tokio::select! {
                        _ = hangup.recv() => reload(control.clone()),
                        _ = user1.recv() => control.reopen_logs(),
                        _ = terminate.recv() => leave(&*control, &mut leaving),
                        _ = interrupt.recv() => leave(&*control, &mut leaving),
                    }
                }
            });
        })?;
        Ok(())
    }
}

/// Apart from the other signals, which must not wait for it.
fn reload(control: Arc<dyn Control>) {
    tokio::task::spawn_blocking(move || match control.reload() {
        Ok(reloaded) => info!(
            config = reloaded.config,
            changes = reloaded.changes.join("; "),
            "reloaded"
        ),
        Err(refusal) => error!(
            why = refusal.brief(),
            "the configuration is refused, the old one stays"
        ),
    });
}

fn leave(control: &dyn Control, leaving: &mut bool) {
    if *leaving {
        warn!("a second signal: ending at once");
        std::process::exit(1);
    }
    *leaving = true;
    let draining = control.drain();
    control.leave();
    info!(
        connections = draining.connections,
        deadline_s = draining.deadline_s,
        "draining; a second signal ends at once"
    );
}
