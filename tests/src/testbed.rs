//! A directory of its own for each test, and the `sealgate` command in it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::balancer::Balancer;
use crate::pki::Issued;

/// A scratch directory with an initialised state directory.
pub struct Testbed {
    directory: TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Outcome {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Testbed {
    /// A fresh directory in which `sealgate init` has run.
    pub fn new() -> Self {
        let testbed = Self::bare();
        testbed.ok(["init"]);
        testbed
    }

    /// A fresh directory, empty.
    pub fn bare() -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        Self { directory }
    }

    /// The scratch directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The root key file.
    pub fn root_key(&self) -> PathBuf {
        self.path().join("state.root.key")
    }

    /// Writes a file into the scratch directory.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).expect("the scratch directory is writable");
        path
    }

    /// `sealgate ARGUMENTS --state STATE`, to be run.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(sealgate_binary());
        command
            .args(arguments)
            .arg("--state")
            .arg(self.state())
            .current_dir(self.path())
            .stdin(Stdio::null())
            .env("TMPDIR", self.path())
            .env("NO_COLOR", "1");
        command
    }

    /// Runs `sealgate ARGUMENTS`.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Outcome {
        let output = self
            .command(arguments)
            .output()
            .expect("sealgate can be started");
        Outcome {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs `sealgate ARGUMENTS`, which must succeed, and gives its standard output.
    pub fn ok<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        let outcome = self.run(arguments);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        outcome.stdout
    }

    /// Runs `sealgate ARGUMENTS`, which must fail, and gives its standard error.
    pub fn refused<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        let outcome = self.run(arguments);
        assert_ne!(outcome.status, 0, "{outcome:?}");
        outcome.stderr
    }

    /// Runs `sealgate ARGUMENTS --output json` and reads what it prints.
    pub fn json<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> serde_json::Value {
        let arguments = arguments.into_iter().chain(["--output", "json"]);
        let text = self.ok(arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// `sealgate cert import NAME` of a certificate that the test made, by files that are gone afterwards.
    pub fn import(&self, name: &str, issued: &Issued) -> Outcome {
        let (chain, key) = issued.write(self.path(), "import");
        let files = [chain.as_os_str(), key.as_os_str()];
        let outcome = self.run([
            "cert".as_ref(),
            "import".as_ref(),
            OsStr::new(name),
            "--cert".as_ref(),
            files[0],
            "--key".as_ref(),
            files[1],
            "--output".as_ref(),
            "json".as_ref(),
        ]);
        for file in files {
            fs::remove_file(file).expect("the test wrote it");
        }
        outcome
    }

    /// The same, which must succeed, and what it prints.
    pub fn imported(&self, name: &str, issued: &Issued) -> serde_json::Value {
        let outcome = self.import(name, issued);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        serde_json::from_str(&outcome.stdout).expect("it prints JSON")
    }

    /// Starts a balancer with this configuration and waits until it serves.
    pub fn start(&self, yaml: &str) -> Balancer<'_> {
        self.write("sealgate.yaml", yaml);
        Balancer::start(self, "sealgate.yaml")
    }
}

impl Default for Testbed {
    fn default() -> Self {
        Self::new()
    }
}

/// The `sealgate` binary of this build, built if need be.
pub fn sealgate_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("SEALGATE_BINARY") {
            return given.into();
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args([
            "build",
            "--quiet",
            "--package",
            "sealgate",
            "--bin",
            "sealgate",
        ]);
        build.args(["--message-format", "json"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = build
            .current_dir(manifest)
            .stderr(Stdio::inherit())
            .output();
        let output = output.expect("cargo can be started");
        assert!(output.status.success(), "sealgate does not build");
        executable(&String::from_utf8_lossy(&output.stdout)).expect("cargo names the binary")
    })
}

/// The binary that cargo's messages speak of.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().rev();
    let mut values =
        messages.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    values.find_map(|value| value["executable"].as_str().map(PathBuf::from))
}
