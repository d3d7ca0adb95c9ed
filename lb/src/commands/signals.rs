//! The signals that a balancer obeys.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};

use crate::admin::Control;

/// Obeys SIGHUP (reload), SIGUSR1 (open the logs anew), SIGTERM and SIGINT (drain; the second one
/// ends the process at once) on a thread of its own, for as long as the process lives.
///
/// # Errors
/// When the system gives no thread or no handler.
pub fn obey(control: Arc<dyn Control>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let inside = runtime.enter();
    let mut hangup = signal(SignalKind::hangup())?;
    let mut user1 = signal(SignalKind::user_defined1())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    drop(inside);
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

/// Apart from the other signals, which must not wait for it.
fn reload(control: Arc<dyn Control>) {
    tokio::task::spawn_blocking(move || match control.reload() {
        Ok(reloaded) => info!(config = reloaded.config, changes = ?reloaded.changes, "reloaded"),
        Err(refusal) => error!("the configuration is refused, the old one stays: {refusal}"),
    });
}

fn leave(control: &dyn Control, leaving: &mut bool) {
    if *leaving {
        warn!("a second signal: ending at once");
        std::process::exit(1);
    }
    *leaving = true;
    let draining = control.drain();
    info!(
        connections = draining.connections,
        deadline_s = draining.deadline_s,
        "draining; a second signal ends at once"
    );
}
