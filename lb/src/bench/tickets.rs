//! The sessions that a thread may resume.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// The sessions that one thread may resume, all with one server. Its lock is never waited for:
/// nobody but that thread takes it.
pub(super) struct Tickets {
    inner: Mutex<Inner>,
    capacity: usize,
}

#[derive(Default)]
struct Inner {
    tls13: VecDeque<Tls13ClientSessionValue>,
    tls12: Option<Tls12ClientSessionValue>,
    received: u64,
}

impl Tickets {
    /// Room for `capacity` tickets; beyond it the oldest goes.
    pub(super) fn new(capacity: usize) -> Arc<Self> {
        let inner = Mutex::default();
        Arc::new(Self { inner, capacity })
    }

    /// How many sessions the server has handed out.
    pub(super) fn received(&self) -> u64 {
        self.inner.lock().received
    }

    /// A store that takes sessions in and hands none out: each handshake with it is a full one, and
    /// is for the server like that of any client, tickets included.
    pub(super) fn hoard(self: &Arc<Self>) -> Arc<dyn ClientSessionStore> {
        Arc::new(Hoard(self.clone()))
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        let mut inner = self.inner.lock();
        inner.received += 1;
        inner.tls12 = Some(session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.inner.lock().tls12.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.inner.lock().tls12 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut inner = self.inner.lock();
        inner.received += 1;
        if inner.tls13.len() == self.capacity {
            inner.tls13.pop_front();
        }
        inner.tls13.push_back(ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.inner.lock().tls13.pop_front()
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

/// [`Tickets`] that are only collected.
#[derive(Debug)]
struct Hoard(Arc<Tickets>);

impl ClientSessionStore for Hoard {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, name: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.0.set_tls12_session(name, session);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, name: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(name, ticket);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}
