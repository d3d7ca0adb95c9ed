//! Sealed and unsealed: what serves goes on, what takes a key is refused, says why, and is made up for.

use std::fs;
use std::time::Duration;

use testbed::{Authority, Balancer, Testbed, TlsClient, eventually};

use super::moves::{Load, YAML};
use super::{PASSPHRASE, refused, with_input, with_passphrase};

const NAME: &str = "shop.example.com";
const LATER: &str = "later.example.com";
const LONG: Duration = Duration::from_secs(60);

fn phase(testbed: &Testbed, wanted: &str) {
    eventually(wanted, LONG, || {
        let outcome = testbed.run(["status", "--output", "json"]);
        let status: serde_json::Value = serde_json::from_str(&outcome.stdout).ok()?;
        (status["phase"] == wanted).then_some(())
    });
}

#[test]
fn what_serves_goes_on_and_what_takes_a_key_waits() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    let balancer = testbed.start(YAML);
    testbed.imported(NAME, &authority.issue(&[NAME]));
    testbed.imported(LATER, &authority.issue(&[LATER]));
    let file = testbed.state().join("store").join(format!("{LATER}.e"));
    let sealed_entry = fs::read(&file).unwrap();
    testbed.ok(["cert", "delete", LATER, "--force"]);
    let load = Load::start(&authority, &balancer, NAME);

    let state = testbed.json(["kms", "seal"]);
    assert_eq!(state["wiped"], true, "{state}");
    let status = balancer.status();
    assert_eq!(
        (&status["phase"], &status["sealed"]),
        (&"serving".into(), &"somebody has sealed it".into())
    );
    refused(
        &testbed.import("c.example.com", &authority.issue(&["c.example.com"])),
        "is sealed: somebody has sealed it",
    );
    refused(&testbed.run(["kms", "root", "rotate"]), "is sealed");
    // One that came by other means.
    fs::write(&file, &sealed_entry).unwrap();
    eventually("the entry is refused, for the keys are away", LONG, || {
        let status = balancer.status();
        let entries = status["refused_entries"].as_array()?.clone();
        let reason = entries.first()?["reason"].as_str()?.to_owned();
        reason.contains("is sealed").then_some(())
    });
    let client = TlsClient::new(authority.root_pem());
    assert!(client.connect(balancer.address("https"), LATER).is_err());

    let state = testbed.json(["kms", "unseal"]);
    assert!(state["waits_for"].is_null(), "{state}");
    client
        .connect(balancer.address("https"), LATER)
        .expect("what was refused is made up for before the command returns");
    testbed.imported("c.example.com", &authority.issue(&["c.example.com"]));
    assert!(balancer.status()["sealed"].is_null());
    let answers = load.stop();
    println!("{answers} requests while it was sealed and unsealed, none failed");
    assert!(answers > 0);
}

#[test]
fn a_start_without_the_root_key_is_refused() {
    let testbed = Testbed::bare();
    with_passphrase(&testbed, &["init", "--root", "passphrase"], PASSPHRASE);
    testbed.write("sealgate.yaml", YAML);
    let run = ["run", "-c", "sealgate.yaml"];
    refused(
        &testbed.run(run),
        "is sealed: it takes the passphrase of its root key",
    );
    refused(
        &with_passphrase(&testbed, &run, "not what it was before"),
        "does not open the root key",
    );
    refused(&testbed.run(["check", "-c", "sealgate.yaml"]), "is sealed");
}

#[test]
fn a_start_that_may_wait_waits_for_a_passphrase() {
    let testbed = Testbed::bare();
    let authority = Authority::new();
    with_passphrase(&testbed, &["init", "--root", "passphrase"], PASSPHRASE);
    let issued = authority.issue(&[NAME]);
    issued.write(testbed.path(), "a");
    let import = ["cert", "import", NAME, "--cert", "a.pem", "--key", "a.key"];
    assert_eq!(with_passphrase(&testbed, &import, PASSPHRASE).status, 0);
    let port = testbed::free_port();
    let yaml = format!(
        "{YAML}kms: {{ root_key: passphrase, on_sealed: wait }}\nadmin: {{ http: 127.0.0.1:{port} }}\n"
    );
    testbed.write("sealgate.yaml", yaml);
    let balancer = Balancer::launch(&testbed, "sealgate.yaml");
    phase(&testbed, "sealed");
    let ready = || {
        let url = format!("http://127.0.0.1:{port}/readyz");
        let arguments = ["-s", "-o", "/dev/null", "-w", "%{http_code}", &url];
        let output = std::process::Command::new("curl").args(arguments).output();
        String::from_utf8_lossy(&output.expect("curl is installed").stdout).into_owned()
    };
    assert_eq!(ready(), "503");
    refused(
        &testbed.import(NAME, &issued),
        "is sealed: it takes the passphrase",
    );
    refused(&testbed.run(["reload"]), "is sealed");
    let wrong = with_passphrase(&testbed, &["kms", "unseal"], "not what it was before");
    refused(&wrong, "does not open the root key");
    let open = with_passphrase(&testbed, &["kms", "unseal"], PASSPHRASE);
    assert_eq!(open.status, 0, "{open:?}");
    phase(&testbed, "serving");
    let client = TlsClient::new(authority.root_pem());
    client.connect(balancer.address("https"), NAME).unwrap();
    assert_eq!(ready(), "200");
    // And again, without a restart.
    testbed.ok(["kms", "seal"]);
    assert_eq!(
        with_passphrase(&testbed, &["kms", "unseal"], PASSPHRASE).status,
        0
    );
    testbed.imported(NAME, &authority.issue(&[NAME]));
}

#[test]
fn shares_come_one_at_a_time_and_the_wrong_ones_are_named() {
    let (testbed, other) = (Testbed::bare(), Testbed::bare());
    let shares = |testbed: &Testbed| {
        let made = testbed.json(["init", "--root", "shamir:3of5"]);
        let shares = made["shares"].as_array().cloned().unwrap_or_default();
        let shares = shares.iter().filter_map(|share| share.as_str());
        shares.map(str::to_owned).collect::<Vec<_>>()
    };
    let (shares, foreign) = (shares(&testbed), shares(&other));
    testbed.write(
        "sealgate.yaml",
        format!("{YAML}kms: {{ root_key: shamir, on_sealed: wait }}\n"),
    );
    let _balancer = Balancer::launch(&testbed, "sealgate.yaml");
    phase(&testbed, "sealed");
    let bring = |share: &str| {
        let command = testbed.command(["kms", "unseal", "--passphrase-fd", "0"]);
        with_input(command, &format!("{share}\n"))
    };
    let still = |share: &str, needs: &str| {
        let outcome = bring(share);
        assert_eq!(outcome.status, 0, "{outcome:?}");
        assert!(outcome.stdout.contains(needs), "{outcome:?}");
    };
    still(&shares[3], "it takes 2 more of the 5 shares");
    refused(&bring(&shares[3]), "share 4 was given already");
    refused(&bring(&foreign[0]), "share 1 is of the root key");
    let mistyped = shares[0].replace(['q', 'p'], "x");
    refused(&bring(&mistyped), "mistyped");
    // Whatever was wrong has cost nothing.
    still(&shares[0].to_uppercase(), "it takes 1 more of the 5 shares");
    still(&shares[4].replace('-', ""), "is open");
    phase(&testbed, "serving");
}

#[test]
fn a_start_that_waits_ends_when_it_is_told_to() {
    let testbed = Testbed::bare();
    with_passphrase(&testbed, &["init", "--root", "passphrase"], PASSPHRASE);
    testbed.write(
        "sealgate.yaml",
        format!("{YAML}kms: {{ on_sealed: wait }}\n"),
    );
    let mut balancer = Balancer::launch(&testbed, "sealgate.yaml");
    phase(&testbed, "sealed");
    testbed.ok(["drain"]);
    assert!(balancer.process().wait(LONG).success());
    let mut balancer = Balancer::launch(&testbed, "sealgate.yaml");
    phase(&testbed, "sealed");
    balancer.process().signal("TERM");
    balancer.process().wait(LONG);
}
