//! A store moves to new key material and to another KMS key under a balancer that serves from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use testbed::{Authority, Testbed, TlsClient};

const NAMES: usize = 40;

fn name(number: usize) -> String {
    format!("host{number}.example.com")
}

fn key(testbed: &Testbed) -> String {
    let created = testbed.json(["kms", "key", "create"]);
    created["KeyMetadata"]["KeyId"]
        .as_str()
        .expect("an id")
        .to_owned()
}

/// The KMS keys that entries are sealed under, each once.
fn kms_keys(testbed: &Testbed) -> Vec<String> {
    let listed = testbed.json(["cert", "list"]);
    let entries = listed["entries"].as_array().expect("entries").iter();
    let mut keys: Vec<_> = entries.map(|entry| entry["kms_key"].to_string()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[test]
fn a_store_under_a_customer_key_moves_under_load() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    let (first, second) = (key(&testbed), key(&testbed));
    let balancer = testbed.start(&yaml(&first));
    for number in 0..NAMES {
        testbed.imported(&name(number), &authority.issue(&[&name(number)]));
    }
    let address = balancer.address("https");
    let calls = balancer.status()["kms_calls"].clone();
    assert_eq!(calls["made"], 1, "one bucket key for all: {calls}");

    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..2)
        .map(|offset| {
            let done = done.clone();
            let client = TlsClient::new(authority.root_pem());
            thread::spawn(move || {
                let mut served = 0_usize;
                while !done.load(Ordering::Relaxed) {
                    let name = name((served * 2 + offset) % NAMES);
                    let mut session = client.connect(address, &name).expect("no handshake fails");
                    let answer = session.get(&name, "/").expect("no request fails");
                    assert_eq!(answer.status, 200, "{}", answer.head);
                    served += 1;
                }
                served
            })
        })
        .collect();

    testbed.ok(["kms", "key", "rotate", &first]);
    let moved = testbed.json(["store", "reseal"]);
    assert_eq!(
        (&moved["moved"], &moved["bad"]),
        (&Value::from(NAMES), &Value::from([0; 0]))
    );
    assert_eq!(testbed.json(["store", "reseal"])["unchanged"], NAMES);
    let moved = testbed.json(["store", "reseal", "--to-key", &second]);
    assert_eq!(moved["moved"], NAMES, "{moved}");
    let keys = kms_keys(&testbed);
    assert!(keys.len() == 1 && keys[0].contains(&second), "{keys:?}");
    // What is imported now is served at once, and is under the new key, too.
    let imported = testbed.imported(&name(0), &authority.issue(&[&name(0)]));
    assert_eq!(imported["publication"]["failed"], false, "{imported}");
    assert_eq!(kms_keys(&testbed).len(), 1);
    testbed.ok(["store", "verify"]);

    done.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.join().expect("no client saw a failure") > 0);
    }
    assert_eq!(balancer.status()["refused_entries"], Value::from([0; 0]));
    drop(balancer);
    // A restart with the old configuration opens everything, and so does one with the new.
    for key in [&first, &second] {
        let balancer = testbed.start(&yaml(key));
        let address = balancer.address("https");
        for number in 0..NAMES {
            let client = TlsClient::new(authority.root_pem());
            client
                .connect(address, &name(number))
                .expect("it is served");
        }
    }
}

fn yaml(key: &str) -> String {
    format!(
        "version: 1
certstore: {{ key: {key} }}
listeners:
  https:
    bind: 127.0.0.1:0
    tls: {{ policy: modern, certificates: [\"*\"] }}
    action: {{ respond: {{ status: 200, body: fine }} }}
"
    )
}
