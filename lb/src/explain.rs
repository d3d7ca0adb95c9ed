//! Which way a request would take, without sending it.

use http::{Method, Uri};

use crate::action::{self, Action, Forward, Requested};
use crate::admin::protocol::{ExplainRequest, Explanation, Stage};
use crate::authority::Authority;
use crate::path::{self, PathForm};
use crate::published::Published;
use crate::router::Route;
use crate::target_group::TargetGroup;

/// The way of a request through what is published: listener, rule, target group, target. It ends where the
/// request would.
///
/// # Errors
/// When the URL is none, or the method.
pub fn explain(published: &Published, request: &ExplainRequest) -> Result<Explanation, String> {
    let asked = Asked::parse(request)?;
    let mut stages = Vec::new();
    let answered = walk(published, &asked, &mut stages).is_some();
    Ok(Explanation {
        url: request.url.clone(),
        stages,
        answered,
    })
}

/// Whether `request` is one that can be explained; no balancer is needed to say so.
///
/// # Errors
/// As of [`explain`].
pub fn check(request: &ExplainRequest) -> Result<(), String> {
    Asked::parse(request).map(drop)
}

/// A URL in parts.
struct Asked {
    uri: Uri,
    scheme: String,
    authority: Authority,
    port: u16,
    method: Method,
}

impl Asked {
    fn parse(request: &ExplainRequest) -> Result<Self, String> {
        let fault = |why: &str| {
            format!(
                "{}: {why}; an example is https://shop.example.com/cart",
                request.url
            )
        };
        let uri: Uri = request.url.parse().map_err(|_| fault("it is no URL"))?;
        let scheme = uri
            .scheme_str()
            .filter(|scheme| matches!(*scheme, "http" | "https"));
        let scheme = scheme.ok_or_else(|| fault("it begins with neither http:// nor https://"))?;
        let authority = uri.authority().ok_or_else(|| fault("it names no host"))?;
        let authority = Authority::parse(authority.as_str().as_bytes())
            .map_err(|error| fault(&error.to_string()))?;
        let method = Method::from_bytes(request.method.as_bytes());
        Ok(Self {
            scheme: scheme.to_owned(),
            port: authority.port().unwrap_or(action::default_port(scheme)),
            authority,
            method: method.map_err(|_| format!("{}: it is no method", request.method))?,
            uri,
        })
    }
}

fn walk(published: &Published, asked: &Asked, stages: &mut Vec<Stage>) -> Option<()> {
    let (listener, config) = listener(published, asked, stages)?;
    let normal = path::normalise(asked.uri.path(), PathForm::of(config));
    let path = match normal {
        Ok(path) => path,
        Err(error) => return stop(stages, "rule", "400", error),
    };
    let route = Route {
        listener,
        host: asked.authority.host(),
        path: &path,
        method: &asked.method,
    };
    let Some(rule) = published.router().route(route) else {
        return stop(
            stages,
            "rule",
            "404",
            "no rule matches, and the listener has no action",
        );
    };
    let because = format!(
        "the first that matches {} {} {path}",
        asked.method,
        asked.authority.host()
    );
    say(stages, "rule", &rule.name, because);
    match &rule.action {
        Action::Redirect(redirect) => {
            let location = redirect.location(Requested {
                tls: config.tls.is_some(),
                authority: &asked.authority,
                path: &path,
                query: asked.uri.query(),
            });
            let choice = format!("redirect {}", redirect.status().as_u16());
            say(stages, "answer", &choice, location);
        }
        Action::Respond(fixed) => {
            let choice = format!("respond {}", fixed.status.as_u16());
            say(stages, "answer", &choice, "it is answered here");
        }
        Action::Forward(forward) => forwarded(published, forward, stages)?,
    }
    Some(())
}

fn listener<'a>(
    published: &'a Published,
    asked: &Asked,
    stages: &mut Vec<Stage>,
) -> Option<(usize, &'a config::Listener)> {
    let listeners = published.config().listeners.iter().enumerate();
    let tls = asked.scheme == "https";
    let mut fitting: Vec<_> = listeners
        .filter(|(_, listener)| listener.bind.port() == asked.port && listener.tls.is_some() == tls)
        .collect();
    // One that is bound to the very address goes before one for all addresses.
    let address = asked.authority.certificate_name().to_owned();
    fitting.sort_by_key(|(_, listener)| listener.bind.ip().to_string() != address);
    let why = format!("{} on port {}", asked.scheme, asked.port);
    let Some(&(index, listener)) = fitting.first() else {
        return stop(stages, "listener", "none", format!("no listener has {why}"));
    };
    say(
        stages,
        "listener",
        &listener.name,
        format!("{why}, at {}", listener.bind),
    );
    Some((index, listener))
}

fn forwarded(published: &Published, forward: &Forward, stages: &mut Vec<Stage>) -> Option<()> {
    let weighted = forward.groups().iter().filter(|(_, weight)| *weight > 0);
    let groups: Vec<_> = weighted
        .filter_map(|(group, weight)| Some((published.groups().get(*group)?, *weight)))
        .collect();
    let total: u64 = groups.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut answered = None;
    for (group, weight) in groups {
        let because = format!("{weight} of {total} requests");
        say(stages, "target group", group.name(), because);
        answered = target(group, stages).or(answered);
    }
    answered
}

fn target(group: &TargetGroup, stages: &mut Vec<Stage>) -> Option<()> {
    for target in group.targets() {
        let because = match target.reason() {
            Some(reason) => format!("{}: {reason}", target.verdict().as_str()),
            None => format!(
                "{}, {} in flight",
                target.verdict().as_str(),
                target.in_flight()
            ),
        };
        say(
            stages,
            "target",
            &target.dial().address().to_string(),
            because,
        );
    }
    if !group.has_eligible() {
        return stop(stages, "answer", "503", "no target is healthy");
    }
    Some(())
}

fn say(stages: &mut Vec<Stage>, stage: &str, choice: &str, because: impl ToString) {
    stages.push(Stage {
        stage: stage.to_owned(),
        choice: choice.to_owned(),
        because: because.to_string(),
    });
}

/// The request ends here.
fn stop<T>(
    stages: &mut Vec<Stage>,
    stage: &str,
    choice: &str,
    because: impl ToString,
) -> Option<T> {
    say(stages, stage, choice, because);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, forward_to, listener, published};

    fn stages(url: &str) -> (Vec<String>, bool) {
        let mut config = testing::config(vec![testing::group(&[1])]);
        config.listeners = vec![listener("http"), listener("other")];
        config.listeners[0].bind = "0.0.0.0:80".parse().unwrap();
        config.listeners[0].action = None;
        config.listeners[1].bind = "0.0.0.0:81".parse().unwrap();
        config.rules = vec![config::Rule {
            name: "shop".into(),
            listener: Some(0),
            when: config::RuleCondition {
                path: vec![config::PathPattern::Prefix("/shop/".into())],
                ..config::RuleCondition::default()
            },
            action: forward_to(0),
        }];
        let request = ExplainRequest {
            url: url.to_owned(),
            method: "GET".to_owned(),
        };
        let explanation = explain(&published(config), &request).unwrap();
        let stages = explanation.stages.iter();
        let stages = stages.map(|stage| format!("{}: {}", stage.stage, stage.choice));
        (stages.collect(), explanation.answered)
    }

    #[test]
    fn a_way_is_told_to_its_end() {
        let (way, answered) = stages("http://a.example/x/../shop/1");
        let expected = [
            "listener: http",
            "rule: shop",
            "target group: g",
            "target: 127.0.0.1:1",
        ];
        assert_eq!(way, expected);
        assert!(answered);
        for (url, last) in [
            ("http://a.example/", "rule: 404"),
            ("http://a.example/shop/%2F", "rule: 400"),
            ("https://a.example/shop/", "listener: none"),
            ("http://a.example:82/shop/", "listener: none"),
            ("http://a.example:81/shop/", "rule: listener other"),
        ] {
            let (way, _) = stages(url);
            assert!(way.iter().any(|stage| stage == last), "{url}: {way:?}");
        }
    }

    #[test]
    fn what_is_no_url_is_said() {
        let config = testing::config(vec![testing::group(&[1])]);
        let published = published(config);
        for (url, method) in [
            ("shop", "GET"),
            ("ftp://a/", "GET"),
            ("/x", "GET"),
            ("http://a/", "G T"),
        ] {
            let request = ExplainRequest {
                url: url.to_owned(),
                method: method.to_owned(),
            };
            assert!(explain(&published, &request).is_err(), "{url}");
        }
    }
}
