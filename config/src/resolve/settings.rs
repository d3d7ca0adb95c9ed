//! What is no listener, rule or target group.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{MANY, Resolver, check};
use crate::document::{
    AccessLogWord, Admin as AdminDocument, AuditMode as Mode, OnSealed as OnSealedWord,
    Quotas as QuotasDocument, RootKeyPlace, RootKeyWord,
};
use crate::fault::Fault;
use crate::reader::{Field, WordOr};
use crate::span::Span;
use crate::{AccessLog, Admin, Audit, AuditMode, OnSealed, Quotas, RootKey, defaults};

impl Resolver<'_> {
    pub(super) fn version(&mut self) {
        let document = self.document;
        self.require(
            &document.version,
            self.root,
            "version",
            "add the line `version: 1`",
        );
        if let Some((version, span)) = document.version.spanned()
            && *version != 1
        {
            self.report(
                Fault::error(
                    span,
                    format!("version {version} of the format is not known"),
                )
                .found(format!("the number `{version}`"))
                .allowed("`1`")
                .hint((*version > 1).then(|| "a newer Sealgate may know it".to_owned())),
            );
        }
    }

    pub(super) fn root_key(&mut self) -> Option<RootKey> {
        let (place, span) = self.document.kms.get()?.root_key.spanned()?;
        match place {
            WordOr::Word(RootKeyWord::Passphrase) => Some(RootKey::Passphrase),
            WordOr::Word(RootKeyWord::Shamir) => Some(RootKey::Shamir),
            WordOr::Map(place) => self.root_key_place(place, span),
        }
    }

    fn root_key_place(&mut self, place: &RootKeyPlace, span: Span) -> Option<RootKey> {
        let mut given: Vec<_> = [place.file.span(), place.credential.span()]
            .into_iter()
            .flatten()
            .collect();
        given.sort_unstable();
        match given[..] {
            [] => self.report(
                Fault::error(span, "no place of the root key is named")
                    .allowed("one of `file` and `credential`, or the word `passphrase` or `shamir`")
                    .hint("such as `file: /etc/sealgate/root.key`".to_owned()),
            ),
            [first, second, ..] => self.report(
                Fault::error(second, "a second place of the root key is named")
                    .related(first, "this is one already")
                    .hint("remove one of the two".to_owned()),
            ),
            [_] => {}
        }
        let file = self.word(&place.file, "file", check::filled);
        let credential = self.word(&place.credential, "credential", check::credential);
        file.map(|file| RootKey::File(self.directory.join(file)))
            .or(credential.map(RootKey::Credential))
    }

    pub(super) fn on_sealed(&mut self) -> OnSealed {
        let kms = self.document.kms.get();
        match kms.and_then(|kms| kms.on_sealed.get()) {
            Some(OnSealedWord::Wait) => OnSealed::Wait,
            Some(OnSealedWord::Refuse) | None => OnSealed::Refuse,
        }
    }

    pub(super) fn kms_socket(&mut self) -> Option<PathBuf> {
        let path = self.word(&self.document.kms.get()?.socket, "socket", check::filled)?;
        Some(self.directory.join(path))
    }

    pub(super) fn audit(&mut self) -> Audit {
        let given = self.document.kms.get().and_then(|kms| kms.audit.get());
        let mode = given.and_then(|audit| audit.mode.get());
        let size = self.size(
            given.map(|audit| &audit.max_file_size),
            "max_file_size",
            1 << 20..=16 << 30,
            "a size from 1MiB to 16GiB",
        );
        Audit {
            mode: mode.map_or(defaults::AUDIT.mode, |mode| match mode {
                Mode::Required => AuditMode::Required,
                Mode::Durable => AuditMode::Durable,
                Mode::BestEffort => AuditMode::BestEffort,
            }),
            max_file_size: size.unwrap_or(defaults::AUDIT.max_file_size),
        }
    }

    pub(super) fn quotas(&mut self) -> Quotas {
        let given = self.document.kms.get().and_then(|kms| kms.quotas.get());
        let default = &defaults::QUOTAS;
        let mut quota = |field: fn(&QuotasDocument) -> &Field<u64>, key, default| {
            self.small(given.map(field), key, 0..=MANY, default)
        };
        Quotas {
            symmetric: quota(|given| &given.symmetric, "symmetric", default.symmetric),
            rsa: quota(|given| &given.rsa, "rsa", default.rsa),
            ecc: quota(|given| &given.ecc, "ecc", default.ecc),
            create_key: quota(|given| &given.create_key, "create_key", default.create_key),
            grants: quota(|given| &given.grants, "grants", default.grants),
            read: quota(|given| &given.read, "read", default.read),
            change: quota(|given| &given.change, "change", default.change),
        }
    }

    pub(super) fn certstore_key(&mut self) -> String {
        let certstore = self.document.certstore.get();
        certstore
            .and_then(|certstore| self.word(&certstore.key, "key", check::filled))
            .unwrap_or_else(|| defaults::CERTSTORE_KEY.to_owned())
    }

    pub(super) fn bucket_keys(&mut self) -> bool {
        let certstore = self.document.certstore.get();
        let Some((keys, span)) = certstore.and_then(|certstore| certstore.bucket_keys.spanned())
        else {
            return defaults::BUCKET_KEYS;
        };
        self.require(&keys.enabled, span, "enabled", "such as `enabled: false`");
        keys.enabled.get().copied().unwrap_or(defaults::BUCKET_KEYS)
    }

    pub(super) fn admin(&mut self) -> Admin {
        let Some(admin) = self.document.admin.get() else {
            return Admin::default();
        };
        Admin {
            socket: self.admin_socket(admin),
            http: self.address(&admin.http, "http", check::bind),
        }
    }

    fn admin_socket(&mut self, admin: &AdminDocument) -> Option<PathBuf> {
        let path = self.word(&admin.socket, "socket", check::filled)?;
        Some(self.directory.join(path))
    }

    /// Where the admin endpoints listen, if the kernel does not choose, and where in the document that
    /// stands.
    pub(super) fn admin_address(&self) -> Option<(SocketAddr, Span)> {
        let (text, span) = self.document.admin.get()?.http.spanned()?;
        let address: SocketAddr = text.0.parse().ok()?;
        (address.port() != 0).then_some((address, span))
    }

    pub(super) fn trusted_proxies(&mut self) -> Vec<IpNet> {
        self.words(
            Some(&self.document.trusted_proxies),
            "trusted_proxies",
            check::network,
        )
    }

    pub(super) fn workers(&mut self) -> Option<usize> {
        let field = &self.document.workers;
        field.get()?;
        Some(self.count(Some(field), "workers", 1..=1024, 1))
    }

    pub(super) fn max_connections(&mut self) -> usize {
        let field = Some(&self.document.max_connections);
        self.count(
            field,
            "max_connections",
            1..=MANY,
            defaults::MAX_CONNECTIONS,
        )
    }

    pub(super) fn drain(&mut self) -> Duration {
        self.time(Some(&self.document.drain), "drain", defaults::DRAIN)
    }

    pub(super) fn access_log(&mut self) -> Option<AccessLog> {
        let (log, span) = self.document.access_log.spanned()?;
        match log {
            WordOr::Word(AccessLogWord::Stdout) => Some(AccessLog::Stdout),
            WordOr::Map(path) => self.file(path, span).map(AccessLog::File),
        }
    }
}
