//! Rules that no request reaches, because earlier ones match all of theirs.
//!
//! Comparing every rule with every earlier one would be quadratic. A rule that covers another covers
//! its first host and its first path, so that earlier rules are found by what could cover these two.

use std::collections::{BTreeSet, HashMap};

use crate::fault::Fault;
use crate::span::Span;
use crate::{HostPattern, PathPattern, Rule};

/// A warning for each rule of which one earlier rule matches every request.
pub(super) fn unreachable(rules: &[Rule], spans: &[Span]) -> Vec<Fault> {
    let mut earlier = Earlier::default();
    let mut faults = Vec::new();
    for (index, (rule, span)) in rules.iter().zip(spans).enumerate() {
        if let Some(first) = earlier.covering(rules, rule) {
            faults.push(
                Fault::warning(*span, format!("no request reaches rule `{}`", rule.name))
                    .related(spans[first], "this one matches all of its requests")
                    .hint(
                        "the first rule that matches wins: move the narrower one up, or remove it"
                            .to_owned(),
                    ),
            );
        } else {
            earlier.add(index, rule);
        }
    }
    faults
}

/// Whether `wide` matches every host that `narrow` matches. Empty lists match every host.
pub(super) fn hosts_cover(wide: &[HostPattern], narrow: &[HostPattern]) -> bool {
    covers(wide, narrow, |wide, narrow| match (wide, narrow) {
        (HostPattern::Exact(wide), HostPattern::Exact(narrow)) => wide == narrow,
        (HostPattern::Exact(_), HostPattern::Subdomains(_)) => false,
        (HostPattern::Subdomains(domain), HostPattern::Exact(host)) => is_below(host, domain),
        (HostPattern::Subdomains(wide), HostPattern::Subdomains(narrow)) => {
            wide == narrow || is_below(narrow, wide)
        }
    })
}

/// Whether `wide` matches every path that `narrow` matches. Empty lists match every path.
pub(super) fn paths_cover(wide: &[PathPattern], narrow: &[PathPattern]) -> bool {
    covers(wide, narrow, |wide, narrow| match (wide, narrow) {
        (PathPattern::Exact(wide), PathPattern::Exact(narrow)) => wide == narrow,
        (PathPattern::Exact(_), PathPattern::Prefix(_)) => false,
        (PathPattern::Prefix(prefix), PathPattern::Exact(path)) => {
            path.starts_with(prefix) || prefix.strip_suffix('/') == Some(path)
        }
        (PathPattern::Prefix(wide), PathPattern::Prefix(narrow)) => narrow.starts_with(wide),
    })
}

fn covers<T>(wide: &[T], narrow: &[T], one: impl Fn(&T, &T) -> bool) -> bool {
    wide.is_empty()
        || !narrow.is_empty()
            && narrow
                .iter()
                .all(|narrow| wide.iter().any(|wide| one(wide, narrow)))
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|rest| rest.ends_with('.'))
}

/// A host pattern to look up; none: every host.
type HostKey<'a> = Option<(bool, &'a str)>;
/// A path pattern to look up; none: every path.
type PathKey<'a> = Option<(bool, &'a str)>;

/// The rules so far.
#[derive(Default)]
struct Earlier<'a> {
    by_key: HashMap<(Option<usize>, HostKey<'a>, PathKey<'a>), Vec<usize>>,
    /// Of the prefixes in the keys.
    prefix_lengths: BTreeSet<usize>,
}

impl<'a> Earlier<'a> {
    /// Remembers a rule, unless it has very many patterns.
    fn add(&mut self, index: usize, rule: &'a Rule) {
        let hosts = or_any(rule.when.host.iter().map(host_key).collect());
        let paths = or_any(rule.when.path.iter().map(path_key).collect());
        if hosts.len() * paths.len() > MOST_KEYS {
            return;
        }
        for path in &paths {
            self.prefix_lengths.extend(prefix_length(*path));
            for host in &hosts {
                let same = self
                    .by_key
                    .entry((rule.listener, *host, *path))
                    .or_default();
                if same.len() < MOST_RULES {
                    same.push(index);
                }
            }
        }
    }

    /// An earlier rule that matches every request of `rule`.
    fn covering(&self, rules: &[Rule], rule: &Rule) -> Option<usize> {
        let hosts = host_keys_above(rule.when.host.first());
        let paths = self.path_keys_above(rule.when.path.first());
        let mut listeners = vec![None, rule.listener];
        listeners.dedup();
        let found = listeners.into_iter().flat_map(|listener| {
            let hosts = &hosts;
            paths
                .iter()
                .flat_map(move |path| hosts.iter().map(move |host| (listener, *host, *path)))
        });
        found
            .filter_map(|key| self.by_key.get(&key))
            .flatten()
            .copied()
            .find(|index| rule_covers(&rules[*index], rule))
    }

    /// All keys whose pattern covers this one.
    fn path_keys_above<'b>(&self, path: Option<&'b PathPattern>) -> Vec<PathKey<'b>> {
        let mut keys = vec![None];
        let Some(pattern) = path else {
            return keys;
        };
        let (PathPattern::Exact(path) | PathPattern::Prefix(path)) = pattern;
        keys.push(path_key(pattern));
        let prefixes = self
            .prefix_lengths
            .iter()
            .filter_map(|length| path.get(..*length));
        keys.extend(prefixes.map(|prefix| Some((true, prefix))));
        keys
    }
}

fn rule_covers(wide: &Rule, narrow: &Rule) -> bool {
    (wide.listener.is_none() || wide.listener == narrow.listener)
        && hosts_cover(&wide.when.host, &narrow.when.host)
        && paths_cover(&wide.when.path, &narrow.when.path)
        && covers(&wide.when.method, &narrow.when.method, |wide, narrow| {
            wide == narrow
        })
}

/// All keys whose pattern covers this one.
fn host_keys_above(host: Option<&HostPattern>) -> Vec<HostKey<'_>> {
    let mut keys = vec![None];
    let Some(pattern) = host else {
        return keys;
    };
    let (HostPattern::Exact(host) | HostPattern::Subdomains(host)) = pattern;
    keys.push(host_key(pattern));
    keys.extend(
        host.match_indices('.')
            .map(|(dot, _)| Some((true, &host[dot + 1..]))),
    );
    keys
}

fn host_key(pattern: &HostPattern) -> HostKey<'_> {
    Some(match pattern {
        HostPattern::Exact(host) => (false, host),
        HostPattern::Subdomains(domain) => (true, domain),
    })
}

fn path_key(pattern: &PathPattern) -> PathKey<'_> {
    Some(match pattern {
        PathPattern::Exact(path) => (false, path),
        // `/v2/*` matches `/v2` too.
        PathPattern::Prefix(prefix) => (true, prefix.strip_suffix('/').unwrap_or(prefix)),
    })
}

fn prefix_length(key: PathKey<'_>) -> Option<usize> {
    key.filter(|(is_prefix, _)| *is_prefix)
        .map(|(_, prefix)| prefix.len())
        .filter(|length| *length <= LONGEST_PREFIX)
}

fn or_any<T>(keys: Vec<Option<T>>) -> Vec<Option<T>> {
    if keys.is_empty() { vec![None] } else { keys }
}

/// Bounds that keep the search linear; beyond them a warning may be missed.
const MOST_KEYS: usize = 256;
const MOST_RULES: usize = 8;
const LONGEST_PREFIX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, FixedResponse, RuleCondition};

    fn rule(listener: Option<usize>, hosts: &[&str], paths: &[&str], methods: &[&str]) -> Rule {
        let host = |text: &&str| match text.strip_prefix("*.") {
            Some(domain) => HostPattern::Subdomains(domain.to_owned()),
            None => HostPattern::Exact((*text).to_owned()),
        };
        let path = |text: &&str| match text.strip_suffix('*') {
            Some(prefix) => PathPattern::Prefix(prefix.to_owned()),
            None => PathPattern::Exact((*text).to_owned()),
        };
        Rule {
            name: String::new(),
            listener,
            when: RuleCondition {
                host: hosts.iter().map(host).collect(),
                path: paths.iter().map(path).collect(),
                method: methods.iter().map(|method| (*method).to_owned()).collect(),
            },
            action: Action::Respond(FixedResponse {
                status: 200,
                content_type: String::new(),
                body: String::new(),
            }),
        }
    }

    /// Whether the second is reported as hidden by the first.
    fn hides(first: Rule, second: Rule) -> bool {
        let spans = [Span::new(0, 1), Span::new(2, 3)];
        !unreachable(&[first, second], &spans).is_empty()
    }

    #[test]
    fn wider_rules_hide_narrower_ones() {
        let any = || rule(None, &[], &[], &[]);
        assert!(hides(any(), rule(Some(1), &["a.b"], &["/x"], &["GET"])));
        assert!(hides(any(), any()));
        assert!(hides(
            rule(None, &["*.b"], &["/v2/*"], &[]),
            rule(None, &["a.b", "c.b"], &["/v2/x"], &[])
        ));
        assert!(hides(
            rule(None, &[], &["/v2/*"], &[]),
            rule(None, &[], &["/v2"], &[])
        ));
        assert!(hides(
            rule(None, &["x", "a"], &[], &["GET", "PUT"]),
            rule(None, &["a"], &[], &["PUT"])
        ));
    }

    #[test]
    fn narrower_rules_hide_nothing() {
        let any = || rule(None, &[], &[], &[]);
        assert!(!hides(rule(Some(0), &[], &[], &[]), any()));
        assert!(!hides(
            rule(None, &["*.b"], &[], &[]),
            rule(None, &["b"], &[], &[])
        ));
        assert!(!hides(
            rule(None, &["a.b"], &[], &[]),
            rule(None, &["a.b", "c.b"], &[], &[])
        ));
        assert!(!hides(
            rule(None, &[], &["/v2/x"], &[]),
            rule(None, &[], &["/v2/*"], &[])
        ));
        assert!(!hides(rule(None, &[], &[], &["GET"]), any()));
    }
}
