//! kill -9 at any moment: the store opens, and each entry is the old or the new one, whole.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use testbed::{Authority, Process, Testbed};

const IMPORTS: usize = 500;

#[test]
fn imports_that_are_killed_leave_the_old_or_the_new_entry() {
    let testbed = Testbed::new();
    let authority = Authority::new();
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let issued: Vec<_> = (0..8)
        .map(|_| authority.issue(&["shop.example.com"]))
        .collect();
    for (at, issued) in issued.iter().enumerate() {
        issued.write(testbed.path(), &at.to_string());
    }
    let arguments = |at: usize| {
        [
            "cert".into(),
            "import".into(),
            "shop.example.com".into(),
            "--cert".into(),
            format!("{at}.pem"),
            "--key".into(),
            format!("{at}.key"),
        ]
    };
    let start = Instant::now();
    testbed.ok(arguments(0));
    let whole = start.elapsed();
    let (mut current, mut killed) = (issued[0].serial.clone(), 0);
    let mut ends: HashMap<&str, usize> = HashMap::new();
    for round in 1..=IMPORTS {
        let at = round % issued.len();
        let mut process = Process::start(
            testbed
                .command(arguments(at))
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null()),
        );
        // The moment of the kill is what is tried, not a wait for anything.
        thread::sleep(random.random_range(Duration::ZERO..whole * 5 / 4));
        process.signal("KILL");
        let finished = process.wait(Duration::from_secs(60)).success();
        killed += usize::from(!finished);
        let shown = testbed.json(["cert", "show", "shop.example.com"]);
        let serial = shown[0]["serial"].as_str().unwrap_or_default().to_owned();
        let new = serial == issued[at].serial;
        assert!(
            new || (serial == current && !finished),
            "round {round}: {shown}"
        );
        *ends.entry(if new { "new" } else { "old" }).or_default() += 1;
        current = serial;
    }
    testbed.ok(["store", "verify"]);
    println!("{IMPORTS} imports, {killed} killed before their end: {ends:?}");
    assert!(killed > IMPORTS / 4, "only {killed} were killed in time");
}
