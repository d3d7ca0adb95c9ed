//! Who asks, and from where.

use std::net::IpAddr;

use uuid::Uuid;

use crate::principal::Principal;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// The product itself, for its own purposes: what it does with certificates' keys.
    Internal,
    /// Anybody else, the administrator included: the command line, the socket, the API.
    Outside(Outside),
}

/// A caller to whom policies apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outside {
    /// Who it is.
    pub principal: Principal,
    /// From where it asks.
    pub source: Source,
    /// The service that asks on its behalf (`kms:ViaService`).
    pub via: Option<String>,
    /// What it says of this one call.
    pub options: CallOptions,
}

/// What a caller says of one call, beside what it asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// How the call is named in its answer and in the audit log; none: by a name that is made for it.
    pub request_id: Option<Uuid>,
    /// Which running instance of a service asks.
    pub instance: Option<Uuid>,
    /// Go all the way but the act, and say so by [`Error::DryRun`](crate::Error::DryRun).
    pub dry_run: bool,
}

/// From where a caller asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A process of this machine, by the user id that it runs as.
    Local {
        /// As the socket's peer credentials say.
        uid: u32,
    },
    /// The network.
    Network {
        /// The peer (`aws:SourceIp`).
        address: IpAddr,
        /// Whether it came over TLS (`aws:SecureTransport`).
        tls: bool,
    },
}

impl Caller {
    /// A local process that acts as `principal`.
    pub fn local(principal: Principal, uid: u32) -> Self {
        Self::Outside(Outside {
            principal,
            source: Source::Local { uid },
            via: None,
            options: CallOptions::default(),
        })
    }
}
