//! What the running configuration needs is not deleted by mistake.

use std::fs;

use testbed::{Authority, Testbed};

#[test]
fn what_is_in_use_is_named_and_stays_without_force() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    for name in ["shown.example.com", "spare.example.com"] {
        testbed.imported(name, &authority.issue(&[name]));
    }
    let ca = testbed.path().join("ca.pem");
    fs::write(&ca, authority.root_pem()).unwrap();
    for name in ["internal", "spare"] {
        testbed.ok(["trust", "import", name, "--ca", "ca.pem"]);
    }
    let balancer = testbed.start(
        "version: 1
listeners:
  front:
    bind: 127.0.0.1:0
    tls: { policy: modern, certificates: [shown.example.com] }
    action: { forward: web }
target_groups:
  web:
    protocol: https
    tls: { server_name: web.internal, ca: internal }
    targets: [\"127.0.0.1:1\"]
",
    );
    let said = testbed.refused(["cert", "delete", "Shown.example.com"]);
    assert!(
        said.contains("listener front") && said.contains("--force"),
        "{said}"
    );
    let said = testbed.refused(["trust", "delete", "internal"]);
    assert!(
        said.contains("target group web") && said.contains("--force"),
        "{said}"
    );
    // What nobody needs goes, and what somebody does only on purpose.
    testbed.ok(["cert", "delete", "spare.example.com"]);
    testbed.ok(["trust", "delete", "spare"]);
    testbed.ok(["trust", "delete", "internal", "--force"]);
    testbed.ok(["cert", "delete", "shown.example.com", "--force"]);
    assert!(
        balancer.status()["listeners"][0]["certificates"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    drop(balancer);
    // Nothing runs that needs anything.
    testbed.imported(
        "shown.example.com",
        &authority.issue(&["shown.example.com"]),
    );
    testbed.ok(["cert", "delete", "shown.example.com"]);
}
