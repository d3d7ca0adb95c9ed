//! Every kind of fault as people see it: `faults/NAME.yaml` and, beside it, what is said about it.
//!
//! After a change of words, `SEALGATE_BLESS=1 cargo nextest run -p sealgate-config` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};

use config::{Config, Diagnostic, Severity};

#[test]
fn faults_are_told_as_they_were() {
    let bless = std::env::var_os("SEALGATE_BLESS").is_some();
    let mut different = Vec::new();
    for document in documents() {
        let name = document
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let told = tell(&name, &fs::read_to_string(&document).expect("a text"));
        let golden = document.with_extension("txt");
        if bless {
            fs::write(&golden, &told).expect("a writable directory");
        } else if fs::read_to_string(&golden).unwrap_or_default() != told {
            different.push(format!("=== {name}\n{told}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn every_fault_says_where_and_more_than_what() {
    for document in documents() {
        let text = fs::read_to_string(&document).expect("a text");
        for fault in faults("f.yaml", &text) {
            let lines = text.lines().count().max(1);
            assert!(
                (1..=lines).contains(&fault.line) && fault.column > 0,
                "{fault:?}"
            );
            let advice = fault.allowed.is_some() || fault.hint.is_some();
            assert!(advice, "neither allowed nor hint: {document:?} {fault:?}");
        }
    }
}

#[test]
fn programs_get_the_same_as_objects() {
    let faults =
        Config::parse("f.yaml", "version: 1\nlisteners: {}\ndrain: 5\n").expect_err("faults");
    let json = faults.to_json();
    assert_eq!(
        json[1],
        serde_json::json!({
            "severity": "error",
            "file": "f.yaml",
            "line": 3,
            "column": 8,
            "path": "drain",
            "message": "invalid value for `drain`",
            "found": "the number `5`",
            "allowed": "a duration such as `500ms`, `5s`, `2m`, `1h` or `1d`",
            "hint": "a bare number has no unit: write `5s` for seconds, `5ms` for milliseconds",
        })
    );
}

#[test]
fn colour_is_for_terminals_only() {
    let faults = Config::parse("f.yaml", "version: 2\n").expect_err("faults");
    assert!(faults.render(true).contains('\u{1b}'));
    assert!(!faults.render(false).contains('\u{1b}'));
    assert_eq!(faults.to_string(), faults.render(false));
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("none.yaml");
    let told = Config::load(&missing).expect_err("a fault").to_string();
    assert!(
        told.starts_with("error: cannot read ") && told.contains("sealgate init"),
        "{told}"
    );

    let binary = directory.path().join("binary.yaml");
    fs::write(&binary, [0xff, 0xfe]).expect("a writable directory");
    let told = Config::load(&binary).expect_err("a fault").to_string();
    assert!(told.contains("UTF-8"), "{told}");
}

fn documents() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let entries = fs::read_dir(directory).expect("the directory of faults");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect()
}

/// What is said about a document.
fn tell(name: &str, text: &str) -> String {
    match Config::parse(name, text) {
        Ok(loaded) => config::render(&loaded.warnings, false),
        Err(faults) => format!("{faults}\n"),
    }
}

fn faults(name: &str, text: &str) -> Vec<Diagnostic> {
    match Config::parse(name, text) {
        Ok(loaded) => {
            assert!(
                !loaded.warnings.is_empty(),
                "nothing is wrong with this:\n{text}"
            );
            assert!(
                loaded
                    .warnings
                    .iter()
                    .all(|each| each.severity == Severity::Warning)
            );
            loaded.warnings
        }
        Err(faults) => faults.iter().cloned().collect(),
    }
}
