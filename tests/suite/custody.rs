//! Where key bytes are, and where they are not: the disk, the logs, dumps, and the process's own memory.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use kms::{Caller, EncryptionContext, Environment, Kms, StateDirectory, WrappedKey};
use testbed::{Authority, Balancer, Testbed, TlsClient};

const YAML: &str = "version: 1
listeners:
  https:
    bind: 127.0.0.1:0
    tls: { policy: modern, certificates: [\"*\"] }
    action: { respond: { status: 200, body: fine } }
access_log: stdout
";

/// What must not be found, by what it is.
type Needles = Vec<(String, Vec<u8>)>;

/// A key in every form in which somebody might leave it behind.
fn forms(what: &str, pem: &str, der: &[u8], scalar: &[u8]) -> Needles {
    let base64: Vec<_> = pem.lines().filter(|line| !line.contains("-----")).collect();
    let reversed = scalar.iter().rev().copied().collect();
    vec![
        (format!("{what}: PEM"), base64[0].as_bytes().to_vec()),
        (
            format!("{what}: base64"),
            base64.concat().into_bytes()[..48].to_vec(),
        ),
        (format!("{what}: DER"), der.to_vec()),
        (format!("{what}: scalar"), scalar.to_vec()),
        (format!("{what}: scalar, little-endian"), reversed),
    ]
}

/// The private scalar of a P-256 key in PKCS#8: the 32 bytes behind `02 01 01 04 20` (RFC 5915).
fn scalar(der: &[u8]) -> Vec<u8> {
    let marker = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = der
        .windows(5)
        .position(|window| window == marker)
        .expect("an EC key");
    der[at + 5..at + 37].to_vec()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

/// Every file below `directory` but the inputs that the test itself wrote.
fn files(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&path, found),
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
}

#[test]
fn no_key_byte_reaches_the_disk_or_a_log() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    let mut needles = Needles::new();
    let balancer = testbed.start(YAML);
    for name in ["a.example.com", "b.example.com"] {
        for _ in 0..2 {
            let issued = authority.issue(&[name]);
            testbed.imported(name, &issued);
            needles.extend(forms(
                name,
                &issued.key,
                &issued.key_der,
                &scalar(&issued.key_der),
            ));
        }
    }
    TlsClient::new(authority.root_pem())
        .connect(balancer.address("https"), "a.example.com")
        .unwrap();
    let root = fs::read(testbed.root_key()).unwrap();
    needles.push(("the root key file".to_owned(), root));
    needles.push(("the root key".to_owned(), root_key_bytes(&testbed)));
    needles.push(("a bucket key".to_owned(), bucket_key(&testbed)));
    let mut found = Vec::new();
    // The state directory, the log, and what would be temporary files: all but the root key itself.
    files(testbed.path(), &mut found);
    found.retain(|file| *file != testbed.root_key());
    assert!(found.len() > 4, "{found:?}");
    for file in found {
        let content = fs::read(&file).unwrap();
        for (what, needle) in &needles {
            assert!(
                !contains(&content, needle),
                "{what} stands in {}",
                file.display()
            );
        }
    }
}

#[test]
fn a_killed_balancer_leaves_no_core() {
    for signal in ["ABRT", "SEGV"] {
        let testbed = Testbed::new();
        testbed.write("sealgate.yaml", YAML);
        let mut command = Command::new("bash");
        let run = format!(
            "ulimit -c unlimited; exec {} run -c sealgate.yaml --state {}",
            testbed::sealgate_binary().display(),
            testbed.state().display()
        );
        let log = File::create(testbed.path().join("log")).unwrap();
        let mut process = testbed::Process::start(
            command
                .args(["-c", &run])
                .current_dir(testbed.path())
                .stdout(log.try_clone().unwrap())
                .stderr(log),
        );
        testbed::eventually("it serves", Duration::from_secs(60), || {
            testbed
                .run(["status", "--output", "json"])
                .stdout
                .contains("\"serving\"")
                .then_some(())
        });
        // The first SIGSEGV from outside goes to Rust's handler for stack overflows, which gives way.
        let status = testbed::eventually("it dies", Duration::from_secs(60), || {
            process.signal(signal);
            process.ended()
        });
        assert!(
            status.signal().is_some() && !status.core_dumped(),
            "{signal}: {status:?}"
        );
        let mut left = Vec::new();
        files(testbed.path(), &mut left);
        assert!(
            !left
                .iter()
                .any(|file| file.display().to_string().contains("core")),
            "{left:?}"
        );
    }
}

/// One readable mapping of a process.
struct Mapping {
    start: u64,
    bytes: Vec<u8>,
    locked: bool,
}

/// What a debugger with root's rights sees of a process.
fn image(pid: u32) -> Vec<Mapping> {
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut image = Vec::<Mapping>::new();
    for line in maps.lines() {
        let first = line.split(' ').next().unwrap_or_default();
        if let Some((start, end)) = first.split_once('-') {
            let (Ok(start), Ok(end)) =
                (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16))
            else {
                continue;
            };
            let readable = line
                .split(' ')
                .nth(1)
                .is_some_and(|mode| mode.starts_with('r'));
            let special = line.contains("[vvar") || line.contains("[vsyscall]");
            let mut bytes = vec![
                0;
                if readable && !special {
                    (end - start) as usize
                } else {
                    0
                }
            ];
            // Pages that are not there read as nothing.
            let read = memory.read_at(&mut bytes, start).unwrap_or(0);
            bytes.truncate(read);
            image.push(Mapping {
                start,
                bytes,
                locked: false,
            });
        } else if let Some(flags) = line.strip_prefix("VmFlags:")
            && let Some(mapping) = image.last_mut()
        {
            mapping.locked = flags.split(' ').any(|flag| flag == "lo");
        }
    }
    image
}

#[test]
fn the_process_holds_no_more_than_the_keys_in_use() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    let mut needles = Needles::new();
    let mut balancer = testbed.start(YAML);
    for _ in 0..3 {
        let issued = authority.issue(&["a.example.com"]);
        testbed.imported("a.example.com", &issued);
        let scalar = scalar(&issued.key_der);
        // The scalar of the certificate in use is where rustls signs with it; DER and PEM are nowhere.
        needles.extend(
            forms("key", &issued.key, &issued.key_der, &scalar)
                .into_iter()
                .take(3),
        );
    }
    TlsClient::new(authority.root_pem())
        .connect(balancer.address("https"), "a.example.com")
        .unwrap();
    let root_key = root_key_bytes(&testbed);
    let bucket_key = bucket_key(&testbed);
    let image = image(balancer.process().pid());
    assert!(
        image
            .iter()
            .map(|mapping| mapping.bytes.len())
            .sum::<usize>()
            > 1 << 20
    );
    for mapping in &image {
        for (what, needle) in &needles {
            assert!(
                !contains(&mapping.bytes, needle),
                "{what} at {:x}",
                mapping.start
            );
        }
        if !mapping.locked {
            assert!(
                !contains(&mapping.bytes, &root_key),
                "the root key at {:x}",
                mapping.start
            );
            assert!(
                !contains(&mapping.bytes, &bucket_key),
                "the bucket key at {:x}",
                mapping.start
            );
        }
    }
    drop(balancer);
}

/// The root key itself, out of its file's one line `sealgate-root-key-1 BASE64 FINGERPRINT`.
fn root_key_bytes(testbed: &Testbed) -> Vec<u8> {
    let text = fs::read_to_string(testbed.root_key()).unwrap();
    let base64 = text.split_whitespace().nth(1).unwrap();
    let key = Base64::decode_vec(base64).unwrap();
    assert_eq!(key.len(), 32);
    key
}

/// The bucket key that the keys of entries are derived from: what its wrapped form in the record comes to
/// under the KMS.
fn bucket_key(testbed: &Testbed) -> Vec<u8> {
    let directory = StateDirectory::open(&testbed.state()).unwrap();
    let kms = directory
        .open_kms(None, &kms::Unlock::default(), Environment::system())
        .unwrap();
    let key = Kms::CERTSTORE_ALIAS.parse().unwrap();
    let id = kms.resolve(&key).unwrap();
    let mut found = Vec::new();
    files(&directory.store_directory(), &mut found);
    found.retain(|file| file.extension().is_some_and(|it| it == "bucket"));
    let [record] = &found[..] else {
        panic!("one bucket key was enough: {found:?}");
    };
    let record = fs::read(record).unwrap();
    // A message of the KMS: version, key id, generation, salt, nonce, 32 bytes of key, tag.
    let at = memchr::memmem::find(&record, id.as_bytes()).unwrap() - 1;
    let wrapped = WrappedKey::from_bytes(record[at..at + 97].to_vec());
    let context = EncryptionContext::new()
        .with("sealgate:store", directory.store_id().to_string())
        .with("sealgate:region", directory.identity().region.clone());
    let opened = kms.open_data_key(&Caller::Internal, &wrapped, &context);
    opened.unwrap().key().expose().to_vec()
}

#[test]
fn a_second_process_does_not_write_beside_a_running_one() {
    let testbed = Testbed::new();
    let balancer = testbed.start(YAML);
    let mut second = Balancer::launch(&testbed, "sealgate.yaml");
    assert_eq!(
        second.process().wait(Duration::from_secs(60)).code(),
        Some(1)
    );
    assert!(second.log().contains("in use by"), "{}", second.log());
    assert_eq!(balancer.status()["phase"], "serving");
}
