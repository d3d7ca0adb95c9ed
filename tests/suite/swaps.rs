//! Certificates are renewed under full load, and no client notices.

use std::collections::HashSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use testbed::{Authority, Nginx, Testbed, TlsClient};

const SWAPS: usize = 200;

#[test]
fn two_hundred_swaps_under_load_lose_nothing() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    let name = "shop.example.com";
    let import = |issued: &testbed::Issued| testbed.imported(name, issued);
    import(&authority.issue(&[name]));
    let target = Nginx::start(testbed.path(), "target", "location / { return 200 fine; }");
    let balancer = testbed.start(&format!(
        "version: 1
listeners:
  https: {{ bind: 127.0.0.1:0, tls: {{ policy: modern, certificates: [{name}] }} }}
rules: [ {{ forward: shop }} ]
target_groups:
  shop: {{ targets: [\"{}\"] }}
",
        target.address()
    ));
    let address = balancer.address("https");

    let done = Arc::new(AtomicBool::new(false));
    let serials = Arc::new(Mutex::new(HashSet::new()));
    let newcomers: Vec<_> = (0..2)
        .map(|_| {
            let (done, serials) = (done.clone(), serials.clone());
            let client = TlsClient::new(authority.root_pem());
            thread::spawn(move || {
                let (mut connections, mut resumed) = (0_u32, 0_u32);
                while !done.load(Ordering::Relaxed) {
                    let mut session = client.connect(address, name).expect("no handshake fails");
                    let answer = session.get(name, "/").expect("no request fails");
                    assert_eq!(answer.body, "fine", "{}", answer.head);
                    connections += 1;
                    resumed += u32::from(session.resumed());
                    serials.lock().unwrap().insert(session.serial());
                }
                (connections, resumed)
            })
        })
        .collect();
    let steady = {
        let done = done.clone();
        thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                let output = Command::new("h2load")
                    .args(["-n", "400", "-c", "4", "-m", "8"])
                    .arg(format!("--connect-to={address}"))
                    .arg(format!("https://{name}:{}/", address.port()))
                    .output()
                    .expect("h2load is installed");
                let report = String::from_utf8_lossy(&output.stdout).into_owned();
                assert!(
                    report.contains("400 succeeded, 0 failed, 0 errored, 0 timeout"),
                    "{report}"
                );
            }
        })
    };

    let mut times = Vec::new();
    for _ in 0..SWAPS {
        let issued = authority.issue(&[name]);
        let imported = import(&issued);
        let publication = &imported["publication"];
        assert_eq!(publication["failed"], false, "{imported}");
        times.push(
            publication["elapsed_ms"]
                .as_f64()
                .expect("it says how long it took"),
        );
        let fresh = TlsClient::new(authority.root_pem())
            .connect(address, name)
            .unwrap();
        assert_eq!(
            fresh.serial(),
            issued.serial,
            "what was proved is what is served"
        );
    }
    done.store(true, Ordering::Relaxed);
    let (mut connections, mut resumed) = (0, 0);
    for newcomer in newcomers {
        let (made, again) = newcomer.join().expect("no client saw a failure");
        connections += made;
        resumed += again;
    }
    steady.join().expect("no request of h2load failed");
    let log = balancer.log();
    times.sort_by(f64::total_cmp);
    println!(
        "{SWAPS} swaps, {connections} new connections ({resumed} resumed); import to served: median {:.1} ms, max {:.1} ms",
        times[SWAPS / 2],
        times[SWAPS - 1]
    );
    assert!(
        resumed + 2 >= connections,
        "only {resumed} of {connections} sessions resumed"
    );
    assert!(!log.contains("\"status\":5"), "a request failed");
}
