//! Which rule a request meets. The first that matches wins, and ten thousand are no slower than ten: a
//! request looks only at rules for its own host, or a domain above it, and at patterns of its own path.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use crate::action::Action;
use crate::path::{self, PathForm};

/// All rules and the listeners' own actions.
#[derive(Debug)]
pub struct Router {
    rules: Vec<Rule>,
    /// One per listener, with only the rules that can match there.
    listeners: Vec<Index>,
}

/// A rule, as far as it matters once it has matched.
#[derive(Debug)]
pub struct Rule {
    /// For the access log and people.
    pub name: Arc<str>,
    /// What is done.
    pub action: Action,
}

/// What a request is matched by.
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// Index of the listener.
    pub listener: usize,
    /// The host in lower case.
    pub host: &'a str,
    /// The normalised path.
    pub path: &'a str,
    /// The method.
    pub method: &'a Method,
}

impl Router {
    /// The rules of a configuration. Path patterns are normalised as paths of requests are.
    pub fn new(config: &config::Config) -> Self {
        let rules: Vec<_> = config.rules.iter().map(Rule::new).collect();
        let mut router = Self {
            listeners: config.listeners.iter().map(|_| Index::default()).collect(),
            rules,
        };
        for (number, rule) in config.rules.iter().enumerate() {
            let indices = config.listeners.iter().zip(&mut router.listeners);
            for (place, (listener, index)) in indices.enumerate() {
                if rule.listener.is_none_or(|only| only == place) {
                    index.add(number, &rule.when, listener.merge_slashes);
                }
            }
        }
        for (listener, index) in config.listeners.iter().zip(&mut router.listeners) {
            if let Some(action) = &listener.action {
                index.add(
                    router.rules.len(),
                    &config::RuleCondition::default(),
                    listener.merge_slashes,
                );
                router.rules.push(Rule {
                    name: format!("listener {}", listener.name).into(),
                    action: Action::new(action),
                });
            }
            index.link();
        }
        router
    }

    /// The rule for a request: the first that matches, else one for the listener's own action.
    pub fn route(&self, route: Route<'_>) -> Option<&Rule> {
        let index = self.listeners.get(route.listener)?;
        let number = index.first(route.host, route.path, route.method)?;
        self.rules.get(number)
    }
}

impl Rule {
    fn new(rule: &config::Rule) -> Self {
        Self {
            name: rule.name.as_str().into(),
            action: Action::new(&rule.action),
        }
    }
}

/// Rules by host.
#[derive(Debug, Default)]
struct Index {
    exact: HashMap<Box<str>, Paths>,
    /// By the domain that the host is below.
    below: HashMap<Box<str>, Paths>,
    any: Paths,
}

impl Index {
    fn add(&mut self, number: usize, when: &config::RuleCondition, merge_slashes: bool) {
        if when.host.is_empty() {
            self.any.add(number, when, merge_slashes);
        }
        for host in &when.host {
            let paths = match host {
                config::HostPattern::Exact(host) => self.exact.entry(host.as_str().into()),
                config::HostPattern::Subdomains(domain) => self.below.entry(domain.as_str().into()),
            };
            paths.or_default().add(number, when, merge_slashes);
        }
    }

    /// Once all rules are there.
    fn link(&mut self) {
        let paths = self.exact.values_mut().chain(self.below.values_mut());
        for paths in paths.chain([&mut self.any]) {
            paths.prefixes.link();
        }
    }

    /// The number of the first rule that matches.
    fn first(&self, host: &str, path: &str, method: &Method) -> Option<usize> {
        let mut first = First {
            path,
            method,
            number: None,
        };
        self.exact
            .get(host)
            .into_iter()
            .for_each(|paths| first.look_at(paths));
        if !self.below.is_empty() {
            let mut rest = host;
            while let Some((_, domain)) = rest.split_once('.') {
                self.below
                    .get(domain)
                    .into_iter()
                    .for_each(|paths| first.look_at(paths));
                rest = domain;
            }
        }
        first.look_at(&self.any);
        first.number
    }
}

/// Rules of one host by path.
#[derive(Debug, Default)]
struct Paths {
    any: Vec<Entry>,
    exact: HashMap<Box<str>, Vec<Entry>>,
    prefixes: Prefixes,
}

impl Paths {
    fn add(&mut self, number: usize, when: &config::RuleCondition, merge_slashes: bool) {
        let entry = || Entry::new(number, when);
        if when.path.is_empty() {
            push(&mut self.any, entry());
        }
        for path in &when.path {
            match path {
                config::PathPattern::Exact(path) => {
                    let path = normal_pattern(path, merge_slashes).into_boxed_str();
                    push(self.exact.entry(path).or_default(), entry());
                }
                config::PathPattern::Prefix(prefix) => {
                    let prefix = normal_pattern(prefix, merge_slashes);
                    if let Some(itself) = prefix.strip_suffix('/') {
                        push(self.exact.entry(itself.into()).or_default(), entry());
                    }
                    self.prefixes.add(&prefix, entry());
                }
            }
        }
    }
}

/// Adds `entry` unless the same rule is there already: rules come in the order of their numbers.
fn push(entries: &mut Vec<Entry>, entry: Entry) {
    if entries
        .last()
        .is_none_or(|last| last.number != entry.number)
    {
        entries.push(entry);
    }
}

/// Prefixes in the order of their bytes, each with a link to the longest other one that it begins with:
/// the prefixes of a path are the one found by bisection and what its links lead to.
#[derive(Debug, Default)]
struct Prefixes(Vec<Prefix>);

#[derive(Debug)]
struct Prefix {
    text: Box<str>,
    entries: Vec<Entry>,
    shorter: Option<usize>,
}

impl Prefixes {
    fn add(&mut self, text: &str, entry: Entry) {
        let place = self.0.binary_search_by(|prefix| (*prefix.text).cmp(text));
        match place {
            Ok(place) => push(&mut self.0[place].entries, entry),
            Err(place) => {
                self.0.insert(
                    place,
                    Prefix {
                        text: text.into(),
                        entries: vec![entry],
                        shorter: None,
                    },
                );
            }
        }
    }

    /// Once all are there.
    fn link(&mut self) {
        for place in 0..self.0.len() {
            let mut shorter = place.checked_sub(1);
            while let Some(other) = shorter
                && !self.0[place].text.starts_with(&*self.0[other].text)
            {
                shorter = self.0[other].shorter;
            }
            self.0[place].shorter = shorter;
        }
    }

    /// The prefixes of `path`, the longest first.
    fn of<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Prefix> {
        let behind = self.0.partition_point(|prefix| *prefix.text <= *path);
        let link = |place: usize| self.0[place].shorter;
        let places = std::iter::successors(behind.checked_sub(1), move |place| link(*place));
        let prefixes = places.map(|place| &self.0[place]);
        prefixes.filter(|prefix| path.starts_with(&*prefix.text))
    }
}

/// A rule whose host and path match.
#[derive(Debug, Clone)]
struct Entry {
    number: usize,
    methods: Vec<Method>,
}

impl Entry {
    fn new(number: usize, when: &config::RuleCondition) -> Self {
        let methods = when.method.iter();
        let methods = methods.filter_map(|method| Method::from_bytes(method.as_bytes()).ok());
        Self {
            number,
            methods: methods.collect(),
        }
    }
}

/// The first rule that has been seen to match.
struct First<'a> {
    path: &'a str,
    method: &'a Method,
    number: Option<usize>,
}

impl First<'_> {
    fn look_at(&mut self, paths: &Paths) {
        self.look_among(&paths.any);
        if !paths.exact.is_empty()
            && let Some(entries) = paths.exact.get(self.path)
        {
            self.look_among(entries);
        }
        for prefix in paths.prefixes.of(self.path) {
            self.look_among(&prefix.entries);
        }
    }

    fn look_among(&mut self, entries: &[Entry]) {
        let better = entries
            .iter()
            .take_while(|entry| self.number.is_none_or(|best| entry.number < best));
        let first = better
            .filter(|entry| entry.methods.is_empty() || entry.methods.contains(self.method))
            .map(|entry| entry.number)
            .next();
        self.number = first.or(self.number);
    }
}

/// A pattern in the form that paths of requests have; as it is where it can match none.
fn normal_pattern(pattern: &str, merge_slashes: bool) -> String {
    let form = PathForm {
        allow_encoded_slash: true,
        merge_slashes,
    };
    path::normalise(pattern, form).map_or_else(|_| pattern.to_owned(), String::from)
}

#[cfg(test)]
mod tests {
    use config::{HostPattern, PathPattern, RuleCondition};
    use proptest::prelude::*;

    use super::*;

    /// The rules one after the other, as the documentation describes them.
    fn naive(rules: &[RuleCondition], host: &str, path: &str, method: &Method) -> Option<usize> {
        rules.iter().position(|when| {
            let host = when.host.is_empty()
                || when.host.iter().any(|pattern| match pattern {
                    HostPattern::Exact(exact) => exact == host,
                    HostPattern::Subdomains(domain) => host
                        .strip_suffix(domain.as_str())
                        .is_some_and(|rest| rest.ends_with('.')),
                });
            let path = when.path.is_empty()
                || when.path.iter().any(|pattern| match pattern {
                    PathPattern::Exact(exact) => exact == path,
                    PathPattern::Prefix(prefix) => {
                        path.starts_with(prefix.as_str())
                            || prefix
                                .strip_suffix('/')
                                .is_some_and(|itself| itself == path)
                    }
                });
            let method =
                when.method.is_empty() || when.method.iter().any(|own| own == method.as_str());
            host && path && method
        })
    }

    fn index(rules: &[RuleCondition]) -> Index {
        let mut index = Index::default();
        for (number, when) in rules.iter().enumerate() {
            index.add(number, when, false);
        }
        index.link();
        index
    }

    fn hosts() -> impl Strategy<Value = Vec<HostPattern>> {
        let name = "[ab](\\.[ab]){0,3}";
        let pattern = prop_oneof![
            name.prop_map(HostPattern::Exact),
            name.prop_map(HostPattern::Subdomains),
        ];
        proptest::collection::vec(pattern, 0..3)
    }

    fn paths() -> impl Strategy<Value = Vec<PathPattern>> {
        let pattern = prop_oneof![
            "(/[ab]{0,2}){1,3}".prop_map(PathPattern::Exact),
            "(/[ab]{0,2}){0,3}/".prop_map(PathPattern::Prefix),
            "(/[ab]{0,2}){1,3}".prop_map(PathPattern::Prefix),
        ];
        proptest::collection::vec(pattern, 0..3)
    }

    fn conditions() -> impl Strategy<Value = Vec<RuleCondition>> {
        let method = prop_oneof![Just("GET".to_owned()), Just("POST".to_owned())];
        let methods = proptest::collection::vec(method, 0..2);
        let when = (hosts(), paths(), methods).prop_map(|(host, path, method)| RuleCondition {
            host,
            path,
            method,
        });
        proptest::collection::vec(when, 0..12)
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_walk_finds(
            rules in conditions(),
            requests in proptest::collection::vec(
                ("[ab](\\.[ab]){0,4}", "(/[ab]{0,3}){1,4}", any::<bool>()),
                20,
            ),
        ) {
            let index = index(&rules);
            for (host, path, get) in requests {
                let method = if get { Method::GET } else { Method::POST };
                let expected = naive(&rules, &host, &path, &method);
                let found = index.first(&host, &path, &method);
                prop_assert_eq!(found, expected, "{} {} {}", method, host, path);
            }
        }
    }

    #[test]
    fn patterns_have_the_form_that_paths_have() {
        for (merge_slashes, pattern) in [(true, "/a/b"), (false, "/a//b")] {
            let mut index = Index::default();
            let when = RuleCondition {
                path: vec![PathPattern::Exact("/a//b".into())],
                ..RuleCondition::default()
            };
            index.add(0, &when, merge_slashes);
            assert_eq!(index.first("a", pattern, &Method::GET), Some(0));
        }
    }

    #[test]
    fn a_prefix_with_a_slash_matches_the_path_itself() {
        let when = RuleCondition {
            path: vec![PathPattern::Prefix("/v2/".into())],
            ..RuleCondition::default()
        };
        let index = index(&[when]);
        for (path, matches) in [
            ("/v2", true),
            ("/v2/", true),
            ("/v2/x", true),
            ("/v2x", false),
        ] {
            let found = index.first("a", path, &Method::GET).is_some();
            assert_eq!(found, matches, "{path}");
        }
    }
}
