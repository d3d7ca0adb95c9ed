//! Where and when something was measured.

use std::fs;
use std::num::NonZeroUsize;

use serde::Serialize;

/// Where and when something was measured: figures from elsewhere compare with it as ratios at best.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// How many cores the load generator might use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The load generator with its version.
    pub tool: String,
    /// The time (RFC 3339).
    pub time: String,
}

impl Machine {
    /// This one, now.
    pub(super) fn this() -> Self {
        Self {
            processor: processor().unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            kernel: kernel().unwrap_or_else(|| "unknown".to_owned()),
            tool: concat!("sealgate bench ", env!("CARGO_PKG_VERSION")).to_owned(),
            time: now(),
        }
    }
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim().to_owned())
}

fn kernel() -> Option<String> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(format!("Linux {}", release.trim()))
}

fn now() -> String {
    let now = jiff::Timestamp::now();
    now.round(jiff::Unit::Second).unwrap_or(now).to_string()
}
