//! The way of a first user: from PEM files made by openssl to HTTPS in front of two nginx servers.

use std::process::Command;

use testbed::{Nginx, Testbed, curl, openssl};

/// Makes a root, an intermediate and a leaf for shop.example.com as an administrator would.
fn certificates(testbed: &Testbed) {
    let run = |arguments: &str| drop(openssl(testbed.path(), arguments));
    testbed.write(
        "ca.ext",
        "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n",
    );
    testbed.write(
        "leaf.ext",
        "subjectAltName=DNS:shop.example.com\nextendedKeyUsage=serverAuth\n",
    );
    testbed.write(
        "api.ext",
        "subjectAltName=DNS:api.example.com\nextendedKeyUsage=serverAuth\n",
    );
    run("ecparam -name prime256v1 -genkey -noout -out root.key");
    run("req -x509 -new -key root.key -subj /CN=Root -days 3650 -out root.pem");
    run("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out intermediate.key");
    run("req -new -key intermediate.key -subj /CN=Intermediate -out intermediate.csr");
    run(
        "x509 -req -in intermediate.csr -CA root.pem -CAkey root.key -CAcreateserial -days 1000 -extfile ca.ext -out intermediate.pem",
    );
    for (leaf, key) in [("leaf", "key"), ("new", "newkey")] {
        run(&format!(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {key}.pem"
        ));
        run(&format!(
            "req -new -key {key}.pem -subj /CN=shop -out {leaf}.csr"
        ));
        run(&format!(
            "x509 -req -in {leaf}.csr -CA intermediate.pem -CAkey intermediate.key -CAcreateserial -days 90 -extfile leaf.ext -out {leaf}.leaf"
        ));
        let chain = ["leaf", "intermediate"].map(|part| {
            let file = if part == "leaf" {
                format!("{leaf}.leaf")
            } else {
                "intermediate.pem".to_owned()
            };
            std::fs::read_to_string(testbed.path().join(file)).unwrap()
        });
        let name = if leaf == "leaf" {
            "chain.pem"
        } else {
            "new.pem"
        };
        testbed.write(name, chain.concat());
        testbed.write("reversed.pem", format!("{}{}", chain[1], chain[0]));
    }
}

#[test]
fn https_in_front_of_two_nginx_servers() {
    let testbed = Testbed::bare();
    certificates(&testbed);
    let one = Nginx::start(testbed.path(), "one", "location / { return 200 one; }");
    let two = Nginx::start(testbed.path(), "two", "location / { return 200 two; }");

    let said = testbed.run(["init"]);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(
        format!("{}{}", said.stdout, said.stderr).contains("state.root.key"),
        "{said:?}"
    );
    let imported = testbed.run([
        "cert",
        "import",
        "shop.example.com",
        "--cert",
        "chain.pem",
        "--key",
        "key.pem",
    ]);
    assert_eq!(imported.status, 0, "{imported:?}");
    assert!(imported.stderr.contains("in the clear"), "{imported:?}");

    let csr = testbed.ok(["cert", "csr", "api.example.com", "--san", "api.example.com"]);
    testbed.write("api.csr", csr);
    openssl(
        testbed.path(),
        "x509 -req -in api.csr -CA intermediate.pem -CAkey intermediate.key -CAcreateserial -days 90 -extfile api.ext -out api.pem",
    );
    let api = ["api.pem", "intermediate.pem"]
        .map(|file| std::fs::read_to_string(testbed.path().join(file)).unwrap());
    testbed.write("api-chain.pem", api.concat());
    testbed.ok([
        "cert",
        "import",
        "api.example.com",
        "--cert",
        "api-chain.pem",
    ]);

    let list = testbed.ok(["cert", "list"]);
    assert!(
        list.contains("shop.example.com") && list.contains("api.example.com"),
        "{list}"
    );
    let show = testbed.ok(["cert", "show", "shop.example.com"]);
    assert!(
        show.contains("Intermediate") && show.contains("arn:aws:kms:"),
        "{show}"
    );
    assert!(!show.contains("PRIVATE"), "{show}");
    testbed.ok(["store", "verify"]);

    testbed.write(
        "sealgate.yaml",
        format!(
            "version: 1
listeners:
  https:
    bind: 127.0.0.1:0
    tls: {{ policy: modern, certificates: [\"*\"] }}
rules:
  - when: {{ host: [shop.example.com, api.example.com] }}
    forward: shop
target_groups:
  shop: {{ targets: [\"{}\", \"{}\"], health_check: {{ path: /, interval: 1s }} }}
",
            one.address(),
            two.address()
        ),
    );
    testbed.ok(["check", "-c", "sealgate.yaml"]);
    let balancer = testbed::Balancer::start(&testbed, "sealgate.yaml");
    balancer.wait_healthy();
    let address = balancer.address("https");
    let root = testbed.path().join("root.pem").display().to_string();
    let get = |version: &str, host: &str| {
        let resolve = format!("{host}:{}:127.0.0.1", address.port());
        let url = format!("https://{host}:{}/", address.port());
        curl([
            version,
            "--cacert",
            &root,
            "--resolve",
            &resolve,
            "--write-out",
            " %{http_version}",
            &url,
        ])
    };
    let mut seen: Vec<_> = (0..4)
        .map(|_| get("--http1.1", "shop.example.com"))
        .collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["one 1.1", "two 1.1"]);
    assert!(get("--http2", "api.example.com").ends_with(" 2"));

    let said = openssl(
        testbed.path(),
        &format!(
            "s_client -connect {address} -servername shop.example.com -CAfile root.pem -verify_return_error -brief -no_ign_eof"
        ),
    );
    assert!(!said.contains("error"), "{said}");

    let h2load = Command::new("h2load")
        .args(["-n", "400", "-c", "8", "-m", "8"])
        .arg(format!("--connect-to={address}"))
        .arg(format!("https://shop.example.com:{}/", address.port()))
        .output()
        .expect("h2load is installed");
    let report = String::from_utf8_lossy(&h2load.stdout);
    assert!(report.contains("400 succeeded, 0 failed"), "{report}");

    let renewed = testbed.ok([
        "cert",
        "import",
        "shop.example.com",
        "--cert",
        "new.pem",
        "--key",
        "newkey.pem",
    ]);
    assert!(renewed.contains("served"), "{renewed}");
    let listed = testbed.json(["cert", "show", "shop.example.com"]);
    let served = &balancer.status()["listeners"][0]["certificates"];
    let serial = &listed[0]["serial"];
    assert!(
        served
            .as_array()
            .unwrap()
            .iter()
            .any(|c| &c["serial"] == serial),
        "{served} {listed}"
    );
    testbed.ok(["reload"]);

    let report = testbed.json([
        "bench",
        "handshake",
        "--connect",
        &address.to_string(),
        "--sni",
        "shop.example.com",
        "--count",
        "50",
    ]);
    assert_eq!(report["handshakes"]["full"], 50, "{report}");
}
