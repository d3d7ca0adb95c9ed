//! The root key moves, and nobody who is served notices; killed at any moment, it goes on.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use kms::{Caller, Environment, NewKey, StateDirectory, Unlock};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::Value;
use testbed::{Authority, Balancer, Process, Testbed, TlsClient};

use super::{PASSPHRASE, with_input, with_passphrase};

const NAME: &str = "shop.example.com";

/// Answers by itself, so that every failure is the balancer's.
pub(super) const YAML: &str = "version: 1
listeners:
  https:
    bind: 127.0.0.1:0
    tls: { policy: modern, certificates: [\"*\"] }
    action: { respond: { status: 200, body: fine } }
";

/// Clients that connect and ask without end.
pub(super) struct Load {
    done: Arc<AtomicBool>,
    clients: Vec<JoinHandle<u32>>,
}

impl Load {
    pub(super) fn start(
        authority: &Authority,
        balancer: &Balancer<'_>,
        name: &'static str,
    ) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let address = balancer.address("https");
        let clients = (0..2).map(|_| {
            let (done, client) = (done.clone(), TlsClient::new(authority.root_pem()));
            thread::spawn(move || {
                let mut answers = 0;
                while !done.load(Ordering::Relaxed) {
                    let mut session = client.connect(address, name).expect("no handshake fails");
                    let answer = session.get(name, "/").expect("no request fails");
                    assert_eq!(answer.status, 200, "{}", answer.head);
                    answers += 1;
                }
                answers
            })
        });
        let clients = clients.collect();
        Self { done, clients }
    }

    /// How many requests were answered; every one.
    pub(super) fn stop(self) -> u32 {
        self.done.store(true, Ordering::Relaxed);
        let answers = self.clients.into_iter();
        answers
            .map(|client| client.join().expect("no client saw a failure"))
            .sum()
    }
}

/// The JSON documents that a command prints, one after the other.
fn documents(text: &str) -> Vec<Value> {
    let documents = serde_json::Deserializer::from_str(text).into_iter();
    documents
        .map(|document| document.expect("it prints JSON"))
        .collect()
}

/// Whether the key database opens with the root key in `file`.
fn opens_with(testbed: &Testbed, file: &Path) -> bool {
    let directory = StateDirectory::open(&testbed.state()).expect("its manifest is good");
    let directory = directory.with_root_key(file.to_owned());
    directory
        .open_kms(None, &Unlock::default(), Environment::system())
        .is_ok()
}

#[test]
fn it_moves_from_place_to_place_under_load_and_the_old_one_opens_nothing() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    let balancer = testbed.start(YAML);
    testbed.imported(NAME, &authority.issue(&[NAME]));
    let load = Load::start(&authority, &balancer, NAME);
    let first = testbed.root_key();
    assert!(opens_with(&testbed, &first));

    let moved = testbed.ok([
        "kms",
        "root",
        "migrate",
        "--to",
        "shamir:2of3",
        "--output",
        "json",
    ]);
    let [shares, moved] = &documents(&moved)[..] else {
        panic!("shares first: {moved}");
    };
    assert_eq!(shares["shares"].as_array().map(Vec::len), Some(3));
    assert_eq!(moved["now"]["source"], "shamir");
    assert_eq!(moved["kept"], first.display().to_string());
    assert!(!opens_with(&testbed, &first));
    testbed.imported("b.example.com", &authority.issue(&["b.example.com"]));

    let arguments = [
        "kms",
        "root",
        "migrate",
        "--to",
        "passphrase",
        "--new-passphrase-fd",
        "0",
    ];
    let moved = with_input(testbed.command(arguments), &format!("{PASSPHRASE}\n"));
    assert_eq!(moved.status, 0, "{moved:?}");
    assert!(
        moved
            .stdout
            .contains("Backups that were made before still open"),
        "{moved:?}"
    );

    let last = testbed.path().join("last.key");
    testbed.ok(["kms", "root", "migrate", "--to", "file:last.key"]);
    let before = fs::read(&last).unwrap();
    let rotated = testbed.json(["kms", "root", "rotate"]);
    let kept = rotated["kept"].as_str().expect("the old file is kept");
    assert_eq!(fs::read(kept).unwrap(), before);
    assert!(!opens_with(&testbed, Path::new(kept)) && opens_with(&testbed, &last));
    let shown = testbed.json(["kms", "root", "show"]);
    assert_eq!(shown["fingerprint"], rotated["now"]["fingerprint"]);
    assert_eq!(shown["moving"], false);

    let answers = load.stop();
    println!("{answers} requests during 4 moves, none failed");
    assert!(answers > 0);
    drop(balancer);
    let balancer = testbed.start(YAML);
    let client = TlsClient::new(authority.root_pem());
    client
        .connect(balancer.address("https"), "b.example.com")
        .unwrap();
    testbed.ok(["store", "verify"]);
}

#[test]
fn it_moves_while_no_balancer_runs() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    testbed.imported(NAME, &authority.issue(&[NAME]));
    let arguments = [
        "kms",
        "root",
        "migrate",
        "--to",
        "passphrase",
        "--new-passphrase-fd",
        "0",
    ];
    let moved = with_input(testbed.command(arguments), &format!("{PASSPHRASE}\n"));
    assert_eq!(moved.status, 0, "{moved:?}");
    assert_eq!(
        testbed.json(["kms", "root", "show"])["source"],
        "passphrase"
    );
    assert_eq!(
        with_passphrase(&testbed, &["store", "verify"], PASSPHRASE).status,
        0
    );
    assert!(!opens_with(&testbed, &testbed.root_key()));
}

#[test]
fn root_records_of_two_state_directories_do_not_mix() {
    let (one, other) = (Testbed::bare(), Testbed::bare());
    for testbed in [&one, &other] {
        with_passphrase(testbed, &["init", "--root", "passphrase"], PASSPHRASE);
    }
    let record = |testbed: &Testbed| {
        let files = fs::read_dir(testbed.state()).unwrap().flatten();
        let mut files = files.map(|file| file.path());
        let is_record = |path: &std::path::PathBuf| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("root-"))
        };
        files.find(is_record).expect("there is a root record")
    };
    fs::copy(record(&other), record(&one)).unwrap();
    let refused = with_passphrase(&one, &["kms", "key", "list"], PASSPHRASE);
    assert_eq!(refused.status, 1);
    assert!(
        refused.stderr.contains("it is of another root key"),
        "{refused:?}"
    );
    // With the database that it belongs to, and the store of this one.
    fs::copy(
        other.state().join("kms/database"),
        one.state().join("kms/database"),
    )
    .unwrap();
    fs::copy(
        record(&other),
        one.state().join(record(&other).file_name().unwrap()),
    )
    .unwrap();
    let refused = with_passphrase(&one, &["store", "verify"], PASSPHRASE);
    assert_eq!(refused.status, 1, "{refused:?}");
}

/// Keys enough that a move takes its time.
fn fill(testbed: &Testbed, keys: usize) {
    let directory = StateDirectory::open(&testbed.state()).unwrap();
    let _lock = directory.lock("the test").unwrap();
    let kms = directory
        .open_kms(None, &Unlock::default(), Environment::system())
        .unwrap();
    for _ in 0..keys {
        kms.create_key(&Caller::Internal, NewKey::default())
            .unwrap();
    }
}

fn keys(testbed: &Testbed) -> usize {
    let directory = StateDirectory::open(&testbed.state()).unwrap();
    let kms = directory.open_kms(None, &Unlock::default(), Environment::system());
    let kms = kms.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(kms.damaged(), []);
    kms.list_keys(&Caller::Internal).unwrap().len()
}

#[test]
fn a_move_that_is_killed_at_any_moment_goes_on() {
    let testbed = Testbed::new();
    fill(&testbed, 60);
    let all = keys(&testbed);
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let start = Instant::now();
    testbed.ok(["kms", "root", "rotate"]);
    let whole = start.elapsed();
    let (mut killed, mut midway) = (0, 0);
    for _ in 0..40 {
        let mut process = Process::start(
            testbed
                .command(["kms", "root", "rotate"])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null()),
        );
        // The moment of the kill is what is tried, not a wait for anything.
        thread::sleep(random.random_range(Duration::ZERO..whole));
        process.signal("KILL");
        killed += usize::from(!process.wait(Duration::from_secs(60)).success());
        assert_eq!(keys(&testbed), all);
        midway += usize::from(testbed.json(["kms", "root", "show"])["moving"] == true);
    }
    testbed.ok(["kms", "root", "rotate"]);
    assert_eq!(testbed.json(["kms", "root", "show"])["moving"], false);
    assert_eq!(keys(&testbed), all);
    println!("{killed} of 40 killed before their end, {midway} on their way");
    assert!(killed > 10, "only {killed} were killed in time");
}

#[test]
fn a_balancer_that_is_killed_during_a_move_goes_on_with_it() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    fill(&testbed, 60);
    let all = keys(&testbed);
    testbed.imported(NAME, &authority.issue(&[NAME]));
    let mut random = StdRng::seed_from_u64(7);
    let mut midway = 0;
    for _ in 0..6 {
        let mut balancer = testbed.start(YAML);
        let client = TlsClient::new(authority.root_pem());
        client.connect(balancer.address("https"), NAME).unwrap();
        let mut command = testbed.command(["kms", "root", "rotate"]);
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        let mut rotating = Process::start(&mut command);
        // The moment of the kill is what is tried, not a wait for anything.
        thread::sleep(random.random_range(Duration::ZERO..Duration::from_millis(600)));
        balancer.process().signal("KILL");
        balancer.process().wait(Duration::from_secs(60));
        rotating.wait(Duration::from_secs(120));
        assert_eq!(keys(&testbed), all);
        midway += usize::from(testbed.json(["kms", "root", "show"])["moving"] == true);
    }
    let _balancer = testbed.start(YAML);
    testbed::eventually("a start finishes the move", Duration::from_secs(60), || {
        (testbed.json(["kms", "root", "show"])["moving"] == false).then_some(())
    });
    println!("{midway} of 6 were killed on their way");
}
