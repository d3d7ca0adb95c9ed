//! Bad inputs: each gets one clear error, and nothing that served before stops serving.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use testbed::{Authority, Balancer, KeyKind, Testbed, TlsClient, eventually};

const YAML: &str = "version: 1
listeners:
  https:
    bind: 127.0.0.1:0
    tls: { policy: modern, certificates: [\"*\"] }
    action: { respond: { status: 200, body: fine } }
";

/// The sealed files of the store.
fn sealed_files(testbed: &Testbed) -> Vec<PathBuf> {
    let files = fs::read_dir(testbed.state().join("store")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

fn import(testbed: &Testbed, authority: &Authority, name: &str) {
    testbed.imported(name, &authority.issue(&[name]));
}

#[test]
fn what_cannot_be_served_is_not_imported() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    let good = authority.issue(&["shop.example.com"]);
    let (chain, key) = good.write(testbed.path(), "good");
    let (_, other_key) = authority
        .issue(&["shop.example.com"])
        .write(testbed.path(), "other");
    let (expired, expired_key) = authority
        .issue_expired(&["shop.example.com"])
        .write(testbed.path(), "expired");
    let try_import = |cert: &PathBuf, key: &PathBuf| {
        testbed.refused([
            "cert",
            "import",
            "shop.example.com",
            "--cert",
            cert.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
        ])
    };
    let said = try_import(&chain, &other_key);
    assert!(
        said.contains("belongs to none of the certificates"),
        "{said}"
    );
    let said = try_import(&expired, &expired_key);
    assert!(said.contains("expired"), "{said}");
    let said = try_import(&key, &key);
    assert!(said.to_lowercase().contains("certificate"), "{said}");
    let said = try_import(&testbed.path().join("nowhere.pem"), &key);
    assert!(said.contains("nowhere.pem"), "{said}");
    assert!(sealed_files(&testbed).is_empty());

    let reversed = testbed.write(
        "reversed.pem",
        format!("{}{}", authority.intermediate_pem(), good.leaf),
    );
    let imported = testbed.run([
        "cert",
        "import",
        "shop.example.com",
        "--cert",
        reversed.to_str().unwrap(),
        "--key",
        key.to_str().unwrap(),
    ]);
    assert_eq!(imported.status, 0, "{imported:?}");
    assert!(imported.stderr.contains("order"), "{imported:?}");
}

#[test]
fn a_bad_file_is_named_and_disturbs_nobody() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    import(&testbed, &authority, "a.example.com");
    import(&testbed, &authority, "b.example.com");
    let balancer = testbed.start(YAML);
    let address = balancer.address("https");
    let client = TlsClient::new(authority.root_pem());
    let victim = sealed_files(&testbed)
        .into_iter()
        .find(|f| f.display().to_string().contains("a.example.com"))
        .unwrap();
    let name = victim.file_name().unwrap().to_str().unwrap().to_owned();
    let whole = fs::read(&victim).unwrap();
    let serial = client.connect(address, "a.example.com").unwrap().serial();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for bad in [&whole[..whole.len() / 2], &flipped, b"", b"garbage"] {
        fs::write(&victim, bad).unwrap();
        let refused = eventually("the file is refused", Duration::from_secs(30), || {
            let refused = balancer.status()["refused_entries"].to_string();
            refused.contains(&name).then_some(refused)
        });
        assert!(refused.contains(&name), "{refused}");
        assert_eq!(
            client.connect(address, "a.example.com").unwrap().serial(),
            serial
        );
        client.connect(address, "b.example.com").unwrap();
        let verdict = testbed.run(["store", "verify"]);
        assert_eq!(verdict.status, 1, "{verdict:?}");
        assert!(
            format!("{}{}", verdict.stdout, verdict.stderr).contains(&name),
            "{verdict:?}"
        );
    }
    fs::write(&victim, &whole).unwrap();
    eventually("the file is good again", Duration::from_secs(30), || {
        (balancer.status()["refused_entries"] == serde_json::json!([])).then_some(())
    });
    let copy = victim.with_file_name(name.replace("a.example.com", "c.example.com"));
    fs::copy(&victim, &copy).unwrap();
    eventually("a copy is refused", Duration::from_secs(30), || {
        balancer.status()["refused_entries"]
            .to_string()
            .contains("c.example.com")
            .then_some(())
    });
    assert!(client.connect(address, "c.example.com").is_err());
    assert_eq!(
        client.connect(address, "a.example.com").unwrap().serial(),
        serial
    );
}

#[test]
fn a_flipped_bit_at_every_byte_is_found() {
    let testbed = Testbed::new();
    let issued = Authority::new().issue_with(
        &["a.example.com"],
        KeyKind::Ed25519,
        Duration::from_secs(86400),
    );
    testbed.imported("a.example.com", &issued);
    let file = sealed_files(&testbed).remove(0);
    let whole = fs::read(&file).unwrap();
    // Every byte is flipped in the certificate store's own tests; here a sample through the command.
    for at in (0..whole.len()).step_by(whole.len() / 24 + 1) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x80;
        fs::write(&file, flipped).unwrap();
        let verdict = testbed.run(["store", "verify"]);
        assert_eq!(verdict.status, 1, "byte {at}: {verdict:?}");
        assert!(
            verdict.stdout.contains("a.example.com"),
            "byte {at}: {verdict:?}"
        );
    }
}

#[test]
fn a_root_key_that_is_wrong_missing_or_exposed_is_refused() {
    let testbed = Testbed::new();
    import(&testbed, &Authority::new(), "a.example.com");
    testbed.write("sealgate.yaml", YAML);
    let root_key = testbed.root_key();
    let own = fs::read(&root_key).unwrap();
    let refused = || {
        let said = testbed.refused(["store", "verify"]);
        assert_eq!(
            said.lines()
                .filter(|line| line.starts_with("error"))
                .count(),
            1,
            "{said}"
        );
        let mut balancer = Balancer::launch(&testbed, "sealgate.yaml");
        let status = balancer.process().wait(Duration::from_secs(60));
        assert_eq!(status.code(), Some(1), "{}", balancer.log());
        said
    };
    fs::set_permissions(&root_key, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(refused().contains("chmod 0600"));
    fs::set_permissions(&root_key, PermissionsExt::from_mode(0o600)).unwrap();
    let other = Testbed::new();
    fs::copy(other.root_key(), &root_key).unwrap();
    assert!(refused().contains("fingerprint"));
    fs::remove_file(&root_key).unwrap();
    assert!(refused().contains("missing"));
    fs::write(&root_key, own).unwrap();
    fs::set_permissions(&root_key, PermissionsExt::from_mode(0o600)).unwrap();
    testbed.ok(["store", "verify"]);
}

#[test]
fn every_fault_of_a_configuration_is_told_at_once_and_the_old_one_serves() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    import(&testbed, &authority, "a.example.com");
    let balancer = testbed.start(YAML);
    let address = balancer.address("https");
    testbed.write(
        "sealgate.yaml",
        format!("{YAML}    colour: red\nupstreams: {{}}\nrules: [ {{ forward: nowhere }} ]\n"),
    );
    let said = testbed.run(["check", "-c", "sealgate.yaml"]);
    assert_eq!(said.status, 2, "{said:?}");
    for fault in [
        "colour",
        "upstreams",
        "target_groups",
        "nowhere",
        "sealgate.yaml:",
    ] {
        assert!(said.stderr.contains(fault), "{fault}: {}", said.stderr);
    }
    assert_eq!(testbed.run(["reload"]).status, 2);
    assert!(balancer.status()["refused_config"].is_string());
    TlsClient::new(authority.root_pem())
        .connect(address, "a.example.com")
        .unwrap();
}
