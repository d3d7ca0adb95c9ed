//! Words of the command line that mean something elsewhere: what cannot be one is wrong usage, and is
//! said before anything is asked or opened.

use certstore::EntryName;
use http::Method;
use http::method::InvalidMethod;
use kms::{Identity, KeyRef};

use crate::admin::protocol::ExplainRequest;

/// The name of an entry or of a trust store, in lower case.
///
/// # Errors
/// Why it can be none.
pub fn entry_name(text: &str) -> Result<String, certstore::Error> {
    EntryName::new(text).map(|name| name.to_string())
}

/// A DNS name or address for a certificate, as certificates have it.
///
/// # Errors
/// Why it can be none.
pub fn host_name(text: &str) -> Result<String, certstore::Error> {
    certstore::host_name(text)
}

/// The account of a state directory: 12 digits.
///
/// # Errors
/// What is allowed.
pub fn account(text: &str) -> Result<String, kms::Error> {
    Identity::new(text, ANY_REGION).map(|identity| identity.account)
}

/// The region of a state directory.
///
/// # Errors
/// What is allowed.
pub fn region(text: &str) -> Result<String, kms::Error> {
    Identity::new(ANY_ACCOUNT, text).map(|identity| identity.region)
}

/// A KMS key by id, alias or ARN.
///
/// # Errors
/// What is allowed.
pub fn key_ref(text: &str) -> Result<String, kms::Error> {
    text.parse::<KeyRef>().map(|_| text.to_owned())
}

/// The URL of a request.
///
/// # Errors
/// Why it can be none.
pub fn url(text: &str) -> Result<String, String> {
    let request = ExplainRequest {
        url: text.to_owned(),
        method: Method::GET.to_string(),
    };
    crate::explain::check(&request).map(|()| request.url)
}

/// The method of a request.
///
/// # Errors
/// What is wrong with it.
pub fn method(text: &str) -> Result<String, InvalidMethod> {
    Method::from_bytes(text.as_bytes()).map(|method| method.to_string())
}

const ANY_ACCOUNT: &str = "000000000000";
const ANY_REGION: &str = "local";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Cli;
    use clap::Parser;

    #[test]
    fn names_are_in_lower_case() {
        assert_eq!(entry_name("Shop.Example.com").unwrap(), "shop.example.com");
        assert_eq!(host_name("2001:DB8::0:1").unwrap(), "2001:db8::1");
    }

    #[test]
    fn what_cannot_be_meant_is_wrong_usage() {
        for line in [
            "cert csr a/b",
            "cert csr a --san a_b",
            "cert csr a --key-type dsa",
            "cert show ../x",
            "cert delete a --key-type dsa",
            "trust show a/b",
            "init --account 12",
            "init --region EU",
            "kms key describe /",
            "explain shop.example.com/cart",
            "explain https://shop.example.com/ --method G(ET",
        ] {
            let words = ["sealgate"].into_iter().chain(line.split(' '));
            let error = Cli::try_parse_from(words).err();
            assert_eq!(error.map(|error| error.exit_code()), Some(2), "{line}");
        }
    }
}
