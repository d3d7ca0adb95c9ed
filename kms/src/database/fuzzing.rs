//! Any bytes as records, and as the bodies that a record seals.

use std::sync::Arc;

use super::seal::{Kind, Sealer};
use crate::environment::{Environment, Random};
use crate::grant::GrantId;
use crate::key::{Identity, KeyId};
use crate::root_key::RootKey;
use crate::secret::SecretKey;

/// Records of every kind: as they are, and sealed as bodies, as only somebody with the root key can.
pub fn record(data: &[u8]) {
    let sealer = sealer();
    let environment = Environment {
        random: Arc::new(Always),
        ..Environment::system()
    };
    let (id, grant) = (KeyId::from_bytes([1; 16]), GrantId::from_random([2; 32]));
    let sealed = |kind, name: &str| {
        sealer.seal(kind, name, &environment, |body, _| {
            body.extend_from_slice(data);
        })
    };
    let _ = sealer.open_header(data);
    let _ = sealer.open_header(&sealed(Kind::Database, super::names::HEADER));
    let name = super::key_record(id);
    let _ = sealer.open_key(id, data);
    let _ = sealer.open_key(id, &sealed(Kind::Key, &name));
    let name = super::alias_record("alias/a");
    let _ = sealer.open_alias("alias/a".to_owned(), data);
    let _ = sealer.open_alias("alias/a".to_owned(), &sealed(Kind::Alias, &name));
    let name = super::names::grant_record(id, &grant);
    let _ = sealer.open_grant(id, grant.clone(), data);
    let _ = sealer.open_grant(id, grant, &sealed(Kind::Grant, &name));
    let _ = sealer.open_identity(IDENTITY, data);
    let _ = sealer.open_identity(IDENTITY, &sealed(Kind::Identity, IDENTITY));
}

fn sealer() -> Sealer {
    let key = SecretKey::copy_from(&[7; SecretKey::LEN]).expect("it has the length");
    let identity = Identity::new("000000000000", "local").expect("it is well formed");
    Sealer::new(&RootKey::new(key, "a fuzzer"), [3; 16], &identity)
}

const IDENTITY: &str = "identity-00000000000000000000000000000000";

/// The same salts and nonces for the same input.
struct Always;

impl Random for Always {
    fn fill(&self, out: &mut [u8]) {
        out.fill(5);
    }
}
