//! Keys, policies, grants and secrets of the configuration, as their user meets them: by commands, against
//! the running balancer and without one.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use ::kms::EncryptionContext;
use base64ct::{Base64, Encoding};
use serde_json::Value;
use testbed::{Authority, Outcome, Testbed, TlsClient, sealgate_binary};

/// The identifier of a key, an alias of which is made with it.
fn create_key(testbed: &Testbed, alias: &str) -> String {
    let id = testbed.ok(["kms", "key", "create", "--alias", alias]);
    id.trim().to_owned()
}

/// Runs a command that reads `input`.
fn piped(command: &mut Command, input: &[u8]) -> Outcome {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    Outcome {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_customer_key_lives_by_its_user_s_commands() {
    let testbed = Testbed::new();
    let id = create_key(&testbed, "alias/shop");
    testbed.write("token", "tok\u{0}en\n");
    let context = ["--context", "app=shop"];
    let encrypt = ["kms", "encrypt", "--key", "alias/shop", "--in", "token"];
    testbed.ok(encrypt.iter().chain(&context).chain(&["--out", "sealed"]));
    for round in 0..2 {
        let opened = testbed.ok(["kms", "decrypt", "--in", "sealed"].iter().chain(&context));
        assert_eq!(opened, "tok\u{0}en\n", "round {round}");
        testbed.ok(["kms", "key", "rotate", "alias/shop"]);
    }
    let said = testbed.refused(["kms", "decrypt", "--in", "sealed"]);
    assert!(said.contains("encryption context"), "{said}");
    let described = testbed.json(["kms", "key", "describe", "alias/shop"]);
    assert_eq!(described["KeyMetadata"]["KeyId"], Value::from(id.as_str()));
    assert_eq!(described["BackingKeyDates"].as_array().unwrap().len(), 3);

    testbed.ok(["kms", "key", "disable", "alias/shop"]);
    let said = testbed.refused(["kms", "decrypt", "--in", "sealed"].iter().chain(&context));
    assert!(said.contains("disabled"), "{said}");
    testbed.ok(["kms", "key", "enable", "alias/shop"]);
    testbed.ok(["kms", "key", "tag", "alias/shop", "team=web", "stage=test"]);
    testbed.ok(["kms", "key", "untag", "alias/shop", "stage"]);
    let tags = testbed.json(["kms", "key", "tags", "alias/shop"]);
    assert_eq!(tags["Tags"].as_array().unwrap().len(), 1);
    testbed.ok(["kms", "alias", "create", "alias/shop/eu", &id]);
    testbed.ok(["kms", "alias", "delete", "alias/shop"]);
    assert!(
        testbed
            .ok(["kms", "alias", "list"])
            .contains("alias/shop/eu")
    );

    testbed.ok(["kms", "key", "schedule-deletion", &id, "--days", "7"]);
    let said = testbed.refused(["kms", "decrypt", "--in", "sealed"].iter().chain(&context));
    assert!(said.contains("pending deletion"), "{said}");
    testbed.ok(["kms", "key", "cancel-deletion", &id]);
    testbed.ok(["kms", "key", "enable", &id]);
    testbed.ok(["kms", "decrypt", "--in", "sealed"].iter().chain(&context));
}

/// The parts of an access key that a command has shown.
fn access_key(shown: &str) -> (String, String) {
    let part = |name: &str| {
        let mut lines = shown.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.expect(shown).to_owned()
    };
    (part("AWS_ACCESS_KEY_ID"), part("AWS_SECRET_ACCESS_KEY"))
}

#[test]
fn access_keys_are_shown_once_switched_off_and_go_with_their_user() {
    let testbed = Testbed::new();
    let identity = |command: &[&str]| testbed.ok([&["kms", "identity"], command].concat());
    let refused = |command: &[&str]| testbed.refused([&["kms", "identity"], command].concat());
    let (id, secret) = access_key(&identity(&["create-user", "alice", "--access-key"]));
    assert_eq!((id.len(), secret.len()), (20, 40));
    testbed.write("secret", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n");
    let given = [
        "create-access-key",
        "alice",
        "--access-key-id",
        "AKIAIOSFODNN7EXAMPLE",
    ];
    let given = identity(&[&given[..], &["--secret-access-key-file", "secret"]].concat());
    let (other, secret) = access_key(&given);
    assert_eq!(other, "AKIAIOSFODNN7EXAMPLE");
    assert_eq!(secret, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let said = refused(&["create-access-key", "alice"]);
    assert!(said.contains("2 access keys"), "{said}");

    identity(&["update-access-key", &id, "--status", "inactive"]);
    identity(&["delete-access-key", &other]);
    let listed = testbed.json(["kms", "identity", "list-access-keys", "alice"]);
    let keys = listed["AccessKeyMetadata"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0]["AccessKeyId"], id.as_str());
    assert_eq!(keys[0]["Status"], "Inactive");

    identity(&["delete", "user/alice"]);
    let (_, _) = access_key(&identity(&[
        "create-user",
        "alice",
        "--admin",
        "--access-key",
    ]));
    let policy = identity(&["get-policy", "user/alice", "AdministratorAccess"]);
    assert!(policy.contains("kms:*"), "{policy}");
    assert!(!identity(&["list-access-keys"]).contains(&id));
}

#[test]
fn keys_sign_authenticate_and_re_encrypt() {
    let testbed = Testbed::new();
    let create = ["kms", "key", "create", "--alias"];
    let pair = [
        "alias/release",
        "--spec",
        "ECC_NIST_P256",
        "--usage",
        "SIGN_VERIFY",
    ];
    testbed.ok(create.iter().chain(&pair));
    let mac = [
        "alias/tokens",
        "--spec",
        "HMAC_256",
        "--usage",
        "GENERATE_VERIFY_MAC",
    ];
    testbed.ok(create.iter().chain(&mac));
    testbed.write("notes", "release notes");
    let by = [
        "--key",
        "alias/release",
        "--algorithm",
        "ECDSA_SHA_256",
        "--in",
        "notes",
    ];
    testbed.ok(["kms", "sign", "--out", "notes.sig"].iter().chain(&by));
    let verify = ["kms", "verify", "--signature", "notes.sig"];
    testbed.ok(verify.iter().chain(&by));
    let pem = testbed.ok(["kms", "key", "public-key", "alias/release"]);
    testbed.write("release.pem", pem);
    let signature = fs::read_to_string(testbed.path().join("notes.sig")).unwrap();
    testbed.write("notes.der", Base64::decode_vec(signature.trim()).unwrap());
    let verified = testbed::openssl(
        testbed.path(),
        "dgst -sha256 -verify release.pem -signature notes.der notes",
    );
    assert!(verified.contains("OK"), "{verified}");
    testbed.write("notes", "other notes");
    let outcome = testbed.run(verify.iter().chain(&by));
    assert_eq!(outcome.status, 1, "{outcome:?}");

    let by = [
        "--key",
        "alias/tokens",
        "--algorithm",
        "HMAC_SHA_256",
        "--in",
        "notes",
    ];
    testbed.ok(["kms", "mac", "--out", "notes.mac"].iter().chain(&by));
    testbed.ok(["kms", "verify-mac", "--mac", "notes.mac"]
        .iter()
        .chain(&by));
    create_key(&testbed, "alias/one");
    create_key(&testbed, "alias/other");
    let made = testbed.json([
        "kms",
        "generate-data-key",
        "--key",
        "alias/one",
        "--bytes",
        "16",
        "--plaintext-out",
        "data.key",
    ]);
    testbed.write("wrapped", made["CiphertextBlob"].as_str().unwrap());
    testbed.ok([
        "kms",
        "re-encrypt",
        "--in",
        "wrapped",
        "--key",
        "alias/other",
        "--out",
        "moved",
    ]);
    testbed.ok(["kms", "decrypt", "--in", "moved", "--out", "opened"]);
    let read = |name: &str| fs::read(testbed.path().join(name)).unwrap();
    assert_eq!(read("opened"), read("data.key"));
    assert_eq!(read("opened").len(), 16);
    assert_eq!(
        testbed.ok(["kms", "random", "16", "--base64"]).trim().len(),
        24
    );
}

#[test]
fn a_denial_is_explained_and_a_grant_given_and_retired() {
    let testbed = Testbed::new();
    create_key(&testbed, "alias/shop");
    testbed.ok(["kms", "identity", "create-user", "alice"]);
    let question = [
        "kms",
        "explain",
        "--principal",
        "user/alice",
        "--action",
        "Decrypt",
        "--key",
        "alias/shop",
        "--context",
        "app=shop",
    ];
    let denied = testbed.run(question);
    assert_eq!(denied.status, 1);
    assert!(
        denied.stdout.contains("neither key policy, nor grant"),
        "{denied:?}"
    );
    let create = [
        "kms",
        "grant",
        "create",
        "alias/shop",
        "--grantee",
        "user/alice",
        "--operation",
        "Decrypt",
        "--context-subset",
        "app=shop",
        "--name",
        "alice-decrypts",
    ];
    let grant = testbed.json(create);
    let again = testbed.json(create);
    assert_eq!(
        again, grant,
        "the same terms under the same name are the same grant"
    );
    let allowed = testbed.ok(question);
    let id = grant["GrantId"].as_str().unwrap();
    assert!(
        allowed.contains(&format!("grant {id} allows it")),
        "{allowed}"
    );
    let other = testbed.run(question[..8].iter().chain(&["--context", "app=other"]));
    assert_eq!(other.status, 1);
    assert!(
        testbed
            .ok(["kms", "grant", "list", "alias/shop"])
            .contains("with app=shop")
    );
    let token = grant["GrantToken"].as_str().unwrap();
    testbed.ok(["kms", "grant", "retire", "--token", token]);
    assert_eq!(testbed.run(question).status, 1);
    let said = testbed.refused(["kms", "grant", "retire", "--token", token]);
    assert!(said.contains("no grant"), "{said}");

    testbed.write("deny.json", policy("Deny", "kms:Decrypt"));
    testbed.ok([
        "kms",
        "identity",
        "put-policy",
        "user/alice",
        "never",
        "deny.json",
    ]);
    let denied = testbed.run(question);
    assert!(
        denied.stdout.contains("of the policy `never` denies it"),
        "{denied:?}"
    );
    let said = testbed.refused(["kms", "identity", "show", "user/bob"]);
    assert!(said.contains("identity list"), "{said}");
    testbed.ok(["kms", "identity", "delete", "user/alice"]);
}

fn policy(effect: &str, action: &str) -> String {
    format!(r#"{{"Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"*"}}}}"#)
}

#[test]
fn wrong_input_is_told_and_changes_nothing() {
    let testbed = Testbed::new();
    create_key(&testbed, "alias/shop");
    let said = testbed.refused(["kms", "key", "create", "--alias", "alias/shop"]);
    assert!(said.contains("already"), "{said}");
    let reserved = testbed.run(["kms", "key", "create", "--alias", "alias/sealgate/mine"]);
    assert_eq!(reserved.status, 2, "{reserved:?}");
    assert!(reserved.stderr.contains("reserved"), "{reserved:?}");
    let keys = testbed.json(["kms", "key", "list"]);
    assert_eq!(keys["Keys"].as_array().map(Vec::len), Some(2), "{keys}");
    testbed.write("policy.json", r#"{"Statement":[{"Effect":"Perhaps"}]}"#);
    let put = testbed.run(["kms", "policy", "put", "alias/shop", "policy.json"]);
    assert_eq!(put.status, 2, "{put:?}");
    assert!(put.stderr.contains("Statement[0]"), "{put:?}");
    testbed.write("policy.json", "{\"Statement\":[]}");
    let put = testbed.run(["kms", "policy", "put", "alias/shop", "policy.json"]);
    assert_ne!(put.status, 0, "{put:?}");
    let before = testbed.ok(["kms", "policy", "get", "alias/shop"]);
    assert!(before.contains("kms:*"), "{before}");
    testbed.write("big", vec![b'x'; 4097]);
    let said = testbed.refused(["kms", "encrypt", "--key", "alias/shop", "--in", "big"]);
    assert!(said.contains("4096"), "{said}");
    testbed.write("junk", "not a ciphertext");
    let said = testbed.refused(["kms", "decrypt", "--in", "junk"]);
    assert!(said.contains("not a ciphertext"), "{said}");
    for line in [
        "kms key disable alias/sealgate/certstore",
        "kms key schedule-deletion alias/sealgate/certstore",
        "kms key rotate alias/sealgate/certstore",
    ] {
        let said = testbed.refused(line.split(' '));
        assert!(said.contains("managed"), "{line}: {said}");
    }
    let outcome = testbed.run([
        "kms",
        "key",
        "describe",
        "alias/nowhere",
        "--output",
        "json",
    ]);
    let error: Value = serde_json::from_str(&outcome.stderr).unwrap();
    assert_eq!(error["error"]["code"], "NotFoundException");
}

/// The wrapped data key of a certificate is in reach of who reads the store, and stays shut.
#[test]
fn nobody_opens_a_certificate_s_data_key_by_asking() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    testbed.imported("shop.example.com", &authority.issue(&["shop.example.com"]));
    create_key(&testbed, "alias/mine");
    testbed.write("x", "x");
    testbed.ok([
        "kms",
        "encrypt",
        "--key",
        "alias/mine",
        "--in",
        "x",
        "--out",
        "x.enc",
    ]);
    let reserved = format!(
        "{}entry=shop.example.com",
        EncryptionContext::RESERVED_PREFIX
    );
    for line in [
        "kms decrypt --in x.enc --context RESERVED",
        "kms re-encrypt --in x.enc --key alias/mine --context RESERVED",
        "kms re-encrypt --in x.enc --key alias/mine --new-context RESERVED",
        "kms encrypt --in x --key alias/sealgate/certstore --context RESERVED",
        "kms generate-data-key --key alias/sealgate/certstore --context RESERVED",
        "kms decrypt --in x.enc --context sealgate:config-path=rules",
    ] {
        let line = line.replace("RESERVED", &reserved);
        let said = testbed.refused(line.split(' '));
        assert!(said.contains("is reserved"), "{line}: {said}");
    }
}

const FRONT: &str = "version: 1
admin: { http: 127.0.0.1:0 }
listeners:
  http: { bind: 127.0.0.1:0, action: { forward: shop } }
";

/// A target that answers with the `authorization` of each request.
fn confessor() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().flatten().for_each(confess));
    address
}

fn confess(mut stream: TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let found = fields.find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let body = found.map_or("nothing", |(_, value)| value);
    let length = body.len();
    let answer =
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes());
}

#[test]
fn a_secret_of_the_configuration_opens_in_its_place_alone() {
    let testbed = Testbed::new();
    let target = confessor();
    let place = "target_groups.shop.request_headers.set.authorization";
    let mut command = testbed.command(["kms", "encrypt", "--for", place]);
    let sealed = piped(&mut command, b"Bearer hunter2\n");
    assert_eq!(sealed.status, 0, "{sealed:?}");
    let value = sealed.stdout.trim();
    assert!(value.starts_with("kms:"), "{value}");
    let group = |header: &str| {
        format!(
            "{FRONT}target_groups:\n  shop:\n    targets: [\"{target}\"]\n    \
             request_headers: {{ set: {{ authorization: \"{header}\" }} }}\n"
        )
    };
    let balancer = testbed.start(&group(value));
    testbed.ok(["check", "-c", "sealgate.yaml"]);
    let url = format!("http://{}/", balancer.address("http"));
    let get = || testbed::curl([url.as_str(), "-H", "authorization: the client's"]);
    assert_eq!(get(), "Bearer hunter2");

    // In a header for somebody else's target it does not open, and what served goes on.
    let moved = group(value)
        .replace("  shop:", "  mine:")
        .replace("forward: shop", "forward: mine");
    testbed.write("sealgate.yaml", &moved);
    let line = 1 + moved.lines().position(|line| line.contains(value)).unwrap();
    for command in [&["check", "-c", "sealgate.yaml"][..], &["reload"]] {
        let refused = testbed.run(command);
        assert_ne!(refused.status, 0, "{refused:?}");
        assert!(
            refused.stderr.contains(&format!("sealgate.yaml:{line}:")),
            "{refused:?}"
        );
        assert!(
            refused
                .stderr
                .contains("target_groups.mine.request_headers.set.authorization")
        );
    }
    assert_eq!(get(), "Bearer hunter2");
    let elsewhere = Testbed::new();
    elsewhere.write("sealgate.yaml", group(value));
    let said = elsewhere.refused(["check", "-c", "sealgate.yaml"]);
    assert!(said.contains("does not open"), "{said}");

    testbed.write("sealgate.yaml", group("kms:!"));
    assert!(
        testbed
            .refused(["check", "-c", "sealgate.yaml"])
            .contains("base64")
    );
    let shown = [
        testbed.ok(["status", "--output", "json"]),
        testbed.run(["explain", &url]).stdout,
        balancer.log(),
        moved,
    ];
    for text in shown {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn the_store_may_use_a_key_of_the_user_s() {
    let (testbed, authority) = (Testbed::new(), Authority::new());
    let id = create_key(&testbed, "alias/shop");
    let yaml = "version: 1
certstore: { key: alias/shop }
listeners:
  https:
    bind: 127.0.0.1:0
    tls: { certificates: [\"*\"] }
    action: { respond: { status: 200, body: fine } }
";
    let balancer = testbed.start(yaml);
    let imported = testbed.imported("shop.example.com", &authority.issue(&["shop.example.com"]));
    let key = imported["entry"]["kms_key"].as_str().unwrap();
    assert!(key.ends_with(&id), "{key}");
    testbed.ok(["kms", "key", "rotate", "alias/shop"]);
    let client = TlsClient::new(authority.root_pem());
    let address = balancer.address("https");
    client.connect(address, "shop.example.com").unwrap();
    testbed.imported("shop.example.com", &authority.issue(&["shop.example.com"]));
    assert!(testbed.ok(["store", "verify"]).contains("1 entry is whole"));
}

/// A directory that every user can look into, with a copy of the binary.
struct Public {
    directory: tempfile::TempDir,
}

impl Public {
    fn new() -> Self {
        let directory = tempfile::TempDir::new().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        fs::copy(sealgate_binary(), directory.path().join("sealgate")).unwrap();
        Self { directory }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("kms.sock")
    }

    /// `sealgate ARGUMENTS --socket SOCKET`, as user `uid`.
    fn run_as(&self, uid: u32, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={uid}"), "--clear-groups", "--"]);
        command.arg(self.directory.path().join("sealgate"));
        command.args(arguments).arg("--socket").arg(self.socket());
        command.current_dir("/").env("NO_COLOR", "1");
        piped(&mut command, input)
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn local_users_have_the_rights_of_whom_they_act_as() {
    if !is_root() {
        eprintln!("not root: nobody else to run as");
        return;
    }
    let (alice, bob, nobody) = (64_001, 64_002, 64_003);
    let (testbed, public) = (Testbed::new(), Public::new());
    create_key(&testbed, "alias/shop");
    let socket = public.socket();
    let yaml = format!(
        "{FRONT}target_groups: {{ shop: {{ targets: [\"127.0.0.1:9\"] }} }}\nkms: {{ socket: {} }}\n",
        socket.display()
    );
    let _balancer = testbed.start(&yaml);
    testbed.write("encrypt.json", policy("Allow", "kms:Encrypt"));
    testbed.write("all.json", policy("Allow", "kms:*"));
    for (name, uid, policy) in [("alice", alice, "all.json"), ("bob", bob, "encrypt.json")] {
        testbed.ok(["kms", "identity", "create-user", name]);
        let principal = format!("user/{name}");
        testbed.ok([
            "kms",
            "identity",
            "put-policy",
            &principal,
            "rights",
            policy,
        ]);
        testbed.ok(["kms", "identity", "map-uid", &principal, &uid.to_string()]);
    }
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o666
    );
    let encrypt = ["kms", "encrypt", "--key", "alias/shop"];
    let sealed = public.run_as(bob, &encrypt, b"for alice");
    assert_eq!(sealed.status, 0, "{sealed:?}");
    let refused = public.run_as(bob, &["kms", "decrypt"], sealed.stdout.as_bytes());
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("user/bob may not kms:Decrypt"),
        "{refused:?}"
    );
    let opened = public.run_as(alice, &["kms", "decrypt"], sealed.stdout.as_bytes());
    assert_eq!(opened.stdout, "for alice", "{opened:?}");
    let me = public.run_as(alice, &["kms", "whoami"], b"");
    assert!(me.stdout.trim().ends_with("user/alice"), "{me:?}");
    let certstore = "alias/sealgate/certstore";
    let stranger = public.run_as(nobody, &["kms", "key", "disable", certstore], b"");
    assert!(stranger.stderr.contains("map-uid"), "{stranger:?}");
    // Who may not do it does not hear either which certificates need the key.
    let refused = public.run_as(bob, &["kms", "key", "disable", "alias/shop"], b"");
    assert!(
        refused.stderr.contains("user/bob may not kms:DisableKey"),
        "{refused:?}"
    );
    for line in [
        &["kms", "identity", "list"][..],
        &["kms", "identity", "create-user", "mallory"],
        &[
            "kms",
            "explain",
            "--principal",
            "user/bob",
            "--action",
            "Decrypt",
        ],
    ] {
        let refused = public.run_as(alice, line, b"");
        assert!(
            refused.stderr.contains("only the root of the account"),
            "{refused:?}"
        );
    }
    refuses_all_but_the_kms(&socket, &testbed);
    testbed.ok([
        "kms",
        "identity",
        "unmap-uid",
        "user/alice",
        &alice.to_string(),
    ]);
    let refused = public.run_as(alice, &["kms", "whoami"], b"");
    assert_eq!(refused.status, 1, "{refused:?}");
}

/// The socket of the KMS steers no balancer, not even for root.
fn refuses_all_but_the_kms(socket: &Path, testbed: &Testbed) {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let request = r#"{"protocol":1,"state":null,"request":{"kind":"drain"}}"#;
    let mut frame = u32::try_from(request.len()).unwrap().to_be_bytes().to_vec();
    frame.extend(request.as_bytes());
    frame.extend([0; 4]);
    stream.write_all(&frame).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("KMS alone"), "{answer}");
    assert_eq!(testbed.json(["status"])["phase"], "serving");
}

#[test]
fn a_damaged_record_is_named_also_where_nobody_asks_for_it() {
    let testbed = Testbed::new();
    create_key(&testbed, "alias/shop");
    let records = testbed.state().join("kms");
    fs::rename(records.join("@shop"), records.join("@other")).unwrap();
    let listed = testbed.run(["kms", "key", "list"]);
    assert_eq!(listed.status, 0, "{listed:?}");
    assert!(listed.stderr.contains("`@other`"), "{listed:?}");
}

#[test]
fn plaintexts_come_by_pipes_and_go_to_files() {
    let testbed = Testbed::new();
    create_key(&testbed, "alias/shop");
    let mut command = testbed.command(["kms", "encrypt", "--key", "alias/shop"]);
    let sealed = piped(&mut command, &[0, 1, 2, 0xff]);
    let mut command = testbed.command(["kms", "decrypt", "--out", "plain"]);
    let opened = piped(&mut command, sealed.stdout.as_bytes());
    assert_eq!((opened.status, opened.stdout.as_str()), (0, ""));
    let plain = testbed.path().join("plain");
    assert_eq!(fs::read(&plain).unwrap(), [0, 1, 2, 0xff]);
    assert_eq!(
        fs::metadata(&plain).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut command = testbed.command(["kms", "encrypt", "--key", "alias/shop"]);
    let refused = piped(&mut command, b"");
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.stderr.contains("plaintext"), "{refused:?}");
}
