//! What is no listener, rule or target group.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{MANY, Resolver, check};
use crate::document::{AccessLogWord, Admin as AdminDocument};
use crate::fault::Fault;
use crate::reader::WordOr;
use crate::span::Span;
use crate::{AccessLog, Admin, RootKey, defaults};

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
        let (path, span) = self.document.kms.get()?.root_key.spanned()?;
        self.file(path, span).map(RootKey::File)
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
