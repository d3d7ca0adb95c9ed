#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(faults) = config::Config::parse("fuzz.yaml", text) {
        assert!(faults.errors() > 0);
        let all: Vec<_> = faults.iter().cloned().collect();
        config::render(&all, true);
    }
});
