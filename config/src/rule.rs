//! Rules: which requests, and what is done with them.

/// One rule. All of its conditions must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// For the access log and for people: the rule's own name, else `rules[3]`.
    pub name: String,
    /// Only requests of this listener (an index into `Config::listeners`).
    pub listener: Option<usize>,
    /// Which requests.
    pub when: RuleCondition,
    /// What is done with them.
    pub action: Action,
}

/// Which requests a rule matches. An empty list matches every request, another one any of its values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleCondition {
    /// The authority's host, without port.
    pub host: Vec<HostPattern>,
    /// The normalised path, without query.
    pub path: Vec<PathPattern>,
    /// The method.
    pub method: Vec<String>,
}

/// A pattern of hosts, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// This host.
    Exact(String),
    /// Hosts one or more labels below this domain, from `*.example.com`; without the `*.`.
    Subdomains(String),
}

/// A pattern of paths, matched byte for byte after normalisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathPattern {
    /// This path.
    Exact(String),
    /// Paths that begin so; from `/v2/*`, without the `*`. `/v2/*` matches `/v2` as well.
    Prefix(String),
}

/// What is done with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// It goes to a target.
    Forward(Forward),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// It is answered here.
    Respond(FixedResponse),
}

/// To which target groups, and how.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Forward {
    /// Index into `Config::target_groups` and weight; at least one weight is not 0.
    pub groups: Vec<(usize, u32)>,
    /// What is changed in the request on its way to the target.
    pub request_headers: HeaderEdits,
    /// What is changed in the response on its way to the client.
    pub response_headers: HeaderEdits,
}

/// Changes of header fields, applied in the order remove, set, add. Names and values are valid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderEdits {
    /// Fields to remove.
    pub remove: Vec<String>,
    /// Fields to replace or add.
    pub set: Vec<(String, String)>,
    /// Fields to add beside those that are there.
    pub add: Vec<(String, String)>,
}

/// Where a client is sent. What is not set stays as the request has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// Host without port.
    pub host: Option<String>,
    /// Port; the scheme's default where the scheme changes and none is set.
    pub port: Option<u16>,
    /// Path, from `/`.
    pub path: Option<String>,
    /// Query without `?`.
    pub query: Option<String>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// An answer from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedResponse {
    /// 200 to 599.
    pub status: u16,
    /// Its media type.
    pub content_type: String,
    /// Its body.
    pub body: String,
}
