//! What `sealgate kms encrypt --file` makes, AWS's own library opens, and the other way round.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testbed::{Testbed, sealgate_binary};

/// The library, in a virtual environment of its own that is made once.
fn python() -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(VERSION);
    let python = home.join("bin/python");
    let installed = home.join("installed");
    if !installed.exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&home));
        let pip = ["-m", "pip", "install", "--quiet", VERSION];
        run(Command::new(&python).args(pip));
        fs::write(&installed, "").expect("the target directory is writable");
    }
    python
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}

/// Has the library encrypt or decrypt `source` to `target`.
fn library(testbed: &Testbed, operation: &str, key: &str, source: &str, target: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/suite/encryption_sdk.py");
    let mut command = Command::new(python());
    command.args([script, operation]).arg(sealgate_binary());
    command
        .arg(testbed.state())
        .args([key, source, target, "app=shop"]);
    run(command.current_dir(testbed.path()));
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn awss_library_and_sealgate_open_each_others_files() {
    let testbed = Testbed::new();
    let key = testbed.json(["kms", "key", "create"])["KeyMetadata"]["Arn"].clone();
    let key = key.as_str().expect("an ARN");
    // On a frame's border, beside it, and nothing at all.
    for len in [0, 1, 65_536, 200_000] {
        let plaintext = pattern(len);
        testbed.write("plain", &plaintext);
        let kms = ["kms", "encrypt", "--key", key, "--context", "app=shop"];
        let files = ["--file", "plain", "--out", "ours"];
        testbed.ok(kms.into_iter().chain(files));
        library(&testbed, "decrypt", key, "ours", "opened");
        assert!(
            fs::read(testbed.path().join("opened")).unwrap() == plaintext,
            "{len}"
        );

        // Theirs is signed, too.
        library(&testbed, "encrypt", key, "plain", "theirs");
        testbed.ok([
            "kms",
            "decrypt",
            "--file",
            "theirs",
            "--out",
            "opened",
            "--context",
            "app=shop",
        ]);
        assert!(
            fs::read(testbed.path().join("opened")).unwrap() == plaintext,
            "{len}"
        );
    }
}

#[test]
fn a_file_that_was_changed_is_not_written() {
    let testbed = Testbed::new();
    let alias = "alias/sealgate/certstore";
    let key = testbed.json(["kms", "key", "create"])["KeyMetadata"]["KeyId"].clone();
    let key = key.as_str().expect("an id");
    testbed.write("plain", pattern(150_000));
    testbed.ok([
        "kms", "encrypt", "--key", key, "--file", "plain", "--out", "sealed",
    ]);
    let sealed = fs::read(testbed.path().join("sealed")).unwrap();
    assert!(sealed.len() < 151_000);
    let out = testbed.path().join("opened");
    let files = || fs::read_dir(testbed.path()).unwrap().count();
    let before = files();
    let refused = |bytes: &[u8], why: &str| {
        testbed.write("changed", bytes);
        let said = testbed.refused(["kms", "decrypt", "--file", "changed", "--out", "opened"]);
        assert!(said.contains(why), "{said}");
        assert!(!out.exists());
        fs::remove_file(testbed.path().join("changed")).unwrap();
        assert_eq!(files(), before, "nothing is left");
    };
    let mut changed = sealed.clone();
    changed[100_000] ^= 1;
    refused(&changed, "frame 2");
    refused(&sealed[..140_000], "cut short in frame 3");
    refused(&[&sealed[..], b"x"].concat(), "follows the end");
    refused(b"something else", "no message of the AWS Encryption SDK");
    // Standard output has what was authentic, and the exit status says that it is not the whole.
    testbed.write("changed", &sealed[..140_000]);
    let outcome = testbed.run(["kms", "decrypt", "--file", "changed"]);
    assert_eq!(outcome.status, 1);
    // Not under another key, nor another context, nor the product's own.
    let said = testbed.refused([
        "kms", "decrypt", "--file", "sealed", "--out", "opened", "--key", alias,
    ]);
    assert!(said.contains("key"), "{said}");
    let context = ["--context", "app=mail"];
    let decrypt = ["kms", "decrypt", "--file", "sealed", "--out", "opened"];
    let said = testbed.refused(decrypt.into_iter().chain(context));
    assert!(said.contains("app=mail"), "{said}");
    testbed.ok(decrypt);
    assert!(fs::read(out).unwrap() == pattern(150_000));
}

const VERSION: &str = "aws-encryption-sdk==4.0.7";
