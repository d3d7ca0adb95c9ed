//! Rules and actions.

use super::{Resolver, check};
use crate::document::{
    Action as ActionDocument, Condition, HeaderEdits as EditsDocument,
    Redirect as RedirectDocument, Respond, Rule as Document, Scheme,
};
use crate::fault::{self, Fault};
use crate::reader::{Field, Named, WordOr};
use crate::span::Span;
use crate::{Action, FixedResponse, Forward, HeaderEdits, Redirect, Rule, RuleCondition, defaults};

/// The part of a rule or listener that says what is done.
#[derive(Clone, Copy)]
pub(super) struct ActionFields<'a> {
    forward: &'a Field<WordOr<String, Named<u64>>>,
    redirect: &'a Field<WordOr<Scheme, RedirectDocument>>,
    respond: &'a Field<WordOr<u64, Respond>>,
    request_headers: &'a Field<EditsDocument>,
    response_headers: &'a Field<EditsDocument>,
}

impl Resolver<'_> {
    /// All rules, in their order.
    pub(super) fn rules(&mut self) -> Vec<Rule> {
        let rules = self.document.rules.get().map_or(&[][..], Vec::as_slice);
        rules
            .iter()
            .enumerate()
            .filter_map(|(index, rule)| self.rule(index, rule.value.as_ref()?, rule.span))
            .collect()
    }

    fn rule(&mut self, index: usize, rule: &Document, span: Span) -> Option<Rule> {
        let name = self.word(&rule.name, "name", check::title);
        let listener = self.rule_listener(&rule.listener);
        let when = rule
            .when
            .get()
            .map(|when| self.condition(when))
            .unwrap_or_default();
        Some(Rule {
            name: name.unwrap_or_else(|| format!("rules[{index}]")),
            listener,
            when,
            action: self.action(&rule.into(), span)?,
        })
    }

    fn rule_listener(&mut self, field: &Field<String>) -> Option<usize> {
        let (name, span) = field.spanned()?;
        self.listeners
            .bind(name, span)
            .map_err(|fault| fault::push(&mut self.faults, *fault))
            .ok()
    }

    fn condition(&mut self, when: &Condition) -> RuleCondition {
        let hint = "leave it out to match everything";
        self.refuse_empty(&when.host, "host", hint);
        self.refuse_empty(&when.path, "path", hint);
        self.refuse_empty(&when.method, "method", hint);
        RuleCondition {
            host: self.words(Some(&when.host), "host", check::host_pattern),
            path: self.words(Some(&when.path), "path", check::path_pattern),
            method: self.words(Some(&when.method), "method", check::method),
        }
    }

    /// What is done; there must be exactly one thing.
    pub(super) fn action(&mut self, action: &ActionFields<'_>, span: Span) -> Option<Action> {
        self.one_action(action, span);
        self.edits_without_forward(action);
        let forward = self.forward(action);
        let redirect = self.redirect(action.redirect);
        let respond = self.respond(action.respond);
        forward
            .map(Action::Forward)
            .or(redirect.map(Action::Redirect))
            .or(respond.map(Action::Respond))
    }

    fn one_action(&mut self, action: &ActionFields<'_>, span: Span) {
        let given = [
            action.forward.span(),
            action.redirect.span(),
            action.respond.span(),
        ];
        let mut given: Vec<Span> = given.into_iter().flatten().collect();
        given.sort_unstable();
        match given[..] {
            [] => self.report(
                Fault::error(span, "nothing is done with the request")
                    .allowed("one of `forward`, `redirect` and `respond`"),
            ),
            [first, second, ..] => self.report(
                Fault::error(second, "a second thing is done with the request")
                    .related(first, "this is done already")
                    .allowed("one of `forward`, `redirect` and `respond`")
                    .hint("make two rules of it, or remove one".to_owned()),
            ),
            [_] => {}
        }
    }

    fn edits_without_forward(&mut self, action: &ActionFields<'_>) {
        if action.forward.is_given() {
            return;
        }
        for (edits, key) in [
            (action.request_headers, "request_headers"),
            (action.response_headers, "response_headers"),
        ] {
            if let Some(span) = edits.span() {
                self.report(
                    Fault::error(span, format!("`{key}` without `forward`")).hint(
                        "headers are changed on the way to a target and back only".to_owned(),
                    ),
                );
            }
        }
    }

    fn forward(&mut self, action: &ActionFields<'_>) -> Option<Forward> {
        let (forward, span) = action.forward.spanned()?;
        let groups = match forward {
            WordOr::Word(name) => self
                .group(name, span)
                .map(|group| (group, 1))
                .into_iter()
                .collect(),
            WordOr::Map(weights) => self.weighted_groups(weights, span),
        };
        Some(Forward {
            groups,
            request_headers: self.edits(action.request_headers),
            response_headers: self.edits(action.response_headers),
        })
    }

    fn weighted_groups(&mut self, weights: &Named<u64>, span: Span) -> Vec<(usize, u32)> {
        let groups: Vec<_> = weights
            .0
            .iter()
            .filter_map(|(name, weight)| {
                let group = self.group(name.value.as_deref()?, name.span)?;
                Some((group, self.weight(*weight.value.as_ref()?, weight.span)))
            })
            .collect();
        if weights.0.iter().all(|(_, weight)| weight.value == Some(0)) {
            self.report(no_weight(span));
        }
        groups
    }

    fn group(&mut self, name: &str, span: Span) -> Option<usize> {
        self.target_groups
            .bind(name, span)
            .map_err(|fault| fault::push(&mut self.faults, *fault))
            .ok()
    }

    /// A weight within its range.
    pub(super) fn weight(&mut self, weight: u64, span: Span) -> u32 {
        match u32::try_from(weight) {
            Ok(weight) if weight <= MAX_WEIGHT => weight,
            _ => {
                self.report(
                    Fault::error(span, "invalid value for a weight")
                        .found(format!("the number `{weight}`"))
                        .allowed(format!("a whole number from 0 to {MAX_WEIGHT}")),
                );
                1
            }
        }
    }

    fn redirect(&mut self, field: &Field<WordOr<Scheme, RedirectDocument>>) -> Option<Redirect> {
        match field.spanned()? {
            (WordOr::Word(scheme), _) => Some(Redirect {
                scheme: Some(scheme_word(*scheme).to_owned()),
                host: None,
                port: None,
                path: None,
                query: None,
                status: defaults::REDIRECT_STATUS,
            }),
            (WordOr::Map(redirect), span) => Some(self.full_redirect(redirect, span)),
        }
    }

    fn full_redirect(&mut self, redirect: &RedirectDocument, span: Span) -> Redirect {
        let elsewhere = [
            redirect.host.span(),
            redirect.path.span(),
            redirect.query.span(),
        ];
        let elsewhere = elsewhere.into_iter().flatten().next();
        if elsewhere.is_none() && !redirect.scheme.is_given() && !redirect.port.is_given() {
            self.report(
                Fault::error(span, "the redirect leads to where the client is")
                    .allowed("at least one of `scheme`, `host`, `port`, `path` and `query`"),
            );
        }
        let port = self.number(Some(&redirect.port), "port", 1..=65_535, 0);
        Redirect {
            scheme: redirect
                .scheme
                .get()
                .map(|scheme| scheme_word(*scheme).to_owned()),
            host: self.word(&redirect.host, "host", check::host),
            port: u16::try_from(port).ok().filter(|port| *port != 0),
            path: self.word(&redirect.path, "path", check::redirect_path),
            query: self.word(&redirect.query, "query", check::query),
            status: self.redirect_status(&redirect.status),
        }
    }

    fn redirect_status(&mut self, field: &Field<u64>) -> u16 {
        let Some((status, span)) = field.spanned() else {
            return defaults::REDIRECT_STATUS;
        };
        let known = [301_u16, 302, 303, 307, 308];
        if let Some(known) = known.into_iter().find(|known| u64::from(*known) == *status) {
            return known;
        }
        self.report(
            Fault::error(span, "invalid value for `status`")
                .found(format!("the number `{status}`"))
                .allowed("`301`, `302`, `303`, `307` or `308`"),
        );
        defaults::REDIRECT_STATUS
    }

    fn respond(&mut self, field: &Field<WordOr<u64, Respond>>) -> Option<FixedResponse> {
        match field.spanned()? {
            (WordOr::Word(status), span) => Some(self.fixed(*status, span, None, String::new())),
            (WordOr::Map(respond), span) => {
                self.require(&respond.status, span, "status", "such as `status: 404`");
                let (status, status_span) = respond.status.spanned().unwrap_or((&200, span));
                let content_type =
                    self.word(&respond.content_type, "content_type", check::header_value);
                let body = respond.body.get().cloned().unwrap_or_default();
                Some(self.fixed(*status, status_span, content_type, body))
            }
        }
    }

    fn fixed(
        &mut self,
        status: u64,
        span: Span,
        content_type: Option<String>,
        body: String,
    ) -> FixedResponse {
        let known = u16::try_from(status)
            .ok()
            .filter(|status| (200..=599).contains(status));
        if known.is_none() {
            self.report(
                Fault::error(span, "invalid value for `status`")
                    .found(format!("the number `{status}`"))
                    .allowed("a status from 200 to 599"),
            );
        }
        let status = known.unwrap_or(200);
        if matches!(status, 204 | 205 | 304) && !body.is_empty() {
            let fault = Fault::error(span, format!("an answer of status {status} has no body"));
            self.report(fault.hint("leave `body` out, or answer with another status".to_owned()));
        }
        FixedResponse {
            status,
            content_type: content_type.unwrap_or_else(|| defaults::CONTENT_TYPE.to_owned()),
            body,
        }
    }

    fn edits(&mut self, field: &Field<EditsDocument>) -> HeaderEdits {
        let Some(edits) = field.get() else {
            return HeaderEdits::default();
        };
        HeaderEdits {
            remove: self.words(Some(&edits.remove), "remove", check::header_name),
            set: self.header_fields(&edits.set),
            add: self.header_fields(&edits.add),
        }
    }

    fn header_fields(&mut self, field: &Field<Named<String>>) -> Vec<(String, String)> {
        let fields = field.get().map_or(&[][..], |fields| &fields.0);
        fields
            .iter()
            .filter_map(|(name, value)| {
                let name = self.check(
                    name.value.as_deref()?,
                    name.span,
                    "a field name",
                    check::header_name,
                );
                let value = self.check(
                    value.value.as_deref()?,
                    value.span,
                    "a field value",
                    check::header_value_in_clear,
                );
                Some((name?, value?))
            })
            .collect()
    }
}

/// A list of weights of which each is 0.
pub(super) fn no_weight(span: Span) -> Fault {
    Fault::error(span, "no weight is above 0")
        .hint("give at least one a weight, such as 1".to_owned())
}

fn scheme_word(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    }
}

/// Both say what is done in the same words.
macro_rules! action_fields {
    ($($document:ty),+) => {$(
        impl<'a> From<&'a $document> for ActionFields<'a> {
            fn from(document: &'a $document) -> Self {
                Self {
                    forward: &document.forward,
                    redirect: &document.redirect,
                    respond: &document.respond,
                    request_headers: &document.request_headers,
                    response_headers: &document.response_headers,
                }
            }
        }
    )+};
}

action_fields!(Document, ActionDocument);

const MAX_WEIGHT: u32 = 1_000_000;
