//! The signals that end a command.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Calls `act` for each SIGINT, SIGTERM and SIGHUP from here on, on a thread of that name, with the
/// exit status that shells report of a process that the signal ended. None of them ends the process
/// by itself any more.
///
/// # Errors
/// When the system gives no thread or no handler.
pub fn on_signal(thread: &str, mut act: impl FnMut(u8) + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let inside = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(inside);
    let thread = std::thread::Builder::new().name(thread.to_owned());
    thread.spawn(move || {
        loop {
            act(runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => INTERRUPTED,
                    _ = terminate.recv() => TERMINATED,
                    _ = hangup.recv() => HUNG_UP,
                }
            }));
        }
    })?;
    Ok(())
}

// 128 and the signal's number.
const HUNG_UP: u8 = 129;
/// What shells report of a process that Ctrl-C ended.
pub const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;
