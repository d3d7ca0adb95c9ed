//! Child processes that end with the test, and waiting for events.

use std::net::TcpListener;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// A process that is killed when the test is done with it.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`.
    pub fn start(command: &mut Command) -> Self {
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { child }
    }

    /// A process that was started already.
    pub fn of(child: Child) -> Self {
        Self { child }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name: `TERM`, `HUP`, `KILL`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "kill -s {name} {pid}"
        );
    }

    /// The exit status, once it has ended; none while it runs.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits for the end, for at most `limit`.
    pub fn wait(&mut self, limit: Duration) -> std::process::ExitStatus {
        eventually("the process ends", limit, || self.ended())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `event` gives, once it gives something.
///
/// # Panics
/// When it has given nothing for `limit`.
pub fn eventually<T>(what: &str, limit: Duration, mut event: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = event() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A port that was free a moment ago, for programs that cannot let the kernel choose.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the kernel has a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}
