//! Who asks, and from where.

use std::net::IpAddr;

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
        })
    }
}
