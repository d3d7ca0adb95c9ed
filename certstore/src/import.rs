//! What is checked before a certificate is sealed: a bad input never replaces a good one.

use std::time::SystemTime;

use x509_parser::error::X509Error;
use x509_parser::prelude::X509Certificate;

use crate::certificate::{self, CertificateInfo, date, name};
use crate::error::Error;
use crate::key_type::KeyType;
use crate::pem;

/// One certificate of the input, and where it stood.
pub(crate) struct Input {
    pub(crate) place: String,
    pub(crate) der: Vec<u8>,
}

/// A chain that may be sealed.
pub(crate) struct Checked {
    /// From the leaf up, without a root at its end.
    pub(crate) chain: Vec<Vec<u8>>,
    /// What the user should know.
    pub(crate) remarks: Vec<String>,
}

/// The certificates in the inputs, each a name for errors and a PEM text.
pub(crate) fn inputs(chain_pem: &[(String, String)]) -> Result<Vec<Input>, Error> {
    let mut inputs = Vec::new();
    for (source, text) in chain_pem {
        let found = pem::certificates(source, text)?;
        inputs.extend((1..).zip(found).map(|(number, der)| Input {
            place: format!("certificate {number} of {source}"),
            der,
        }));
    }
    Ok(inputs)
}

/// The certificates' public keys, each a SubjectPublicKeyInfo in DER.
pub(crate) fn public_keys(inputs: &[Input]) -> Result<Vec<Vec<u8>>, Error> {
    let pool = parse_all(inputs)?;
    Ok(pool
        .iter()
        .map(|certificate| certificate.public_key().raw.to_vec())
        .collect())
}

/// Finds the leaf, which is the certificate of that public key, and the way up from it.
///
/// # Errors
/// [`Error::KeyMismatch`] where no certificate is the key's, [`Error::ChainTooLong`],
/// [`Error::Expired`], [`Error::NotYetValid`], and [`Error::Certificate`] for one that is malformed
/// or whose names are.
pub(crate) fn check(
    inputs: &[Input],
    key: (KeyType, &[u8]),
    now: SystemTime,
    allow_expired: bool,
) -> Result<Checked, Error> {
    let mut remarks = Vec::new();
    let pool = parse_all(inputs)?;
    let leaf = find_leaf(&pool, key, &mut remarks)?;
    let names = certificate::names(&inputs[leaf].place, &pool[leaf])?;
    let info = CertificateInfo::of(&pool[leaf], names);
    check_dates(&info, now, allow_expired, &mut remarks)?;
    remark_on_usage(&pool[leaf], &mut remarks);
    let order = arrange(&pool, leaf, &mut remarks);
    remark_on_issuers(&pool, &order, now, &mut remarks);
    let chain: Vec<_> = order
        .iter()
        .map(|index| inputs[*index].der.clone())
        .collect();
    check_length(&chain)?;
    Ok(Checked { chain, remarks })
}

fn parse_all(inputs: &[Input]) -> Result<Vec<X509Certificate<'_>>, Error> {
    if inputs.len() > MAX_INPUTS {
        return Err(Error::ChainTooLong {
            found: format!("{} certificates", inputs.len()),
            allowed: "64 certificates are looked through, and 10",
        });
    }
    let parsed = inputs
        .iter()
        .map(|input| certificate::parse(&input.place, &input.der));
    parsed.collect()
}

/// The certificate of the key; of several, the one that began last.
fn find_leaf(
    pool: &[X509Certificate<'_>],
    (key_type, public_key): (KeyType, &[u8]),
    remarks: &mut Vec<String>,
) -> Result<usize, Error> {
    let of_key: Vec<_> = (0..pool.len())
        .filter(|index| pool[*index].public_key().raw == public_key)
        .collect();
    let began = |index: &usize| pool[*index].validity().not_before.timestamp();
    let leaf = of_key.iter().copied().max_by_key(began);
    let leaf = leaf.ok_or_else(|| {
        let subjects: Vec<_> = pool
            .iter()
            .map(|certificate| name(certificate.subject()))
            .collect();
        Error::KeyMismatch {
            key_type,
            subjects: subjects.join("; "),
        }
    })?;
    if of_key
        .iter()
        .any(|index| pool[*index].as_raw() != pool[leaf].as_raw())
    {
        remarks.push(
            "several certificates are of this key: the one that began last was taken".to_owned(),
        );
    }
    Ok(leaf)
}

/// The way from the leaf up, as far as the pool knows it, without a root at its end.
fn arrange(pool: &[X509Certificate<'_>], leaf: usize, remarks: &mut Vec<String>) -> Vec<usize> {
    let mut order = vec![leaf];
    while let Some(issuer) = issuer_of(pool, &order) {
        order.push(issuer);
    }
    if !order.is_sorted() || leaf != 0 {
        remarks.push("the certificates were put in order, from the leaf up".to_owned());
    }
    remark_on_strays(pool, &order, remarks);
    let last = *order.last().expect("the leaf is there");
    if order.len() > 1 && is_self_issued(&pool[last]) {
        order.pop();
        let root = name(pool[last].subject());
        remarks.push(format!(
            "the root `{root}` was left out: clients have it or do not trust it"
        ));
    }
    order
}

/// Who signed the last certificate of `order`, among those that are not in it.
fn issuer_of(pool: &[X509Certificate<'_>], order: &[usize]) -> Option<usize> {
    let child = &pool[*order.last()?];
    if is_self_issued(child) {
        return None;
    }
    let is_new = |index: &usize| {
        order
            .iter()
            .all(|known| pool[*known].as_raw() != pool[*index].as_raw())
    };
    (0..pool.len())
        .filter(is_new)
        .find(|index| is_signed_by(child, &pool[*index]))
}

fn is_signed_by(child: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    if child.issuer().as_raw() != issuer.subject().as_raw() {
        return false;
    }
    // What cannot be verified here is believed by name: clients judge for themselves.
    matches!(
        child.verify_signature(Some(issuer.public_key())),
        Ok(()) | Err(X509Error::SignatureUnsupportedAlgorithm)
    )
}

fn is_self_issued(certificate: &X509Certificate<'_>) -> bool {
    certificate.issuer().as_raw() == certificate.subject().as_raw()
}

fn remark_on_strays(pool: &[X509Certificate<'_>], order: &[usize], remarks: &mut Vec<String>) {
    for (index, stray) in pool.iter().enumerate() {
        let is_copy = pool[..index]
            .iter()
            .any(|earlier| earlier.as_raw() == stray.as_raw());
        let is_used = order
            .iter()
            .any(|used| pool[*used].as_raw() == stray.as_raw());
        if is_copy {
            remarks.push(format!("`{}` was there twice", name(stray.subject())));
        } else if !is_used {
            remarks.push(format!(
                "`{}` is no part of the chain and was left out",
                name(stray.subject())
            ));
        }
    }
}

fn remark_on_issuers(
    pool: &[X509Certificate<'_>],
    order: &[usize],
    now: SystemTime,
    remarks: &mut Vec<String>,
) {
    let leaf = &pool[order[0]];
    if order.len() == 1 && is_self_issued(leaf) {
        remarks.push(
            "the certificate is self-signed: clients trust it only if they are told to".to_owned(),
        );
    } else if order.len() == 1 {
        remarks.push(format!(
            "no intermediate certificate came with it: clients that do not know its issuer `{}` will refuse it",
            name(leaf.issuer())
        ));
    }
    for issuer in order[1..].iter().map(|index| &pool[*index]) {
        let subject = name(issuer.subject());
        let info = CertificateInfo::of(issuer, Vec::new());
        if !issuer.is_ca() {
            remarks.push(format!(
                "the issuer `{subject}` is not marked as a certificate authority"
            ));
        }
        if info.not_after < now {
            remarks.push(format!(
                "the issuer `{subject}` expired on {}",
                date(info.not_after)
            ));
        }
    }
}

fn check_dates(
    leaf: &CertificateInfo,
    now: SystemTime,
    allow_expired: bool,
    remarks: &mut Vec<String>,
) -> Result<(), Error> {
    let subject = leaf.title().to_owned();
    let fault = if now < leaf.not_before {
        let date = date(leaf.not_before);
        Error::NotYetValid { subject, date }
    } else if leaf.not_after < now {
        let date = date(leaf.not_after);
        Error::Expired { subject, date }
    } else {
        return Ok(());
    };
    if !allow_expired {
        return Err(fault);
    }
    remarks.push(format!(
        "the certificate is outside its time ({} to {}), as was allowed",
        date(leaf.not_before),
        date(leaf.not_after)
    ));
    Ok(())
}

fn remark_on_usage(leaf: &X509Certificate<'_>, remarks: &mut Vec<String>) {
    if leaf.is_ca() {
        remarks.push("the certificate is marked as a certificate authority: many clients refuse it as a server's".to_owned());
    }
    let usage = leaf.key_usage().ok().flatten();
    if usage.is_some_and(|usage| !usage.value.digital_signature()) {
        remarks.push("its key usage lacks digitalSignature: TLS clients will refuse it".to_owned());
    }
    let purposes = leaf.extended_key_usage().ok().flatten();
    if purposes.is_some_and(|purposes| !purposes.value.server_auth && !purposes.value.any) {
        remarks.push(
            "its extended key usage lacks serverAuth: TLS clients will refuse it as a server's"
                .to_owned(),
        );
    }
}

fn check_length(chain: &[Vec<u8>]) -> Result<(), Error> {
    let bytes: usize = chain.iter().map(Vec::len).sum();
    if chain.len() <= MAX_CHAIN && bytes <= MAX_CHAIN_BYTES {
        return Ok(());
    }
    Err(Error::ChainTooLong {
        found: format!("{} certificates of together {bytes} bytes", chain.len()),
        allowed: "10 certificates of together 60,000 bytes",
    })
}

/// Of certificates that are looked through for a chain.
const MAX_INPUTS: usize = 64;
/// Of certificates in a chain.
pub(crate) const MAX_CHAIN: usize = 10;
/// TLS clients take 64 KiB of handshake messages.
pub(crate) const MAX_CHAIN_BYTES: usize = 60_000;
