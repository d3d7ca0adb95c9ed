//! What the product is made of: licences that go with the Apache License only, one TLS stack, one cryptographic provider for it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The packages that the workspace is built from, by cargo's own account, without the network.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .expect("cargo can be started");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    metadata["packages"]
        .as_array()
        .expect("it lists packages")
        .clone()
}

fn text<'v>(package: &'v Value, field: &str) -> &'v str {
    package[field].as_str().unwrap_or_default()
}

#[test]
fn every_licence_goes_with_ours() {
    for package in packages() {
        let licence = text(&package, "license").replace('/', " OR ");
        // Of alternatives one is enough; of what is joined by AND all must be allowed.
        let allowed = |one: &str| ALLOWED.contains(&one.trim().trim_matches(['(', ')']));
        let chosen = licence
            .split(" OR ")
            .any(|choice| choice.split(" AND ").all(allowed));
        assert!(chosen, "{} is under {licence:?}", text(&package, "name"));
    }
}

#[test]
fn one_tls_stack_and_one_provider() {
    let packages = packages();
    let versions = |name: &str| packages.iter().filter(|p| text(p, "name") == name).count();
    for once in [
        "rustls",
        "tokio-rustls",
        "aws-lc-rs",
        "hyper",
        "h2",
        "rustls-webpki",
    ] {
        assert_eq!(versions(once), 1, "{once}");
    }
    for never in [
        "openssl",
        "openssl-sys",
        "native-tls",
        "boring",
        "s2n-tls",
        "hyper-rustls",
    ] {
        assert_eq!(versions(never), 0, "{never}");
    }
}

const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "MPL-2.0+",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];
