//! No text makes the parser panic, and large ones take time in proportion to their size.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use config::{Config, Diagnostic};
use proptest::prelude::*;

const FULL: &str = include_str!("../examples/full.yaml");
const WEBSOCKET: &str = include_str!("../examples/websocket.yaml");
const STARTER: &str = include_str!("../src/starter.yaml");

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        tell(&text);
    }

    #[test]
    fn any_text_of_yaml_characters_is_read_or_refused(text in "[ \\n\\t:{}\\[\\],#&*!|>'\"%@`?a-c0-9~-]{0,80}") {
        tell(&text);
    }

    #[test]
    fn mutated_examples_are_read_or_refused(
        example in prop_oneof![Just(FULL), Just(WEBSOCKET), Just(STARTER)],
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "\\PC{0,4}|[:{}\\[\\],\n\t ü]"), 1..6),
    ) {
        let mut characters: Vec<char> = example.chars().collect();
        for (place, cut, insert) in edits {
            let start = place.index(characters.len() + 1);
            let end = (start + cut).min(characters.len());
            characters.splice(start..end, insert.chars());
        }
        tell(&characters.into_iter().collect::<String>());
    }

    #[test]
    fn any_value_may_stand_at_any_key(
        line in 0_usize..60,
        value in prop_oneof![
            Just("~"), Just("[]"), Just("{}"), Just("7"), Just("-1"), Just("0.5"), Just("1e400"), Just("''"),
            Just("true"), Just("[[1]]"), Just("{ a: { b: c } }"), Just("99999999999999999999"), Just("5s"),
            Just("1MiB"), Just("'*'"), Just("none"), Just(".nan"),
        ],
    ) {
        let mut text = String::new();
        for (index, original) in FULL.lines().enumerate() {
            match original.split_once(": ") {
                Some((key, _)) if index == line => writeln!(text, "{key}: {value}"),
                _ => writeln!(text, "{original}"),
            }
            .expect("writing to a string does not fail");
        }
        tell(&text);
    }
}

/// Parses, and says what is wrong in all ways that there are.
fn tell(text: &str) {
    let told: Vec<Diagnostic> = match Config::parse("f.yaml", text) {
        Ok(loaded) => loaded.warnings,
        Err(faults) => {
            assert!(faults.errors() > 0);
            assert!(
                faults
                    .to_json()
                    .as_array()
                    .is_some_and(|list| !list.is_empty())
            );
            faults.iter().cloned().collect()
        }
    };
    let lines = text.lines().count() + 1;
    for each in &told {
        assert!((1..=lines).contains(&each.line), "{each:?}");
    }
    config::render(&told, true);
}

#[test]
fn large_documents_take_time_in_proportion() {
    let time = |size: usize, text: fn(usize) -> String| {
        let text = text(size);
        let started = Instant::now();
        tell(&text);
        started.elapsed()
    };
    for text in [valid, full_of_faults, same_host, one_line, repeated_keys] {
        let small = time(1_000, text).max(Duration::from_millis(5));
        let large = time(8_000, text);
        // Eight times the size; 64 times the time would be quadratic. What is between is noise.
        assert!(
            large < small * 32,
            "{small:?} for 1,000, {large:?} for 8,000"
        );
    }
}

/// As many rules and listeners as `size`, in order.
fn valid(size: usize) -> String {
    document(size, |rules, index| {
        writeln!(
            rules,
            "  - {{ when: {{ host: h{index}.example, path: /p{index}/* }}, forward: g }}"
        )
    })
}

/// Each rule with an unknown key, an unknown group and a bad value.
fn full_of_faults(size: usize) -> String {
    document(size, |rules, index| {
        writeln!(
            rules,
            "  - {{ wenn: 1, forward: gg{index}, when: {{ path: x }} }}"
        )
    })
}

/// Rules that differ in their paths only, which makes the search for hidden rules hard.
fn same_host(size: usize) -> String {
    document(size, |rules, index| {
        writeln!(
            rules,
            "  - {{ when: {{ host: a.b.example, path: /v/{index}, method: [GET] }}, forward: g }}"
        )
    })
}

/// A line that holds everything, with a fault in each item.
fn one_line(size: usize) -> String {
    let items = (0..size).map(|index| format!("{{ forward: x{index}, ü: 1 }}"));
    format!(
        "{{ version: 1, rules: [{}] }}",
        items.collect::<Vec<_>>().join(",")
    )
}

/// A mapping in which every key stands twice.
fn repeated_keys(size: usize) -> String {
    let entries = (0..size).map(|index| format!("  k{}: {{ targets: x }}\n", index / 2));
    format!(
        "version: 1\ntarget_groups:\n{}",
        entries.collect::<String>()
    )
}

fn document(size: usize, rule: fn(&mut String, usize) -> std::fmt::Result) -> String {
    let mut text =
        "version: 1\ntarget_groups: { g: { targets: '127.0.0.1:1' } }\nlisteners:\n".to_owned();
    for index in 0..size {
        let (high, low) = (index / 250, index % 250);
        writeln!(text, "  l{index}: {{ bind: '127.0.{high}.{low}:80' }}").expect("a string");
    }
    text.push_str("rules:\n");
    for index in 0..size {
        rule(&mut text, index).expect("a string");
    }
    text
}
