//! The commands as a whole.

use clap::Parser;

use super::*;

#[test]
fn a_server_that_is_not_there_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let failure = command(&["--connect", &address]).expect_err("nobody listens");
    assert_eq!(failure.status, 1);
    let message = &failure.message;
    assert!(
        message.starts_with(&format!("cannot connect to {address}")),
        "{message}"
    );
    assert!(message.contains("refused"), "{message}");
    let details = failure.details.expect("the report");
    assert_eq!(details["gave_up"], true);
}

#[test]
fn a_plan_that_leads_nowhere_is_wrong_usage() {
    let wrong = ["--connect", "127.0.0.1:1", "--request", "nowhere"];
    assert_eq!(command(&wrong).map_err(|failure| failure.status), Err(2));
    let own = std::process::id().to_string();
    let itself = command(&["--connect", "127.0.0.1:1", "--pid", &own]);
    assert_eq!(itself.map_err(|failure| failure.status), Err(1));
}

#[test]
fn nobody_there_is_said_for_requests_and_rounds_too() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let url = format!("https://{address}/");
    let failure = bench_command(&["http", "--url", &url]).expect_err("nobody listens");
    assert!(failure.message.contains("refused"), "{}", failure.message);
    let rounds = ["http", "--url", &url, "--rounds", "3", "--label", "a"];
    let failure = bench_command(&rounds).expect_err("nobody listens");
    assert_eq!(failure.status, 1);
}

#[test]
fn reports_are_compared() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (old, new, page) = (path("old.json"), path("new.json"), path("page.html"));
    for (path, figure) in [(&old, 100.0), (&new, 50.0)] {
        let report = crate::bench::tests::written_report(figure);
        std::fs::write(path, report.to_string()).expect("a file");
    }
    // That it has become worse is no failure.
    bench_command(&["compare", &old, &new, "--html", &page]).expect("two reports");
    let page = std::fs::read_to_string(page).expect("a page");
    assert!(page.contains("old 127.0.0.1:1") && page.contains("new 127.0.0.1:1"));

    std::fs::write(&new, "{}").expect("a file");
    let failure = bench_command(&["compare", &old, &new]).expect_err("no report");
    assert_eq!(failure.status, 1);
    assert!(failure.message.starts_with(&new), "{}", failure.message);
}

fn command(options: &[&str]) -> Result<(), Failure> {
    bench_command(&[&["handshake"], options].concat())
}

fn bench_command(words: &[&str]) -> Result<(), Failure> {
    let words = ["sealgate", "bench"].iter().chain(words);
    let cli = crate::commands::Cli::try_parse_from(words).expect("a command line");
    let crate::commands::cli::Command::Bench(options) = cli.command else {
        panic!("another command: {:?}", cli.command);
    };
    bench(&Session::from(cli.common), &options)
}
