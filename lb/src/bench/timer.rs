//! A timer that is exact to some ten microseconds: those of the runtime are in milliseconds, and a
//! rate kept with them comes in bursts.

use std::io;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::net::unix::pipe;
use tokio::time::Instant;

/// A timer of the kernel (timerfd_create(2)). It is read as a pipe is: eight bytes when it is due.
#[derive(Debug)]
pub(super) struct Timer(pipe::Receiver);

impl Timer {
    /// A timer for the runtime that this is called in.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        pipe::Receiver::from_owned_fd_unchecked(timer).map(Self)
    }

    /// Waits until `due`; only one may wait at a time.
    ///
    /// # Errors
    /// When the system does not keep the time.
    pub(super) async fn wait(&self, due: Instant) -> io::Result<()> {
        let time = due.saturating_duration_since(Instant::now());
        if time.is_zero() {
            return Ok(());
        }
        self.set(time)?;
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut [0; 8]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(drop),
            }
        }
    }

    fn set(&self, time: Duration) -> io::Result<()> {
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        let once = Itimerspec {
            it_interval: Timespec::default(),
            it_value: time,
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_lets_go_when_it_is_due_and_not_before() {
        let timer = Timer::new().expect("a timer");
        for micros in [0, 200, 1500] {
            let due = Instant::now() + Duration::from_micros(micros);
            timer.wait(due).await.expect("it keeps the time");
            assert!(Instant::now() >= due);
        }
    }
}
