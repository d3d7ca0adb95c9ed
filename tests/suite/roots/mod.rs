//! Roots of trust: every place that keeps a root key opens what was sealed under it, and nothing else does.

mod moves;
mod sealing;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use testbed::{Authority, Outcome, Testbed};

const PASSPHRASE: &str = "six random words are a good one";

/// Runs a command with `input` on its standard input.
fn with_input(mut command: Command, input: &str) -> Outcome {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("sealgate can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    // A command that refuses at once does not read it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    Outcome {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `sealgate ARGUMENTS --passphrase-fd 0` with a passphrase.
fn with_passphrase(testbed: &Testbed, arguments: &[&str], passphrase: &str) -> Outcome {
    let fd = ["--passphrase-fd", "0"];
    let command = testbed.command(arguments.iter().chain(&fd));
    with_input(command, &format!("{passphrase}\n"))
}

/// A directory as the service manager hands it over, with the credential `root`.
fn credentials(testbed: &Testbed) -> PathBuf {
    let directory = testbed.path().join("credentials");
    fs::create_dir(&directory).expect("the scratch directory is writable");
    let root = directory.join("root");
    fs::write(&root, [7; 32]).expect("the scratch directory is writable");
    fs::set_permissions(&root, PermissionsExt::from_mode(0o400)).expect("it is the test's own");
    directory
}

fn refused(outcome: &Outcome, why: &str) {
    assert_eq!(outcome.status, 1, "{outcome:?}");
    assert!(outcome.stderr.contains(why), "{outcome:?}");
}

#[test]
fn a_passphrase_opens_the_keys_and_another_one_does_not() {
    let testbed = Testbed::bare();
    let made = with_passphrase(&testbed, &["init", "--root", "passphrase"], PASSPHRASE);
    assert_eq!(made.status, 0, "{made:?}");
    assert!(!testbed.root_key().exists());
    let list = ["kms", "key", "list"];
    assert_eq!(with_passphrase(&testbed, &list, PASSPHRASE).status, 0);
    let wrong = with_passphrase(&testbed, &list, "six random words are a good onf");
    refused(&wrong, "the passphrase does not open the root key");
    refused(
        &testbed.run(list),
        "the key management service is sealed: it takes the passphrase",
    );
}

#[test]
fn a_short_passphrase_makes_nothing() {
    let testbed = Testbed::bare();
    let refusal = with_passphrase(&testbed, &["init", "--root", "passphrase"], "short");
    refused(&refusal, "at least 12 characters");
    assert!(!testbed.state().join("manifest.json").exists());
    testbed.ok(["init"]);
}

#[test]
fn a_credential_opens_the_keys_for_the_service_that_has_it() {
    let testbed = Testbed::bare();
    let directory = credentials(&testbed);
    let run = |arguments: &[&str]| {
        let mut command = testbed.command(arguments);
        command.env("CREDENTIALS_DIRECTORY", &directory);
        with_input(command, "")
    };
    let made = run(&["init", "--root", "credential:root"]);
    assert_eq!(made.status, 0, "{made:?}");
    assert_eq!(run(&["kms", "key", "list"]).status, 0);
    let without = testbed.run(["kms", "key", "list"]);
    refused(&without, "cannot be had from the systemd credential `root`");
}

#[test]
fn a_service_can_have_its_passphrase_as_a_credential() {
    let testbed = Testbed::bare();
    with_passphrase(&testbed, &["init", "--root", "passphrase"], PASSPHRASE);
    let directory = credentials(&testbed);
    fs::write(directory.join("sealgate.passphrase"), PASSPHRASE).unwrap();
    let authority = Authority::new();
    let mut command = testbed.command(["kms", "key", "list"]);
    command.env("CREDENTIALS_DIRECTORY", &directory);
    assert_eq!(with_input(command, "").status, 0);
    // Without it, nothing is sealed either.
    let issued = authority.issue(&["a.example.com"]);
    refused(&testbed.import("a.example.com", &issued), "is sealed");
}

#[test]
fn shares_are_shown_once_and_nothing_opens_without_them() {
    let testbed = Testbed::bare();
    let made = testbed.json(["init", "--root", "shamir:3of5"]);
    assert_eq!(made["shares"].as_array().map(Vec::len), Some(5), "{made}");
    let sealed = testbed.run(["kms", "key", "list"]);
    refused(&sealed, "it takes 3 more of the 5 shares of its root key");
}
