//! The same decision, taken slowly and obviously: on the policies' JSON as it is written, with every
//! condition key in a table. It shares no code with what it judges but the request's own types.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use serde_json::{Value, json};

use super::*;
use crate::caller::Source;
use crate::context::EncryptionContext;
use crate::grant::{GrantConstraints, GrantId, NewGrant};
use crate::key::KeyId;
use crate::policy::action::Action;
use crate::policy::document::PolicyKind;
use crate::policy::explain::Reason;
use crate::policy::test_util::{Asked, KEY};

// === the rules ===

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Allowed,
    DeniedByStatement,
    NotAllowed,
}

/// One combination of policies, grants and request.
struct Case {
    key_policy: Value,
    identity_policies: Vec<Value>,
    grants: Vec<Arc<Grant>>,
    asked: Asked,
}

fn verdict(case: &Case) -> Verdict {
    let facts = facts(&case.asked);
    let me = case.asked.caller.principal.arn();
    let my_root = root_of(me);
    let key_statements = match case.asked.key {
        Some(_) => statements(&case.key_policy),
        None => Vec::new(),
    };
    let my_statements: Vec<&Value> = case.identity_policies.iter().flat_map(statements).collect();
    let matching = |statements: &[&Value], effect: &str| -> Vec<Value> {
        let matching = |statement: &&&Value| {
            statement["Effect"] == effect && matches_request(statement, &case.asked, &facts)
        };
        statements
            .iter()
            .filter(matching)
            .map(|statement| (*statement).clone())
            .collect()
    };

    // 1. An explicit deny wins.
    for statement in matching(&key_statements, "Deny") {
        if let Some(not) = statement.get("NotPrincipal") {
            let exempt = names(not, me) && names(not, &my_root);
            if !exempt {
                return Verdict::DeniedByStatement;
            }
        } else if names(&statement["Principal"], me) || names(&statement["Principal"], &my_root) {
            return Verdict::DeniedByStatement;
        }
    }
    if !matching(&my_statements, "Deny").is_empty() {
        return Verdict::DeniedByStatement;
    }

    let own_policy = !matching(&my_statements, "Allow").is_empty();
    let domestic = my_root == root_of("arn:aws:iam::000000000000:root");
    if case.asked.key.is_none() {
        return answer(domestic && (me == my_root || own_policy));
    }
    let allows = matching(&key_statements, "Allow");
    let named = allows
        .iter()
        .any(|statement| names(&statement["Principal"], me));
    let delegated = allows
        .iter()
        .any(|statement| names(&statement["Principal"], &my_root));
    let granted = case.grants.iter().any(|grant| gives(grant, &case.asked));
    if domestic {
        // 2. Named, 3. delegated and allowed, 4. granted; 6. or nothing.
        answer(named || delegated && own_policy || granted)
    } else {
        // 5. Both sides.
        answer((named || delegated || granted) && own_policy)
    }
}

fn answer(allowed: bool) -> Verdict {
    if allowed {
        Verdict::Allowed
    } else {
        Verdict::NotAllowed
    }
}

fn root_of(arn: &str) -> String {
    format!("arn:aws:iam::{}:root", arn.split(':').nth(4).unwrap())
}

fn statements(policy: &Value) -> Vec<&Value> {
    list(&policy["Statement"])
}

fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(values) => values.iter().collect(),
        value => vec![value],
    }
}

fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    list(value).into_iter().map(text).collect()
}

fn names(principal: &Value, arn: &str) -> bool {
    if principal == "*" {
        return true;
    }
    let account = arn.split(':').nth(4).unwrap();
    let is_root = arn.ends_with(":root");
    texts(&principal["AWS"])
        .iter()
        .any(|named| named == "*" || named == arn || is_root && named == account)
}

fn matches_request(
    statement: &Value,
    asked: &Asked,
    facts: &BTreeMap<String, Vec<String>>,
) -> bool {
    let action = asked.action.name().to_lowercase();
    let action_matches = match statement.get("Action") {
        Some(actions) => texts(actions)
            .iter()
            .any(|one| wild(&one.to_lowercase(), &action)),
        None => {
            let not = texts(&statement["NotAction"]);
            !not.iter().any(|one| wild(&one.to_lowercase(), &action))
        }
    };
    let resource = match asked.key {
        Some(id) => format!("arn:aws:kms:local:000000000000:key/{id}"),
        None => "*".to_owned(),
    };
    let resource_matches = match statement.get("Resource") {
        Some(resources) => texts(resources).iter().any(|one| wild(one, &resource)),
        None => !texts(&statement["NotResource"])
            .iter()
            .any(|one| wild(one, &resource)),
    };
    let mut conditions_match = true;
    if let Some(conditions) = statement.get("Condition") {
        for (operator, keys) in conditions.as_object().unwrap() {
            for (key, values) in keys.as_object().unwrap() {
                if !condition_holds(operator, facts.get(&key.to_lowercase()), &texts(values)) {
                    conditions_match = false;
                }
            }
        }
    }
    action_matches && resource_matches && conditions_match
}

fn condition_holds(operator: &str, found: Option<&Vec<String>>, expected: &[String]) -> bool {
    if operator == "Null" {
        return expected
            .iter()
            .any(|one| (one == "true") == found.is_none());
    }
    let (quantifier, name) = operator.split_once(':').unwrap_or(("", operator));
    let (name, if_exists) = match name.strip_suffix("IfExists") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let negated = name.contains("Not");
    let positive = name.replace("Not", "");
    let Some(found) = found else {
        return match quantifier {
            "ForAllValues" => true,
            "ForAnyValue" => if_exists,
            _ => if_exists || negated,
        };
    };
    let one_matches = |value: &String| expected.iter().any(|one| compare(&positive, value, one));
    match (quantifier, negated) {
        ("ForAllValues", false) => found.iter().all(one_matches),
        ("ForAllValues", true) => !found.iter().any(one_matches),
        ("ForAnyValue", true) => found.iter().any(|value| !one_matches(value)),
        ("", true) => !found.iter().any(one_matches),
        _ => found.iter().any(one_matches),
    }
}

fn compare(operator: &str, found: &str, expected: &str) -> bool {
    let order =
        |prefix: &str, found: f64, expected: f64| match operator.strip_prefix(prefix).unwrap() {
            "Equals" => found == expected,
            "LessThan" => found < expected,
            "LessThanEquals" => found <= expected,
            "GreaterThan" => found > expected,
            "GreaterThanEquals" => found >= expected,
            other => panic!("{other}"),
        };
    match operator {
        "StringEquals" => found == expected,
        "StringEqualsIgnoreCase" => found.to_lowercase() == expected.to_lowercase(),
        "StringLike" => wild(expected, found),
        "ArnEquals" | "ArnLike" => {
            let (expected, found): (Vec<_>, Vec<_>) = (
                expected.splitn(6, ':').collect(),
                found.splitn(6, ':').collect(),
            );
            expected == ["*"]
                || expected.len() == found.len()
                    && expected
                        .iter()
                        .zip(&found)
                        .all(|(one, other)| wild(one, other))
        }
        "Bool" => found == expected,
        "IpAddress" => within(found, expected),
        date if date.starts_with("Date") => order("Date", seconds(found), seconds(expected)),
        _ => order("Numeric", found.parse().unwrap(), expected.parse().unwrap()),
    }
}

/// The moments of this test, as it writes them.
fn seconds(text: &str) -> f64 {
    let known = MOMENTS.iter().find(|(written, _)| *written == text);
    known.map_or_else(|| text.parse().unwrap(), |(_, seconds)| *seconds as f64)
}

fn within(address: &str, network: &str) -> bool {
    let number = |text: &str| {
        let octets = text.split('.').map(|octet| octet.parse::<u32>().unwrap());
        octets.fold(0, |number, octet| number * 256 + octet)
    };
    let (base, bits) = network.split_once('/').unwrap_or((network, "32"));
    let host_bits = 32 - bits.parse::<u32>().unwrap();
    number(address).checked_shr(host_bits) == number(base).checked_shr(host_bits)
}

fn wild(pattern: &str, text: &str) -> bool {
    let Some(first) = pattern.chars().next() else {
        return text.is_empty();
    };
    let rest = &pattern[first.len_utf8()..];
    if first == '*' {
        return (0..=text.len()).any(|at| text.is_char_boundary(at) && wild(rest, &text[at..]));
    }
    match text.chars().next() {
        Some(char) => (first == '?' || first == char) && wild(rest, &text[char.len_utf8()..]),
        None => false,
    }
}

fn gives(grant: &Grant, asked: &Asked) -> bool {
    let terms = &grant.terms;
    if terms.grantee != asked.caller.principal || !terms.operations.contains(&asked.action) {
        return false;
    }
    let pairs = |context: &EncryptionContext| -> BTreeSet<(String, String)> {
        context
            .iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    };
    let equals = terms
        .constraints
        .encryption_context_equals
        .as_ref()
        .map(pairs);
    let subset = terms
        .constraints
        .encryption_context_subset
        .as_ref()
        .map(pairs);
    match asked.action {
        Action::DescribeKey | Action::RetireGrant => true,
        Action::CreateGrant => asked.grant.as_ref().is_some_and(|new| {
            let new_equals = new
                .constraints
                .encryption_context_equals
                .as_ref()
                .map(pairs);
            let new_subset = new
                .constraints
                .encryption_context_subset
                .as_ref()
                .map(pairs);
            let has = |set: &Option<BTreeSet<_>>, wanted: &BTreeSet<(String, String)>| {
                set.as_ref().is_some_and(|set| wanted.is_subset(set))
            };
            new.operations
                .iter()
                .all(|operation| terms.operations.contains(operation))
                && (equals.is_none() || equals == new_equals)
                && subset
                    .is_none_or(|subset| has(&new_equals, &subset) || has(&new_subset, &subset))
        }),
        _ => {
            let context = asked.context.as_ref().map(pairs).unwrap_or_default();
            equals.is_none_or(|equals| equals == context)
                && subset.is_none_or(|subset| subset.is_subset(&context))
        }
    }
}

/// All condition keys that the request has, in small letters.
fn facts(asked: &Asked) -> BTreeMap<String, Vec<String>> {
    let mut facts = BTreeMap::new();
    let mut put = |key: &str, values: Vec<String>| {
        if !values.is_empty() {
            let all: &mut Vec<String> = facts.entry(key.to_lowercase()).or_default();
            all.extend(values);
        }
    };
    let seconds = asked
        .now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    put("aws:EpochTime", vec![seconds.to_string()]);
    put("aws:CurrentTime", vec![seconds.to_string()]);
    let principal = &asked.caller.principal;
    put("aws:PrincipalArn", vec![principal.arn().to_owned()]);
    put("kms:CallerAccount", vec![principal.account().to_owned()]);
    if let Source::Network { address, tls } = asked.caller.source {
        put("aws:SourceIp", vec![address.to_string()]);
        put("aws:SecureTransport", vec![tls.to_string()]);
    }
    put("kms:ViaService", asked.caller.via.iter().cloned().collect());
    for (key, value) in asked.context.iter().flat_map(EncryptionContext::iter) {
        put(
            &format!("kms:EncryptionContext:{key}"),
            vec![value.to_owned()],
        );
        put("kms:EncryptionContextKeys", vec![key.to_owned()]);
    }
    if asked.key.is_some() {
        put("kms:RequestAlias", asked.alias.iter().cloned().collect());
        put("kms:KeySpec", vec!["SYMMETRIC_DEFAULT".to_owned()]);
    }
    if let Some(grant) = &asked.grant {
        let operations = grant
            .operations
            .iter()
            .map(|one| one.operation().to_owned());
        put("kms:GrantOperations", operations.collect());
        put("kms:GranteePrincipal", vec![grant.grantee.arn().to_owned()]);
        put(
            "kms:GrantIsForAWSResource",
            vec![asked.caller.via.is_some().to_string()],
        );
    }
    facts
}

// === the combinations ===

const PRINCIPALS: &[&str] = &[
    "arn:aws:iam::000000000000:root",
    "arn:aws:iam::000000000000:user/alice",
    "arn:aws:iam::000000000000:role/web",
    "arn:aws:iam::111111111111:root",
    "arn:aws:iam::111111111111:user/eve",
];
const ACTIONS: &[Action] = &[
    Action::Decrypt,
    Action::Encrypt,
    Action::DescribeKey,
    Action::CreateGrant,
    Action::PutKeyPolicy,
];
const MOMENTS: &[(&str, u64)] = &[
    ("2026-01-31T12:00:00Z", 1_769_860_800),
    ("2026-01-31T14:00:00+01:00", 1_769_864_400),
    ("2026-02-01", 1_769_904_000),
];

/// A small generator of numbers (SplitMix64): the same combinations at every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    /// True once in `times`.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    /// One, or a list of one to three.
    fn some(&mut self, from: &[&str]) -> Value {
        match self.below(3) {
            0 => json!(self.pick(from)),
            more => json!(
                (0..more + self.below(2))
                    .map(|_| self.pick(from))
                    .collect::<Vec<_>>()
            ),
        }
    }

    fn case(&mut self) -> Case {
        Case {
            key_policy: self.policy(true),
            identity_policies: (0..self.below(3)).map(|_| self.policy(false)).collect(),
            grants: (0..self.below(3)).map(|_| self.grant()).collect(),
            asked: self.asked(),
        }
    }

    fn asked(&mut self) -> Asked {
        let mut asked = Asked::by(self.pick(PRINCIPALS)).to(self.pick(ACTIONS));
        let tls = self.once_in(2);
        asked.caller.source = match self.below(3) {
            0 => Source::Local { uid: 1000 },
            _ => Source::Network {
                address: self
                    .pick(&[[10, 1, 2, 3], [10, 9, 0, 1], [192, 0, 2, 7]])
                    .into(),
                tls,
            },
        };
        asked.caller.via = self.once_in(3).then(|| "balancer".to_owned());
        asked.alias = self.once_in(3).then(|| "alias/shop".to_owned());
        let seconds = self.pick(MOMENTS).1 - 3600 * self.below(2);
        asked.now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        if asked.action.has_context() {
            asked.context = Some(self.context());
        }
        if asked.action == Action::CreateGrant {
            asked.grant = Some(self.terms());
        }
        if self.once_in(12) {
            asked = Asked {
                key: None,
                context: None,
                grant: None,
                alias: None,
                ..asked
            };
            asked.action = self.pick(&[Action::CreateKey, Action::ListKeys]);
        }
        asked
    }

    fn context(&mut self) -> EncryptionContext {
        let mut context = EncryptionContext::new();
        for key in ["dept", "app", "Dept"] {
            if self.once_in(2) && (key != "Dept" || self.once_in(4)) {
                context = context.with(key, self.pick(&["HR", "IT", "hr"]));
            }
        }
        context
    }

    fn terms(&mut self) -> NewGrant {
        let operations = [
            Action::Decrypt,
            Action::Encrypt,
            Action::DescribeKey,
            Action::CreateGrant,
        ];
        let context = |dice: &mut Self| dice.once_in(3).then(|| dice.context());
        NewGrant {
            grantee: self.pick(PRINCIPALS).parse().unwrap(),
            retiring: None,
            operations: operations.into_iter().filter(|_| self.once_in(2)).collect(),
            constraints: GrantConstraints {
                encryption_context_equals: context(self),
                encryption_context_subset: context(self),
            },
            name: None,
        }
    }

    fn grant(&mut self) -> Arc<Grant> {
        Arc::new(Grant {
            id: GrantId::from_random([self.below(256) as u8; 32]),
            key: KEY.parse::<KeyId>().unwrap(),
            created: SystemTime::UNIX_EPOCH,
            issuer: None,
            terms: self.terms(),
        })
    }

    fn policy(&mut self, of_key: bool) -> Value {
        let statements: Vec<_> = (0..=self.below(3))
            .map(|_| self.statement(of_key))
            .collect();
        match statements.len() {
            1 if self.once_in(2) => json!({ "Version": "2012-10-17", "Statement": statements[0] }),
            _ => json!({ "Version": "2012-10-17", "Statement": statements }),
        }
    }

    fn statement(&mut self, of_key: bool) -> Value {
        let deny = self.once_in(4);
        let mut statement = json!({ "Effect": if deny { "Deny" } else { "Allow" } });
        if of_key {
            let name = if deny && self.once_in(3) {
                "NotPrincipal"
            } else {
                "Principal"
            };
            statement[name] = self.principal();
        }
        let actions = [
            "kms:*",
            "*",
            "kms:Decrypt",
            "kms:*crypt",
            "KMS:describe?ey",
            "kms:Create*",
            "s3:*",
        ];
        let name = if self.once_in(6) {
            "NotAction"
        } else {
            "Action"
        };
        statement[name] = self.some(&actions);
        let key = "arn:aws:kms:local:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let resources = [
            "*",
            "*",
            key,
            "arn:aws:kms:*:000000000000:key/*",
            "arn:aws:kms:local:1*",
        ];
        let name = if self.once_in(8) {
            "NotResource"
        } else {
            "Resource"
        };
        statement[name] = self.some(&resources);
        if self.once_in(2) {
            statement["Condition"] = self.conditions();
        }
        statement
    }

    fn principal(&mut self) -> Value {
        match self.below(8) {
            0 => json!("*"),
            1 => json!({ "AWS": "*" }),
            2 => json!({ "AWS": self.some(&["000000000000", "111111111111"]) }),
            _ => json!({ "AWS": self.some(PRINCIPALS) }),
        }
    }

    fn conditions(&mut self) -> Value {
        let mut conditions = json!({});
        for _ in 0..=self.below(2) {
            let (operator, keys, values) = self.comparison();
            let operator = match operator {
                "Null" => operator.to_owned(),
                _ => {
                    let quantifier = self.pick(&["", "", "ForAllValues:", "ForAnyValue:"]);
                    let suffix = self.pick(&["", "", "IfExists"]);
                    format!("{quantifier}{operator}{suffix}")
                }
            };
            let key = self.pick(keys);
            conditions[operator][key] = self.some(values);
        }
        conditions
    }

    fn comparison(
        &mut self,
    ) -> (
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
    ) {
        const STRINGS: &[&str] = &[
            "StringEquals",
            "StringNotEquals",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
            "StringLike",
            "StringNotLike",
        ];
        const ORDERS: &[(&str, &str)] = &[
            ("NumericEquals", "DateEquals"),
            ("NumericNotEquals", "DateNotEquals"),
            ("NumericLessThan", "DateLessThan"),
            ("NumericLessThanEquals", "DateLessThanEquals"),
            ("NumericGreaterThan", "DateGreaterThan"),
            ("NumericGreaterThanEquals", "DateGreaterThanEquals"),
        ];
        match self.below(10) {
            0 | 1 => (
                self.pick(STRINGS),
                &[
                    "kms:EncryptionContext:dept",
                    "kms:encryptioncontext:APP",
                    "kms:EncryptionContext:no",
                ],
                &["HR", "IT", "hr", "H*", "?R", "*"],
            ),
            2 => (
                self.pick(STRINGS),
                &["kms:EncryptionContextKeys"],
                &["dept", "app", "d*", "Dept"],
            ),
            3 => (
                self.pick(STRINGS),
                &[
                    "kms:ViaService",
                    "kms:RequestAlias",
                    "kms:CallerAccount",
                    "kms:KeySpec",
                ],
                &[
                    "balancer",
                    "alias/*",
                    "000000000000",
                    "SYMMETRIC_DEFAULT",
                    "*",
                ],
            ),
            4 => (
                self.pick(STRINGS),
                &["kms:GrantOperations"],
                &["Decrypt", "Encrypt", "D*", "CreateGrant"],
            ),
            5 => (
                self.pick(&["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"]),
                &["aws:PrincipalArn", "kms:GranteePrincipal"],
                &[
                    "arn:aws:iam::000000000000:user/*",
                    "arn:aws:iam::*:root",
                    "arn:aws:iam::1*:*",
                    "*",
                ],
            ),
            6 => (
                self.pick(ORDERS).0,
                &["aws:EpochTime"],
                &["1769860800", "1769864400.0", "0", "1e10"],
            ),
            7 => (
                self.pick(ORDERS).1,
                &["aws:CurrentTime", "aws:EpochTime"],
                &[
                    "2026-01-31T12:00:00Z",
                    "2026-01-31T14:00:00+01:00",
                    "2026-02-01",
                    "1769860800",
                ],
            ),
            8 => (
                self.pick(&["IpAddress", "NotIpAddress"]),
                &["aws:SourceIp"],
                &["10.0.0.0/8", "10.1.2.3", "192.0.2.0/24"],
            ),
            _ => match self.once_in(2) {
                true => (
                    "Bool",
                    &["aws:SecureTransport", "kms:GrantIsForAWSResource"],
                    &["true", "false"],
                ),
                false => (
                    "Null",
                    &[
                        "kms:EncryptionContext:dept",
                        "kms:ViaService",
                        "aws:SourceIp",
                        "kms:SigningAlgorithm",
                    ],
                    &["true", "false"],
                ),
            },
        }
    }
}

const WORLDS: u64 = 20_000;
const REQUESTS: u64 = 8;

#[test]
fn on_random_combinations_the_evaluator_says_what_the_rules_say() {
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..WORLDS {
        let mut dice = Dice(seed);
        let mut case = dice.case();
        let key = parsed(PolicyKind::Key, &case.key_policy);
        let own = case.identity_policies.iter().enumerate();
        let own = own.map(|(at, policy)| (at.to_string(), parsed(PolicyKind::Identity, policy)));
        let own = own.collect();
        for _ in 0..REQUESTS {
            let policies = Policies {
                key: case.asked.key.map(|_| &key),
                identity: &own,
                grants: &case.grants,
            };
            let decision = evaluate(policies, &case.asked.request());
            assert_eq!(
                verdict_of(decision),
                verdict(&case),
                "seed {seed}: {decision:?}"
            );
            *reasons.entry(kind_of(decision)).or_default() += 1;
            case.asked = dice.asked();
        }
    }
    // Or the agreement would prove little.
    assert_eq!(reasons.len(), 10, "{reasons:?}");
    let seldom = WORLDS * REQUESTS / 1000;
    assert!(
        reasons.values().all(|count| *count >= seldom),
        "{reasons:?}"
    );
}

fn verdict_of(decision: Decision<'_>) -> Verdict {
    match decision {
        Decision::Allowed(_) => Verdict::Allowed,
        Decision::Denied(Denial::KeyPolicy(_) | Denial::Identity(_)) => Verdict::DeniedByStatement,
        Decision::Denied(_) => Verdict::NotAllowed,
    }
}

fn kind_of(decision: Decision<'_>) -> String {
    let reason = format!("{:?}", Reason::from(decision));
    reason.split(['(', ' ']).take(1).collect()
}

fn parsed(kind: PolicyKind, policy: &Value) -> PolicyDocument {
    PolicyDocument::parse(kind, &policy.to_string())
        .unwrap_or_else(|error| panic!("{error}: {policy}"))
}
