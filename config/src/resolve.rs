//! The document to a [`Config`]: defaults filled in, names bound, ranges checked, every fault found.

mod check;
mod listener;
mod rule;
mod settings;
mod suspect;
mod target_group;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use check::Refusal;

use crate::Config;
use crate::document::{Address, Defaults, Document, FilePath};
use crate::fault::{self, Fault, Severity};
use crate::hints;
use crate::reader::{Field, Named, OneOrMany, Spanned};
use crate::span::Span;
use crate::units::{self, Size, Time};
use crate::yaml::{Node, shorten};

/// The configuration that `document` describes, and its faults; it is of use only if none of them is
/// an error. Relative paths are taken from `directory`.
pub(crate) fn resolve(document: &Document, tree: &Node, directory: &Path) -> (Config, Vec<Fault>) {
    let mut resolver = Resolver {
        document,
        tree,
        root: tree.span,
        directory,
        listeners: Names::new("listener", &document.listeners),
        target_groups: Names::new("target group", &document.target_groups),
        faults: Vec::new(),
    };
    let config = resolver.config();
    (config, resolver.faults)
}

/// Whether a header field can have this value.
pub(crate) fn is_field_value(text: &str) -> bool {
    check::header_value(text).is_ok()
}

/// What in a valid configuration was probably not meant.
pub(crate) fn suspicions(config: &Config, document: &Document) -> Vec<Fault> {
    suspect::warnings(config, document)
}

/// Collects the faults of a document while it is resolved.
struct Resolver<'a> {
    document: &'a Document,
    tree: &'a Node,
    root: Span,
    directory: &'a Path,
    listeners: Names<'a>,
    target_groups: Names<'a>,
    faults: Vec<Fault>,
}

impl<'a> Resolver<'a> {
    /// Everything, in the order of the document.
    fn config(&mut self) -> Config {
        self.version();
        self.check_names();
        Config {
            region: self.word(&self.document.region, "region", check::region),
            root_key: self.root_key(),
            audit: self.audit(),
            quotas: self.quotas(),
            kms_socket: self.kms_socket(),
            on_sealed: self.on_sealed(),
            certstore_key: self.certstore_key(),
            bucket_keys: self.bucket_keys(),
            admin: self.admin(),
            trusted_proxies: self.trusted_proxies(),
            workers: self.workers(),
            max_connections: self.max_connections(),
            drain: self.drain(),
            access_log: self.access_log(),
            listeners: self.all_listeners(),
            rules: self.rules(),
            target_groups: self.all_target_groups(),
        }
    }

    fn defaults(&self) -> Option<&'a Defaults> {
        self.document.defaults.get()
    }

    fn check_names(&mut self) {
        let document = self.document;
        let names = [&self.listeners, &self.target_groups].map(|names| names.kind);
        let listeners = document.listeners.get().into_iter().flat_map(Named::names);
        let groups = document
            .target_groups
            .get()
            .into_iter()
            .flat_map(Named::names);
        let listeners = listeners.map(|name| (names[0], name));
        for (kind, (name, span)) in listeners.chain(groups.map(|name| (names[1], name))) {
            self.check(name, span, &format!("the name of a {kind}"), check::name);
        }
    }

    fn report(&mut self, fault: Fault) {
        fault::push(&mut self.faults, fault);
    }

    /// The value of `text` if it passes `check`.
    fn check<T>(
        &mut self,
        text: &str,
        span: Span,
        what: &str,
        check: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let refusal = match check(text) {
            Ok(value) => return Some(value),
            Err(refusal) => refusal,
        };
        let found = if text.is_empty() {
            "empty text".to_owned()
        } else {
            format!("`{}`", shorten(text))
        };
        self.report(
            Fault::error(span, format!("invalid value for {what}"))
                .found(found)
                .allowed(refusal.allowed)
                .hint(refusal.hint),
        );
        None
    }

    /// The value of a field that holds a word, if it is given and passes `check`.
    fn word<T>(
        &mut self,
        field: &Field<String>,
        key: &str,
        check: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Option<T> {
        let (text, span) = field.spanned()?;
        self.check(text, span, &format!("`{key}`"), check)
    }

    /// The value of a field that holds an address, if it is given and passes `check`.
    fn address(
        &mut self,
        field: &Field<Address>,
        key: &str,
        check: impl Fn(&str) -> Result<SocketAddr, Refusal>,
    ) -> Option<SocketAddr> {
        let (Address(text), span) = field.spanned()?;
        self.check(text, span, &format!("`{key}`"), check)
    }

    /// The values of a field that holds words, as far as they pass `check`.
    fn words<T>(
        &mut self,
        field: Option<&Field<OneOrMany<String>>>,
        key: &str,
        check: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Vec<T> {
        let words = field.and_then(Field::get).map_or(&[][..], |words| &words.0);
        let what = format!("`{key}`");
        words
            .iter()
            .filter_map(|word| self.check(word.value.as_deref()?, word.span, &what, &check))
            .collect()
    }

    /// Reports a list that is given and empty.
    fn refuse_empty<T>(&mut self, field: &Field<OneOrMany<T>>, key: &str, hint: &str) {
        if let Some((OneOrMany(items), span)) = field.spanned()
            && items.is_empty()
        {
            self.report(Fault::error(span, format!("`{key}` is empty")).hint(hint.to_owned()));
        }
    }

    /// A number within `range`; `default` where none is given.
    fn number(
        &mut self,
        field: Option<&Field<u64>>,
        key: &str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let Some((number, span)) = field.and_then(Field::spanned) else {
            return default;
        };
        if range.contains(number) {
            return *number;
        }
        let allowed = match (range.start(), range.end()) {
            (least, &u64::MAX | &MANY) => format!("a whole number from {least}"),
            (least, most) => format!("a whole number from {least} to {most}"),
        };
        self.report(
            Fault::error(span, format!("invalid value for `{key}`"))
                .found(format!("the number `{number}`"))
                .allowed(allowed),
        );
        default
    }

    /// As [`Self::number`], for numbers of things in memory.
    fn count(
        &mut self,
        field: Option<&Field<u64>>,
        key: &str,
        range: RangeInclusive<u64>,
        default: usize,
    ) -> usize {
        let number = self.number(field, key, range, default as u64);
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    /// As [`Self::number`], for small numbers.
    fn small(
        &mut self,
        field: Option<&Field<u64>>,
        key: &str,
        range: RangeInclusive<u64>,
        default: u32,
    ) -> u32 {
        let number = self.number(field, key, range, default.into());
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// A duration from a millisecond to a day; `default` where none is given.
    fn time(&mut self, field: Option<&Field<Time>>, key: &str, default: Duration) -> Duration {
        let Some((Time(time), span)) = field.and_then(Field::spanned) else {
            return default;
        };
        if (SHORTEST..=LONGEST).contains(time) {
            return *time;
        }
        let written = units::written(*time);
        self.report(
            Fault::error(span, format!("invalid value for `{key}`"))
                .found(format!("`{written}`"))
                .allowed("a duration from 1ms to 1d"),
        );
        default
    }

    /// A size within `range`, if one is given.
    fn size(
        &mut self,
        field: Option<&Field<Size>>,
        key: &str,
        range: RangeInclusive<u64>,
        allowed: &str,
    ) -> Option<u64> {
        let (Size(size), span) = field.and_then(Field::spanned)?;
        if range.contains(size) {
            return Some(*size);
        }
        self.report(
            Fault::error(span, format!("invalid value for `{key}`"))
                .found(format!("{size} bytes"))
                .allowed(allowed),
        );
        None
    }

    /// The path in `{ file: … }`.
    fn file(&mut self, path: &FilePath, span: Span) -> Option<PathBuf> {
        self.require(
            &path.file,
            span,
            "file",
            "such as `file: /etc/sealgate/NAME`",
        );
        let path = self.word(&path.file, "file", check::filled)?;
        Some(self.directory.join(path))
    }

    /// Reports that `field` is left out of the mapping at `span`.
    fn require<T>(&mut self, field: &Field<T>, span: Span, key: &str, hint: &str) {
        if !field.is_given() {
            let hint = (!hint.is_empty()).then(|| hint.to_owned());
            self.report(Fault::error(span, format!("`{key}` is missing")).hint(hint));
        }
    }
}

/// The first of the two that gives the field.
fn layer<'a, L, T>(
    own: Option<&'a L>,
    default: Option<&'a L>,
    field: fn(&L) -> &Field<T>,
) -> Option<&'a Field<T>> {
    own.map(field)
        .filter(|field| field.is_given())
        .or(default.map(field))
}

/// The names of one kind of thing.
struct Names<'a> {
    kind: &'static str,
    indices: HashMap<&'a str, usize>,
    /// How many more guesses are made at what was meant by an unknown name: each looks at all names.
    guesses: usize,
}

impl<'a> Names<'a> {
    fn new<T>(kind: &'static str, field: &'a Field<Named<T>>) -> Self {
        let names = field.get().into_iter().flat_map(Named::names);
        Self {
            kind,
            indices: names
                .enumerate()
                .map(|(index, (name, _))| (name, index))
                .collect(),
            guesses: 20,
        }
    }

    /// The index of `name`, which stands at `span`.
    fn bind(&mut self, name: &str, span: Span) -> Result<usize, Box<Fault>> {
        if let Some(index) = self.indices.get(name) {
            return Ok(*index);
        }
        let message = format!("unknown {} `{}`", self.kind, shorten(name));
        let fault = Fault::error(span, message)
            .allowed(self.allowed())
            .hint(self.guess(name));
        Err(Box::new(fault))
    }

    fn guess(&mut self, name: &str) -> Option<String> {
        self.guesses = self.guesses.checked_sub(1)?;
        let near = hints::nearest(name, self.indices.keys().copied())?;
        Some(format!("did you mean `{near}`?"))
    }

    /// The names, if they are few.
    fn allowed(&self) -> String {
        let mut names: Vec<_> = self
            .indices
            .iter()
            .map(|(name, index)| (*index, *name))
            .collect();
        if names.is_empty() || names.len() > 12 {
            return format!("the name of a {}; there are {}", self.kind, names.len());
        }
        names.sort_unstable();
        hints::list(&names.into_iter().map(|(_, name)| name).collect::<Vec<_>>())
    }
}

/// Whether nothing worse than a warning is among the faults.
pub(crate) fn acceptable(faults: &[Fault]) -> bool {
    faults.iter().all(|fault| fault.severity != Severity::Error)
}

/// The items of a list that could be read, with their places.
fn items<T>(list: &[Spanned<T>]) -> impl Iterator<Item = (&T, Span)> {
    list.iter()
        .filter_map(|item| Some((item.value.as_ref()?, item.span)))
}

/// Bound for numbers that have no other.
const MANY: u64 = 1_000_000_000;
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use crate::{
        Action, CertificateAuthorities, CertificateSelector, Config, HostPattern, HttpVersion,
        PathPattern, RootKey, TargetProtocol, UnknownSni, defaults,
    };

    fn config(text: &str) -> Config {
        match Config::parse("/etc/sealgate/sealgate.yaml", text) {
            Ok(loaded) => loaded.config,
            Err(faults) => panic!("{faults}"),
        }
    }

    fn with_groups(text: &str) -> Config {
        config(&format!(
            "version: 1\nlisteners: {{ a: {{ bind: '127.0.0.1:80' }} }}\n{text}"
        ))
    }

    #[test]
    fn full_example_means_what_it_says() {
        let config = config(include_str!("../examples/full.yaml"));
        let [http, https] = &config.listeners[..] else {
            panic!("two listeners")
        };
        assert_eq!(http.protocols, [HttpVersion::Http1]);
        assert!(
            matches!(&http.action, Some(Action::Redirect(to)) if to.scheme.as_deref() == Some("https"))
        );
        let tls = https.tls.as_ref().expect("TLS");
        let names = ["shop.example.com", "*.example.com"]
            .map(|name| CertificateSelector::Name(name.to_owned()));
        assert_eq!(tls.certificates, names);
        assert_eq!(tls.on_unknown_sni, UnknownSni::Reject);

        let rule = &config.rules[1];
        assert_eq!((rule.name.as_str(), rule.listener), ("rules[1]", Some(1)));
        assert_eq!(
            rule.when.host,
            [HostPattern::Exact("api.example.com".to_owned())]
        );
        assert_eq!(rule.when.path, [PathPattern::Prefix("/v2/".to_owned())]);
        assert!(
            matches!(&rule.action, Action::Forward(forward) if forward.groups == [(1, 95), (2, 5)])
        );

        let api = &config.target_groups[1];
        let probe = api.health_check.as_ref().expect("a health check");
        assert_eq!(
            (probe.path.as_str(), probe.interval),
            ("/healthz", Duration::from_secs(5))
        );
        assert!(matches!(
            &api.protocol,
            TargetProtocol::Https(tls)
                if tls.ca == Some(CertificateAuthorities::TrustStore("internal-ca".to_owned()))
        ));
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let config = config(include_str!("../examples/minimal.yaml"));
        assert_eq!(config.certstore_key, defaults::CERTSTORE_KEY);
        assert_eq!(config.bucket_keys, defaults::BUCKET_KEYS);
        assert_eq!((config.workers, config.drain), (None, defaults::DRAIN));
        assert_eq!(config.listeners[0].protocols, defaults::TLS_PROTOCOLS);
        assert_eq!(config.listeners[0].limits, defaults::LISTENER_LIMITS);
        assert_eq!(config.target_groups[0].limits, defaults::TARGET_LIMITS);
        assert_eq!(config.target_groups[0].health_check, None);
    }

    #[test]
    fn own_health_check_is_laid_over_the_default() {
        let config = with_groups(
            "
defaults: { target_group: { health_check: { path: /default, interval: 2s } } }
target_groups:
  own: { targets: '10.0.0.1:80', health_check: { interval: 1s } }
  none: { targets: '10.0.0.1:80', health_check: none }
  default: { targets: '10.0.0.1:80' }
",
        );
        let probes = config.target_groups.iter().map(|group| {
            let probe = group.health_check.as_ref()?;
            Some((
                probe.path.as_str(),
                probe.interval.as_secs(),
                probe.timeout.as_secs(),
            ))
        });
        let expected = [Some(("/default", 1, 1)), None, Some(("/default", 2, 2))];
        assert_eq!(probes.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn listener_defaults_hold_unless_overridden() {
        let config = config(
            "
version: 1
defaults:
  listener:
    tls: { policy: compatible, certificates: [a.example] }
    allow_encoded_slash: true
    merge_slashes: false
    limits: { idle_timeout: 5s, max_streams: 7 }
listeners:
  plain: { bind: '127.0.0.1:80', allow_encoded_slash: false, merge_slashes: true }
  tls: { bind: '127.0.0.1:443', tls: {}, limits: { max_streams: 8 } }
",
        );
        let [plain, tls] = &config.listeners[..] else {
            panic!("two listeners")
        };
        assert!(plain.tls.is_none() && !plain.allow_encoded_slash && tls.allow_encoded_slash);
        assert!(plain.merge_slashes && !tls.merge_slashes);
        assert_eq!((plain.limits.max_streams, tls.limits.max_streams), (7, 8));
        assert_eq!(tls.limits.idle_timeout, Duration::from_secs(5));
        let tls = tls.tls.as_ref().expect("TLS");
        assert_eq!(
            tls.certificates,
            [CertificateSelector::Name("a.example".to_owned())]
        );
    }

    #[test]
    fn relative_paths_are_taken_from_the_directory_of_the_file() {
        let config =
            with_groups("kms: { root_key: { file: root.key } }\nadmin: { socket: /run/a.sock }\n");
        assert_eq!(
            config.root_key,
            Some(RootKey::File(
                Path::new("/etc/sealgate/root.key").to_owned()
            ))
        );
        assert_eq!(
            config.admin.socket.as_deref(),
            Some(Path::new("/run/a.sock"))
        );
    }

    #[test]
    fn targets_may_be_unverified_only_by_name() {
        let config = with_groups(
            "
target_groups:
  system: { protocol: https, targets: '10.0.0.1:443' }
  nobody: { protocol: https, tls: { verify: none }, targets: '10.0.0.1:443' }
",
        );
        let authorities = config
            .target_groups
            .iter()
            .map(|group| match &group.protocol {
                TargetProtocol::Https(tls) => tls.ca.clone(),
                TargetProtocol::Http => panic!("TLS was asked for"),
            });
        let expected = [Some(CertificateAuthorities::System), None];
        assert_eq!(authorities.collect::<Vec<_>>(), expected);
    }
}
