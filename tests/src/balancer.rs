//! A running `sealgate run`.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::process::{Process, eventually};
use crate::testbed::Testbed;

/// A balancer in a process of its own; ended with the value.
pub struct Balancer<'t> {
    testbed: &'t Testbed,
    process: Process,
    log: PathBuf,
}

impl<'t> Balancer<'t> {
    /// Starts `sealgate run -c CONFIG` and waits until it serves.
    ///
    /// # Panics
    /// When it ends instead, with its log.
    pub fn start(testbed: &'t Testbed, config: &str) -> Self {
        let mut balancer = Self::launch(testbed, config);
        eventually("the balancer serves", START, || {
            if let Some(status) = balancer.process.ended() {
                panic!("the balancer ended with {status}:\n{}", balancer.log());
            }
            let outcome = testbed.run(["status", "--output", "json"]);
            let status: Value = serde_json::from_str(&outcome.stdout).ok()?;
            (status["phase"] == "serving").then_some(())
        });
        balancer
    }

    /// Starts `sealgate run -c CONFIG` and waits for nothing.
    pub fn launch(testbed: &'t Testbed, config: &str) -> Self {
        let log = testbed.path().join("balancer.log");
        let file = File::options().create(true).append(true).open(&log);
        let file = file.expect("the scratch directory is writable");
        let copy = file.try_clone().expect("a file can be shared");
        let mut command = testbed.command(["run", "-c", config, "--log-format", "json"]);
        let process = Process::start(command.stdout(copy).stderr(file));
        Self {
            testbed,
            process,
            log,
        }
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it has logged so far, its access log included where that goes to standard output.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `sealgate status`.
    pub fn status(&self) -> Value {
        self.testbed.json(["status"])
    }

    /// The address of the listener `name`, with the port that the kernel chose.
    pub fn address(&self, name: &str) -> SocketAddr {
        let status = self.status();
        let listeners = status["listeners"].as_array().cloned().unwrap_or_default();
        let found = listeners.iter().find(|listener| listener["name"] == name);
        let bind = found.and_then(|listener| listener["bind"].as_str());
        bind.and_then(|bind| bind.parse().ok())
            .unwrap_or_else(|| panic!("no listener {name} in {status}"))
    }

    /// Waits until every target is healthy.
    pub fn wait_healthy(&self) {
        eventually("every target is healthy", START, || {
            let status = self.status();
            let groups = status["target_groups"].as_array()?;
            let mut targets = groups
                .iter()
                .filter_map(|group| group["targets"].as_array())
                .flatten();
            targets
                .all(|target| target["health"] == "healthy")
                .then_some(())
        });
    }
}

/// Ten times what a start takes on a slow machine.
const START: Duration = Duration::from_secs(60);
