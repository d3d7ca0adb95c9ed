//! What the service manager is told (sd_notify(3)). Without one, nothing happens.

use sd_notify::NotifyState;
use tracing::warn;

/// Listeners are bound and certificates open: clients may come.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The start is over as far as this process can bring it: `why` it serves nothing yet.
pub fn waiting(why: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(why)]);
}

/// A reload begins; [`ready`] ends it, whatever came of it.
pub fn reloading() {
    // systemd from version 253 on insists on the time beside it.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => warn!(%error, "the service manager was not told of a reload: no clock"),
    }
}

/// The drain begins, and may take `limit`.
pub fn stopping(limit: std::time::Duration) {
    let limit = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(limit)]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "the service manager does not hear");
    }
}
