//! The audit log: whole after kill -9 and a full disk, and what somebody did to it is named.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use kms::audit::{AuditOptions, AuditRecord, LogReader};
use kms::{
    Action, Caller, Environment, GrantConstraints, GrantId, KeyRef, Kms, NewGrant, NewKey,
    NewPolicy, StateDirectory, Unlock,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use testbed::{Authority, Process, Testbed, TlsClient, eventually};

const YAML: &str = "version: 1
listeners:
  https:
    bind: 127.0.0.1:0
    tls: { policy: modern, certificates: [\"*\"] }
    action: { respond: { status: 200, body: fine } }
";

fn log_file(testbed: &Testbed) -> PathBuf {
    testbed.state().join("audit/audit-0000000001.jsonl")
}

// === What somebody does to it ===

#[test]
fn what_was_asked_is_shown_and_what_was_edited_is_named() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    testbed.imported("shop.example.com", &authority.issue(&["shop.example.com"]));
    let balancer = testbed.start(YAML);
    let said = testbed.ok(["audit", "verify"]);
    assert!(said.starts_with("The audit log is whole"), "{said}");
    assert!(said.contains("shipped elsewhere"), "{said}");
    let shown = testbed.ok([
        "audit",
        "show",
        "--action",
        "Decrypt",
        "--principal",
        "sealgate",
    ]);
    assert!(shown.contains("sealgate:store="), "{shown}");
    drop(balancer);
    testbed.ok(["audit", "verify"]);
    let log = fs::read_to_string(log_file(&testbed)).unwrap();
    let line = log
        .lines()
        .position(|line| line.contains("GenerateDataKey"));
    let record = line.expect("an import makes a data key") + 1;
    let edited = log.replacen(
        "\"eventName\":\"GenerateDataKey\"",
        "\"eventName\":\"DescribeKey\"",
        1,
    );
    fs::write(log_file(&testbed), edited).unwrap();
    let outcome = testbed.run(["audit", "verify"]);
    assert_eq!(outcome.status, 1, "{outcome:?}");
    let expected = format!("BAD  record {record} was edited (audit-0000000001.jsonl, byte ");
    assert!(outcome.stdout.starts_with(&expected), "{outcome:?}");
    let found = testbed.run(["audit", "verify", "--output", "json"]);
    assert!(found.stdout.contains("\"what\": \"edited\""), "{found:?}");
    // The log is the account's own: a balancer does not refuse to serve for it.
    drop(testbed.start(YAML));
}

// === kill -9 ===

const STATE: &str = "SEALGATE_TEST_MUTATED_STATE";
const MUTATIONS: usize = 1000;

/// The process that is killed: changes keys as fast as it can, and tells what it was answered.
#[test]
#[ignore = "it is started, and killed, by another test"]
fn mutates_until_it_is_killed() {
    let Some(state) = std::env::var_os(STATE) else {
        return;
    };
    let directory = StateDirectory::open(Path::new(&state)).unwrap();
    let _lock = directory.lock("a test that is killed").unwrap();
    let kms = directory
        .open_kms(None, &Unlock::default(), Environment::system())
        .unwrap();
    let kms = directory.audited(kms, AuditOptions::default()).unwrap();
    println!("\nready");
    loop {
        mutate(&kms);
    }
}

fn mutate(kms: &Kms) {
    let root = Caller::local(kms.identity().root(), 0);
    let key = kms.create_key(&root, NewKey::default()).unwrap().id;
    tell(&format!("CreateKey {key}"));
    let named = KeyRef::Id(key);
    for policy in 0..2 {
        kms.put_key_policy(&root, &named, &labelled(kms, policy))
            .unwrap();
        tell(&format!("PutKeyPolicy {key} {policy}"));
        kms.rotate_key(&root, &named).unwrap();
        tell(&format!("RotateKeyOnDemand {key}"));
        let grant = kms
            .create_grant(&root, &named, terms(kms))
            .unwrap()
            .id
            .clone();
        tell(&format!("CreateGrant {key} {grant}"));
    }
    for grant in kms.list_grants(&root, &named).unwrap().iter().take(1) {
        println!("revoking {key} {}", grant.id);
        kms.revoke_grant(&root, &named, &grant.id).unwrap();
        tell(&format!("RevokeGrant {key} {}", grant.id));
    }
}

fn tell(answered: &str) {
    println!("{answered}");
    std::io::stdout().flush().unwrap();
}

fn labelled(kms: &Kms, label: usize) -> NewPolicy {
    let root = kms.identity().root();
    NewPolicy {
        text: format!(
            r#"{{"Id":"{label}","Statement":{{"Effect":"Allow","Principal":{{"AWS":"{root}"}},"Action":"kms:*","Resource":"*"}}}}"#
        ),
        bypass_lockout_check: false,
    }
}

fn terms(kms: &Kms) -> NewGrant {
    NewGrant {
        grantee: kms.identity().root(),
        retiring: None,
        operations: BTreeSet::from([Action::Decrypt]),
        constraints: GrantConstraints::default(),
        name: None,
    }
}

/// What was answered, by key.
#[derive(Default)]
struct Answered {
    keys: BTreeMap<String, AnsweredKey>,
    count: usize,
}

#[derive(Default)]
struct AnsweredKey {
    policy: Option<usize>,
    rotations: usize,
    granted: BTreeSet<String>,
    /// Of which it is not known whether they are gone.
    revoking: BTreeSet<String>,
    revoked: BTreeSet<String>,
}

impl Answered {
    fn read(&mut self, told: &str) {
        // The last line may be cut.
        let whole = told.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for line in whole.lines() {
            let words: Vec<_> = line.split(' ').collect();
            let [what, id, rest @ ..] = &words[..] else {
                continue;
            };
            let key = match *what {
                "CreateKey" | "PutKeyPolicy" | "RotateKeyOnDemand" | "CreateGrant"
                | "RevokeGrant" | "revoking" => self.keys.entry((*id).to_owned()).or_default(),
                _ => continue,
            };
            match (*what, rest) {
                ("PutKeyPolicy", [label]) => key.policy = label.parse().ok(),
                ("RotateKeyOnDemand", _) => key.rotations += 1,
                ("CreateGrant", [grant]) => drop(key.granted.insert((*grant).to_owned())),
                ("revoking", [grant]) => drop(key.revoking.insert((*grant).to_owned())),
                ("RevokeGrant", [grant]) => drop(key.revoked.insert((*grant).to_owned())),
                _ => {}
            }
            self.count += usize::from(*what != "revoking");
        }
    }

    /// Nothing that was answered is lost, and nothing is half done.
    fn check(&self, kms: &Kms) {
        assert_eq!(kms.damaged(), []);
        let root = Caller::local(kms.identity().root(), 0);
        for (id, answered) in &self.keys {
            let named: KeyRef = id.parse().unwrap();
            let key = kms.describe_key(&root, &named).unwrap();
            let rotations = key.backing_keys.len() - 1;
            assert!(
                (answered.rotations..=answered.rotations + 1).contains(&rotations),
                "{id}"
            );
            let policy = kms.get_key_policy(&root, &named).unwrap();
            let may_be = [
                answered.policy,
                Some(answered.policy.map_or(0, |label| label + 1)),
            ];
            let labels = may_be.into_iter().flatten();
            let labelled = labels
                .into_iter()
                .any(|label| policy.contains(&format!("\"Id\":\"{label}\"")));
            assert!(labelled || answered.policy.is_none(), "{id}: {policy}");
            let grants = kms.list_grants(&root, &named).unwrap();
            let there = |grant: &String| {
                grants
                    .iter()
                    .any(|found| found.id == grant.parse::<GrantId>().unwrap())
            };
            assert!(answered.revoked.iter().all(|grant| !there(grant)), "{id}");
            let stays = answered.granted.difference(&answered.revoking);
            assert!(stays.into_iter().all(there), "{id}");
        }
    }
}

/// Calls in the log by operation: begun, and done.
fn logged(state: &StateDirectory) -> BTreeMap<String, (usize, usize)> {
    let mut reader = LogReader::open(state.audit_directory(), None).unwrap();
    let mut calls = BTreeMap::<String, (usize, usize)>::new();
    while let Some(line) = reader.next_line().unwrap() {
        let Some(record) = AuditRecord::parse(&line) else {
            continue;
        };
        let (begun, done) = calls.entry(record.event_name).or_default();
        match record.event_type.as_str() {
            AuditRecord::BEGUN => *begun += 1,
            AuditRecord::CALL if record.error_code.is_none() => *done += 1,
            _ => {}
        }
    }
    calls
}

#[test]
fn mutations_that_are_killed_are_whole_and_on_record() {
    let testbed = Testbed::new();
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (mut answered, mut rounds) = (Answered::default(), 0);
    while answered.count < MUTATIONS {
        rounds += 1;
        answered.read(&run_and_kill(&testbed, random.random_range(0..300)));
        let directory = StateDirectory::open(&testbed.state()).unwrap();
        let _lock = directory.lock("a test").unwrap();
        let kms = directory
            .open_kms(None, &Unlock::default(), Environment::system())
            .unwrap();
        let kms = directory.audited(kms, AuditOptions::default()).unwrap();
        answered.check(&kms);
        let found = kms.audit_log().unwrap().verify(false, &|_, _| {}).unwrap();
        assert_eq!(found.fault, None, "round {rounds}");
        check_log(&answered, &kms, &directory);
    }
    println!(
        "{} mutations were answered in {rounds} rounds",
        answered.count
    );
}

fn check_log(answered: &Answered, kms: &Kms, directory: &StateDirectory) {
    let calls = logged(directory);
    let done = |operation: &str| calls.get(operation).copied().unwrap_or_default();
    let keys = answered.keys.values();
    let rotations: usize = keys.map(|key| key.rotations).sum();
    assert!(done("RotateKeyOnDemand").1 >= rotations, "{calls:?}");
    assert!(done("CreateKey").1 >= answered.keys.len(), "{calls:?}");
    // Also what was done and not answered has left its trace.
    let there = kms.list_keys(&Caller::Internal).unwrap().len();
    assert!(done("CreateKey").0 + 1 >= there, "{there}: {calls:?}");
}

/// Runs the process that mutates, kills it, and gives what it told.
fn run_and_kill(testbed: &Testbed, milliseconds: u64) -> String {
    let told = testbed.path().join("told");
    let output = fs::File::create(&told).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "audit::mutates_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(STATE, testbed.state())
        .stdout(output)
        .stderr(Stdio::null());
    let mut process = Process::start(&mut command);
    let read = || fs::read_to_string(&told).unwrap_or_default();
    eventually("it mutates", Duration::from_secs(60), || {
        assert_eq!(process.ended(), None, "{}", read());
        read().contains("\nready\n").then_some(())
    });
    // The moment of the kill is what is tried, not a wait for anything.
    thread::sleep(Duration::from_millis(milliseconds));
    process.signal("KILL");
    process.wait(Duration::from_secs(60));
    read()
}

// === A full disk ===

/// A file system of its own, of a few pages, at a directory; unmounted on drop.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where the test may not mount one.
    fn mount(path: PathBuf) -> Option<Self> {
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs"])
            .arg(&path);
        let mounted = command.stderr(Stdio::null()).status();
        mounted
            .is_ok_and(|status| status.success())
            .then_some(Self(path))
    }

    fn fill(&self) {
        let mut filler = fs::File::create(self.0.join("filler")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the balancer may still be ending.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_audit_disk_refuses_keys_and_never_traffic() {
    let testbed = Testbed::new();
    let Some(disk) = SmallDisk::mount(testbed.state().join("audit")) else {
        println!(
            "no file system may be mounted here: only the tests with a disk in memory say this"
        );
        return;
    };
    let authority = Authority::new();
    // With a call of the KMS for each entry.
    let balancer = testbed.start(&format!(
        "{YAML}certstore: {{ bucket_keys: {{ enabled: false }} }}\n"
    ));
    for name in ["a.example.com", "b.example.com"] {
        testbed.imported(name, &authority.issue(&[name]));
    }
    let (address, client) = (
        balancer.address("https"),
        TlsClient::new(authority.root_pem()),
    );
    let get = |name: &str| client.connect(address, name)?.get(name, "/");
    assert_eq!(get("b.example.com").unwrap().status, 200);
    // An entry that goes away, to come back when there is no room.
    let sealed = sealed_file(&testbed, "b.example.com");
    let away = testbed.path().join("away");
    fs::rename(&sealed, &away).unwrap();
    eventually("b is no longer served", WAIT, || {
        get("b.example.com").is_err().then_some(())
    });
    disk.fill();
    let said = eventually("keys are refused", WAIT, || {
        let outcome = testbed.run(["kms", "key", "list"]);
        (outcome.status != 0).then_some(outcome.stderr)
    });
    assert!(
        said.contains("the audit log in") && said.contains("make room there"),
        "{said}"
    );
    let refused = testbed.import("c.example.com", &authority.issue(&["c.example.com"]));
    assert!(refused.stderr.contains("the audit log in"), "{refused:?}");
    for _ in 0..20 {
        assert_eq!(get("a.example.com").unwrap().status, 200);
    }
    fs::rename(&away, &sealed).unwrap();
    eventually("b is refused", WAIT, || {
        let status = balancer.status();
        let refused = status["refused_entries"].as_array()?.clone();
        refused
            .iter()
            .any(|entry| entry.to_string().contains("audit log"))
            .then_some(())
    });
    disk.make_room();
    // Without anybody's doing.
    eventually("b is served again", WAIT, || get("b.example.com").ok());
    testbed.imported("c.example.com", &authority.issue(&["c.example.com"]));
    let found = testbed.json(["audit", "verify"]);
    assert!(
        found["fault"].is_null() && found["gaps"].as_u64() >= Some(1),
        "{found}"
    );
    drop(balancer);
}

fn sealed_file(testbed: &Testbed, name: &str) -> PathBuf {
    let shown = testbed.json(["cert", "show", name]);
    let file = shown[0]["file"].as_str().expect("an entry has a file");
    testbed.state().join("store").join(file)
}

/// Far longer than anything here takes.
const WAIT: Duration = Duration::from_secs(60);
