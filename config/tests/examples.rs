//! Every example is accepted without a warning and passes the JSON Schema, which names every key.

use std::fs;
use std::path::{Path, PathBuf};

use config::Config;
use serde_json::Value;

#[test]
fn examples_are_accepted_without_a_warning() {
    for path in examples() {
        match Config::load(&path) {
            Ok(loaded) => assert!(
                loaded.warnings.is_empty(),
                "{}",
                config::render(&loaded.warnings, false)
            ),
            Err(faults) => panic!("{faults}"),
        }
    }
}

#[test]
fn smallest_example_is_small() {
    let text = fs::read_to_string(directory("examples").join("minimal.yaml")).expect("the example");
    assert!(text.lines().count() < 15);
}

#[test]
fn examples_pass_the_schema() {
    let schema = Schema(config::schema());
    for path in examples() {
        let faults = schema.faults(&document(&path));
        assert!(faults.is_empty(), "{}: {faults:#?}", path.display());
    }
}

/// Also proof that the small validator below finds anything.
#[test]
fn what_the_schema_refuses_is_refused() {
    let schema = Schema(config::schema());
    for text in [
        "version: 1\nlisteners: {}\nupstreams: {}\n",
        "listeners: {}\n",
        "version: 2\nlisteners: {}\n",
        "version: 1\nlisteners: { a: { bind: 80 } }\n",
        "version: 1\nlisteners: { a: { bind: '127.0.0.1:80', tls: { policy: strict } } }\n",
        "version: 1\nlisteners: {}\nrules: [{ forward: [a] }]\n",
    ] {
        let value = serde_yaml::from_str(text).expect("YAML");
        assert!(!schema.faults(&value).is_empty(), "{text}");
        assert!(Config::parse("f.yaml", text).is_err(), "{text}");
    }
}

#[test]
fn every_key_is_described() {
    let schema = config::schema();
    let definitions = schema["$defs"].as_object().expect("definitions");
    for (name, definition) in definitions
        .iter()
        .chain([(&"Document".to_owned(), &schema)])
    {
        let keys = definition["properties"].as_object().into_iter().flatten();
        for (key, property) in keys {
            let description = property["description"].as_str().unwrap_or_default();
            assert!(description.ends_with('.'), "{name}.{key}: {description:?}");
        }
    }
}

/// As much of JSON Schema as the product's schema uses, patterns left out.
struct Schema(Value);

impl Schema {
    fn faults(&self, document: &Value) -> Vec<String> {
        let mut faults = Vec::new();
        self.check(&self.0, document, "", &mut faults);
        faults
    }

    fn check(&self, schema: &Value, value: &Value, path: &str, faults: &mut Vec<String>) {
        if let Some(reference) = schema["$ref"].as_str() {
            let pointer = reference.trim_start_matches('#');
            let target = self.0.pointer(pointer).expect("a definition");
            self.check(target, value, path, faults);
        }
        for key in ["anyOf", "oneOf"] {
            self.check_choice(&schema[key], value, path, faults);
        }
        if !is_of_type(schema["type"].as_str(), value)
            || schema.get("const").is_some_and(|only| only != value)
            || schema["enum"]
                .as_array()
                .is_some_and(|values| !values.contains(value))
            || schema["minimum"].as_u64() > value.as_u64() && value.is_u64()
            || value.as_u64() > schema["maximum"].as_u64() && schema["maximum"].is_u64()
        {
            faults.push(format!("{path}: {value}"));
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check(&schema["items"], item, &format!("{path}[{index}]"), faults);
        }
        self.check_object(schema, value, path, faults);
    }

    fn check_choice(&self, choices: &Value, value: &Value, path: &str, faults: &mut Vec<String>) {
        let Some(choices) = choices.as_array() else {
            return;
        };
        let passes = |choice: &Value| {
            let mut faults = Vec::new();
            self.check(choice, value, path, &mut faults);
            faults.is_empty()
        };
        if !choices.iter().any(passes) {
            faults.push(format!("{path}: {value} is none of the choices"));
        }
    }

    fn check_object(&self, schema: &Value, value: &Value, path: &str, faults: &mut Vec<String>) {
        let Some(object) = value.as_object() else {
            return;
        };
        for (key, item) in object {
            let rest = &schema["additionalProperties"];
            match schema["properties"].get(key) {
                Some(property) => self.check(property, item, &format!("{path}.{key}"), faults),
                None if *rest == false => faults.push(format!("{path}.{key}: unknown")),
                None => self.check(rest, item, &format!("{path}.{key}"), faults),
            }
        }
        let required = schema["required"].as_array().into_iter().flatten();
        let missing = required
            .filter_map(Value::as_str)
            .filter(|key| !object.contains_key(*key));
        faults.extend(missing.map(|key| format!("{path}.{key}: missing")));
    }
}

fn is_of_type(name: Option<&str>, value: &Value) -> bool {
    match name {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("boolean") => value.is_boolean(),
        Some(other) => panic!("a type that the validator does not know: {other}"),
        None => true,
    }
}

fn examples() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory("examples"))
        .expect("the directory of examples")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.push(directory("src").join("starter.yaml"));
    paths
}

fn document(path: &Path) -> Value {
    let text = fs::read_to_string(path).expect("the example");
    serde_yaml::from_str(&text).expect("YAML")
}

fn directory(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
