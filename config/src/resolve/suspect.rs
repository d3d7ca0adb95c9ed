//! What is valid and was probably not meant: warnings.

mod shadow;

use std::collections::{HashMap, HashSet};

use super::items;
use crate::document::Document;
use crate::fault::Fault;
use crate::reader::Named;
use crate::span::Span;
use crate::{Action, Config, HostPattern, Listener, PathPattern, Redirect, RuleCondition};

/// All warnings. The document is the one that `config` was resolved from, without an error.
pub(super) fn warnings(config: &Config, document: &Document) -> Vec<Fault> {
    let rules = document.rules.get().map_or(&[][..], Vec::as_slice);
    let rules: Vec<Span> = items(rules).map(|(_, span)| span).collect();
    let listeners = spans(document.listeners.get());
    let mut faults = unused_groups(config, &spans(document.target_groups.get()));
    faults.extend(silent_listeners(config, &listeners));
    faults.extend(shadow::unreachable(&config.rules, &rules));
    faults.extend(loops(config, &rules, &listeners));
    faults.extend(bypassed_redirects(config, &rules, &listeners));
    faults.extend(closed_redirects(config, &rules, &listeners));
    faults
}

fn spans<T>(named: Option<&Named<T>>) -> Vec<Span> {
    named
        .into_iter()
        .flat_map(Named::names)
        .map(|(_, span)| span)
        .collect()
}

fn unused_groups(config: &Config, spans: &[Span]) -> Vec<Fault> {
    let actions = config.rules.iter().map(|rule| &rule.action);
    let actions = actions.chain(
        config
            .listeners
            .iter()
            .filter_map(|listener| listener.action.as_ref()),
    );
    let used: HashSet<usize> = actions.flat_map(forwards_to).collect();
    let groups = config.target_groups.iter().zip(spans).enumerate();
    groups
        .filter(|(index, _)| !used.contains(index))
        .map(|(_, (group, span))| {
            Fault::warning(*span, format!("nothing is forwarded to `{}`", group.name))
                .hint("name it in a rule or in the action of a listener, or remove it".to_owned())
        })
        .collect()
}

fn forwards_to(action: &Action) -> impl Iterator<Item = usize> + '_ {
    let groups = match action {
        Action::Forward(forward) => &forward.groups[..],
        Action::Redirect(_) | Action::Respond(_) => &[],
    };
    groups.iter().map(|(group, _)| *group)
}

/// Listeners that answer every request with 404.
fn silent_listeners(config: &Config, spans: &[Span]) -> Vec<Fault> {
    let ruled: HashSet<Option<usize>> = config.rules.iter().map(|rule| rule.listener).collect();
    let listeners = config.listeners.iter().zip(spans).enumerate();
    listeners
        .filter(|(index, (listener, _))| {
            listener.action.is_none() && !ruled.contains(&None) && !ruled.contains(&Some(*index))
        })
        .map(|(_, (listener, span))| {
            Fault::warning(
                *span,
                format!("every request to `{}` is answered with 404", listener.name),
            )
            .hint("no rule applies to it: add one, or an `action`".to_owned())
        })
        .collect()
}

/// Plain listeners that redirect to HTTPS what no rule matches, while rules for all listeners match
/// first: what these match is served in plain.
fn bypassed_redirects(config: &Config, rules: &[Span], listeners: &[Span]) -> Vec<Fault> {
    let serves = |action: &Action| !matches!(action, Action::Redirect(_));
    let Some(first) = config
        .rules
        .iter()
        .position(|rule| rule.listener.is_none() && serves(&rule.action))
    else {
        return Vec::new();
    };
    let plain = config
        .listeners
        .iter()
        .zip(listeners)
        .filter(|(listener, _)| listener.tls.is_none());
    plain
        .filter(|(listener, _)| listener.action.as_ref().is_some_and(is_to_https))
        .map(|(listener, span)| {
            let message = format!(
                "not every request to `{}` is redirected to HTTPS",
                listener.name
            );
            Fault::warning(*span, message)
                .related(
                    rules[first],
                    "this rule holds for every listener, and matches first",
                )
                .hint("give rules that are meant for HTTPS only their `listener`".to_owned())
        })
        .collect()
}

fn is_to_https(action: &Action) -> bool {
    matches!(action, Action::Redirect(redirect) if redirect.scheme.as_deref() == Some("https"))
}

/// Redirects to HTTPS on the same host, whose port 443 no listener serves.
fn closed_redirects(config: &Config, rules: &[Span], listeners: &[Span]) -> Vec<Fault> {
    let https: Vec<&Listener> = config
        .listeners
        .iter()
        .filter(|l| l.tls.is_some())
        .collect();
    if https
        .iter()
        .any(|listener| listener.bind.port() == HTTPS_PORT)
    {
        return Vec::new();
    }
    let stays = |action: &Action| {
        is_to_https(action)
            && matches!(action, Action::Redirect(to) if to.port.is_none() && to.host.is_none())
    };
    let hint = match https.first() {
        Some(listener) => format!(
            "unless something else maps that port here, say \
             `redirect: {{ scheme: https, port: {} }}`, the port of `{}`",
            listener.bind.port(),
            listener.name
        ),
        None => "add a listener with `tls` on it, or name the `host` or `port` of the redirect \
                 where something else serves HTTPS"
            .to_owned(),
    };
    let of_rules = config.rules.iter().zip(rules);
    let of_rules = of_rules.map(|(rule, span)| (Some(&rule.action), *span));
    let of_listeners = config.listeners.iter().zip(listeners);
    of_rules
        .chain(of_listeners.map(|(listener, span)| (listener.action.as_ref(), *span)))
        .filter(|(action, _)| action.is_some_and(stays))
        .map(|(_, span)| {
            Fault::warning(
                span,
                "clients are redirected to port 443, where no listener is",
            )
            .hint(hint.clone())
        })
        .collect()
}

/// Redirects after which a client meets the same redirect again.
fn loops(config: &Config, rules: &[Span], listeners: &[Span]) -> Vec<Fault> {
    let ways = Ways::new(&config.listeners);
    let anything = RuleCondition::default();
    let of_rules = config.rules.iter().zip(rules);
    let of_rules = of_rules.map(|(rule, span)| (&rule.action, rule.listener, &rule.when, *span));
    let of_listeners = config.listeners.iter().zip(listeners).enumerate();
    let of_listeners = of_listeners.filter_map(|(index, (listener, span))| {
        Some((listener.action.as_ref()?, Some(index), &anything, *span))
    });
    of_rules
        .chain(of_listeners)
        .filter_map(|(action, listener, when, span)| {
            let Action::Redirect(redirect) = action else {
                return None;
            };
            let again = ways.back(redirect, listener)?;
            still_matches(when, redirect).then(|| endless(span, &again.name))
        })
        .collect()
}

fn endless(span: Span, listener: &str) -> Fault {
    Fault::warning(
        span,
        format!("a client of listener `{listener}` is redirected without end"),
    )
    .hint("the redirect leads to itself: limit it to another listener, host or path".to_owned())
}

/// Whether the request after the redirect meets the condition as the one before did.
fn still_matches(when: &RuleCondition, redirect: &Redirect) -> bool {
    let host = redirect
        .host
        .as_ref()
        .map(|host| HostPattern::Exact(host.clone()));
    let path = redirect
        .path
        .as_ref()
        .map(|path| PathPattern::Exact(path.clone()));
    host.is_none_or(|host| shadow::hosts_cover(&when.host, &[host]))
        && path.is_none_or(|path| shadow::paths_cover(&when.path, &[path]))
}

/// Which listener is met again after a redirect, without a look at each.
struct Ways<'a> {
    listeners: &'a [Listener],
    /// By scheme.
    first: HashMap<&'static str, &'a Listener>,
    /// By scheme and port.
    exact: HashMap<(&'static str, u16), &'a Listener>,
}

impl<'a> Ways<'a> {
    fn new(listeners: &'a [Listener]) -> Self {
        let mut ways = Self {
            listeners,
            first: HashMap::new(),
            exact: HashMap::new(),
        };
        for listener in listeners {
            let scheme = scheme(listener);
            ways.first.entry(scheme).or_insert(listener);
            ways.exact
                .entry((scheme, listener.bind.port()))
                .or_insert(listener);
        }
        ways
    }

    /// The listener that a client comes from and, by scheme and port, comes back to.
    fn back(&self, redirect: &Redirect, from: Option<usize>) -> Option<&'a Listener> {
        let leads_back = |listener: &&Listener| {
            let port = redirect.port.unwrap_or(listener.bind.port());
            redirect
                .scheme
                .as_deref()
                .is_none_or(|to| to == scheme(listener))
                && port == listener.bind.port()
        };
        if let Some(from) = from {
            return self.listeners.get(from).filter(leads_back);
        }
        ["http", "https"].into_iter().find_map(|scheme| {
            let listener = match redirect.port {
                Some(port) => self.exact.get(&(scheme, port)),
                None => self.first.get(scheme),
            };
            listener.copied().filter(leads_back)
        })
    }
}

fn scheme(listener: &Listener) -> &'static str {
    if listener.tls.is_some() {
        "https"
    } else {
        "http"
    }
}

/// Where HTTPS is without a port in the URL.
const HTTPS_PORT: u16 = 443;
