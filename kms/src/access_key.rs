//! Access keys: by which users sign their requests from the network (AWS Signature Version 4).
//!
//! An id that anybody may know, and a secret that only the user and this KMS have: requests are signed
//! with it, so that it is kept as it is, not as a hash.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use crate::environment::{Environment, Random};
use crate::error::Error;
use crate::principal::Principal;
use crate::secret::SecretBytes;

/// The id of an access key: 16 to 128 letters, digits or `_`, as IAM has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccessKeyId(String);

impl AccessKeyId {
    /// One of AWS's form: `AKIA` and 16 digits of base32 (RFC 4648).
    fn generate(random: &dyn Random) -> Self {
        let mut bytes = [0; 16];
        random.fill(&mut bytes);
        let digits = bytes.map(|byte| char::from(BASE32[usize::from(byte % 32)]));
        Self(format!("{PREFIX}{}", digits.iter().collect::<String>()))
    }

    /// The id as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccessKeyId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if (16..=128).contains(&text.len()) && text.bytes().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::InvalidAccessKey(
            "an access key id has 16 to 128 letters, digits or `_`",
        ))
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An access key as it is stored.
#[derive(Clone)]
pub(crate) struct StoredAccessKey {
    pub(crate) id: AccessKeyId,
    pub(crate) user: Principal,
    pub(crate) created: SystemTime,
    /// Whether requests that are signed with it are taken.
    pub(crate) active: bool,
    /// To the hour.
    pub(crate) last_used: Option<SystemTime>,
    pub(crate) secret: Arc<SecretBytes>,
}

impl StoredAccessKey {
    /// The most access keys of one user.
    pub(crate) const MAX_PER_USER: usize = 2;

    /// A new access key, of given parts or random ones.
    ///
    /// # Errors
    /// [`Error::InvalidAccessKey`] for a secret that is given.
    pub(crate) fn new(
        user: Principal,
        given: Option<GivenAccessKey>,
        created: SystemTime,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let random = &*environment.random;
        let (id, secret) = match given {
            Some(GivenAccessKey { id, secret }) => (id, checked(secret)?),
            None => (AccessKeyId::generate(random), generated(random)),
        };
        Ok(Self {
            id,
            user,
            created,
            active: true,
            last_used: None,
            secret: Arc::new(secret),
        })
    }

    /// Whether a use at `now` is to be written down: the last one that was is too long ago, or the
    /// clock was set back.
    pub(crate) fn is_use_news(&self, now: SystemTime) -> bool {
        let since = |last| now.duration_since(last);
        self.last_used
            .is_none_or(|last| since(last).is_ok_and(|since| since >= USE_PRECISION))
    }

    pub(crate) fn metadata(&self) -> AccessKeyMetadata {
        AccessKeyMetadata {
            id: self.id.clone(),
            user: self.user.clone(),
            created: self.created,
            active: self.active,
            last_used: self.last_used,
        }
    }
}

/// An access key that somebody brings.
pub struct GivenAccessKey {
    /// Its id.
    pub id: AccessKeyId,
    /// Its secret: 16 to 128 visible ASCII characters.
    pub secret: SecretBytes,
}

/// An access key that was just made: its secret is shown this once.
pub struct NewAccessKey {
    /// What may be known of it.
    pub metadata: AccessKeyMetadata,
    /// Its secret, ASCII.
    pub secret: Arc<SecretBytes>,
}

/// Whose an active access key is, and what requests are signed with.
pub struct AccessKeyHolder {
    /// The user.
    pub user: Principal,
    /// The secret, ASCII.
    pub secret: Arc<SecretBytes>,
}

/// What may be known of an access key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKeyMetadata {
    /// Its id.
    pub id: AccessKeyId,
    /// Whose it is.
    pub user: Principal,
    /// When it was made.
    pub created: SystemTime,
    /// Whether requests that are signed with it are taken.
    pub active: bool,
    /// When it was last used, to the hour; none: never.
    pub last_used: Option<SystemTime>,
}

fn checked(secret: SecretBytes) -> Result<SecretBytes, Error> {
    let bytes = secret.expose();
    if (16..=128).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic) {
        return Ok(secret);
    }
    Err(Error::InvalidAccessKey(
        "a secret access key has 16 to 128 visible ASCII characters",
    ))
}

/// A secret of AWS's form: 40 digits of base64.
fn generated(random: &dyn Random) -> SecretBytes {
    let mut bytes = Zeroizing::new([0; 30]);
    random.fill(&mut *bytes);
    let filled = SecretBytes::try_fill(SECRET_LEN, |out| {
        let encoded = Base64::encode(&*bytes, out).expect("30 bytes are 40 digits");
        Ok::<_, Infallible>(encoded.len())
    });
    let Ok(secret) = filled;
    secret
}

const PREFIX: &str = "AKIA";
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_LEN: usize = 40;
/// How exactly the last use is known: each use that is written costs a write.
const USE_PRECISION: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_util::repeatable;

    fn given(id: &str, secret: &[u8]) -> Result<StoredAccessKey, Error> {
        let user = "arn:aws:iam::000000000000:user/alice".parse()?;
        let secret = SecretBytes::copy_from(secret).unwrap();
        let given = GivenAccessKey {
            id: id.parse()?,
            secret,
        };
        StoredAccessKey::new(user, Some(given), SystemTime::UNIX_EPOCH, &repeatable())
    }

    #[test]
    fn made_ones_have_aws_s_form_and_differ() {
        let environment = Environment::system();
        let user: Principal = "arn:aws:iam::000000000000:user/alice".parse().unwrap();
        let made =
            || StoredAccessKey::new(user.clone(), None, SystemTime::UNIX_EPOCH, &environment);
        let (one, other) = (made().unwrap(), made().unwrap());
        let id = one.id.as_str();
        assert_eq!((id.len(), &id[..4]), (20, "AKIA"));
        assert!(id[4..].bytes().all(|byte| BASE32.contains(&byte)));
        assert_eq!(one.secret.expose().len(), 40);
        assert!(one.id != other.id && one.secret.expose() != other.secret.expose());
    }

    #[test]
    fn given_ones_are_checked() {
        let (id, secret) = ("AKIAIOSFODNN7EXAMPLE", [b'x'; 40]);
        assert!(given(id, &secret).is_ok());
        let ids = ["", "short", "AKIA/../../../etc", &"A".repeat(129)];
        assert!(ids.iter().all(|id| given(id, &secret).is_err()));
        let secrets: [&[u8]; 4] = [b"", b"short", &[b' '; 40], &[b'x'; 129]];
        assert!(secrets.iter().all(|secret| given(id, secret).is_err()));
    }

    #[test]
    fn a_use_is_news_once_an_hour() {
        let mut key = given("AKIAIOSFODNN7EXAMPLE", &[b'x'; 40]).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(key.is_use_news(at(0)));
        key.last_used = Some(at(10_000));
        assert!(!key.is_use_news(at(10_000)) && !key.is_use_news(at(13_599)));
        assert!(key.is_use_news(at(13_600)) && !key.is_use_news(at(9_000)));
    }
}
