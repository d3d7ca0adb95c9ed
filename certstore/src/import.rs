//! What is checked before a certificate is sealed: a bad input never replaces a good one.

use std::time::SystemTime;

use x509_parser::error::X509Error;
use x509_parser::prelude::X509Certificate;

use crate::certificate::{self, CertificateInfo, date, name};
use crate::error::Error;
use crate::key_type::{KeyFamily, KeyType};
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
    /// The names that the leaf is for.
    pub(crate) names: Vec<String>,
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
    Ok(Checked {
        chain,
        names: info.names,
        remarks,
    })
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
    let leaf = leaf.ok_or_else(|| mismatch(pool, key_type, public_key))?;
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

/// Why no certificate is the key's.
fn mismatch(pool: &[X509Certificate<'_>], key_type: KeyType, public_key: &[u8]) -> Error {
    let explicit = |certificate: &&X509Certificate<'_>| {
        let found = certificate.public_key();
        let curve = found.algorithm.parameters.as_ref();
        // The same point, at the end of both, on a curve that is not named.
        key_type.family() == KeyFamily::Ecdsa
            && curve.is_some_and(|curve| curve.as_sequence().is_ok())
            && !found.subject_public_key.data.is_empty()
            && public_key.ends_with(&found.subject_public_key.data)
    };
    if let Some(explicit) = pool.iter().find(explicit) {
        return Error::ExplicitParameters(title(explicit));
    }
    let subjects: Vec<_> = pool.iter().map(title).collect();
    Error::KeyMismatch {
        key_type,
        subjects: subjects.join("; "),
    }
}

/// What to call a certificate in a sentence: its subject, or its names where it has none.
fn title(certificate: &X509Certificate<'_>) -> String {
    let subject = name(certificate.subject());
    let names = || {
        certificate::names("", certificate)
            .unwrap_or_default()
            .join(", ")
    };
    if subject.is_empty() { names() } else { subject }
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
    if order.len() == 1 {
        remarks.push(remark_on_lone(leaf));
    }
    for issuer in order[1..].iter().map(|index| &pool[*index]) {
        let info = CertificateInfo::of(issuer, Vec::new());
        let subject = &info.subject;
        if !issuer.is_ca() {
            remarks.push(format!(
                "the issuer `{subject}` is not marked as a certificate authority"
            ));
        }
        if info.not_after < now {
            let expired = date(info.not_after);
            remarks.push(format!("the issuer `{subject}` expired on {expired}"));
        }
    }
}

fn remark_on_lone(leaf: &X509Certificate<'_>) -> String {
    if is_self_issued(leaf) {
        return "the certificate is self-signed: clients trust it only if they are told to"
            .to_owned();
    }
    let issuer = name(leaf.issuer());
    format!(
        "no intermediate certificate came with it: clients that do not know its issuer `{issuer}` will refuse it"
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pem::PemKey;
    use crate::private_key::PrivateKey;
    use crate::testing::{DAY, OpenSsl};

    /// A root, an intermediate and a leaf for `shop.example.com`, made by openssl.
    struct Pki(OpenSsl);

    impl Pki {
        fn new() -> Self {
            let openssl = OpenSsl::new();
            openssl.write(
                "ca.ext",
                "basicConstraints=critical,CA:true\nkeyUsage=keyCertSign\n",
            );
            openssl.run("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -nodes -subj /CN=root -days 90 -keyout root.key -out root.pem");
            let pki = Self(openssl);
            pki.issue("middle", "root", "ca.ext", "");
            pki.leaf(
                "leaf",
                "subjectAltName=DNS:Shop.Example.com,DNS:shop.example.com,IP:10.0.0.1",
            );
            pki
        }

        fn leaf(&self, name: &str, extensions: &str) {
            self.0.write(&format!("{name}.ext"), extensions);
            self.issue(name, "middle", &format!("{name}.ext"), "");
        }

        fn issue(&self, name: &str, issuer: &str, extensions: &str, more: &str) {
            self.0.run(&format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
            ));
            self.0.run(&format!(
                "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days 30 -extfile {extensions} -out {name}.pem {more}"
            ));
        }

        fn key(&self, name: &str) -> PrivateKey {
            let text = self.0.read(&format!("{name}.key"));
            match pem::read("key", &text).unwrap().key {
                Some(PemKey::Plain(key)) => key,
                _ => panic!("{name} has a key in the clear"),
            }
        }

        fn check_at(&self, key: &str, names: &[&str], now: SystemTime) -> Result<Checked, Error> {
            let texts: Vec<_> = names
                .iter()
                .map(|name| self.0.text(&format!("{name}.pem")))
                .collect();
            let inputs = inputs(&[("chain.pem".to_owned(), texts.concat())]).unwrap();
            let key = self.key(key);
            check(&inputs, (key.key_type(), key.public_key()), now, false)
        }

        fn check(&self, names: &[&str]) -> Result<Checked, Error> {
            self.check_at("leaf", names, SystemTime::now())
        }

        fn der(&self, name: &str) -> Vec<u8> {
            self.0.run(&format!("x509 -in {name}.pem -outform DER"))
        }
    }

    fn has(remarks: &[String], text: &str) -> bool {
        remarks.iter().any(|remark| remark.contains(text))
    }

    #[test]
    fn a_chain_is_put_in_order_and_its_root_left_out() {
        let pki = Pki::new();
        let expected = [pki.der("leaf"), pki.der("middle")];
        let good = pki.check(&["leaf", "middle"]).unwrap();
        assert_eq!(
            (good.chain.as_slice(), good.remarks),
            (&expected[..], Vec::new())
        );
        for order in [
            ["root", "middle", "leaf"],
            ["middle", "root", "leaf"],
            ["leaf", "root", "middle"],
        ] {
            let checked = pki.check(&order).unwrap();
            assert_eq!(checked.chain, expected);
            assert!(
                has(&checked.remarks, "put in order"),
                "{:?}",
                checked.remarks
            );
            assert!(has(&checked.remarks, "the root `CN=root` was left out"));
        }
    }

    #[test]
    fn what_is_missing_twice_or_astray_is_remarked_on() {
        let pki = Pki::new();
        pki.leaf("stray", "subjectAltName=DNS:stray.example");
        let alone = pki.check(&["leaf"]).unwrap();
        assert!(
            has(&alone.remarks, "no intermediate certificate came with it"),
            "{:?}",
            alone.remarks
        );
        let messy = pki.check(&["leaf", "stray", "middle", "middle"]).unwrap();
        assert_eq!(messy.chain, [pki.der("leaf"), pki.der("middle")]);
        assert!(
            has(&messy.remarks, "`CN=stray` is no part of the chain"),
            "{:?}",
            messy.remarks
        );
        assert!(has(&messy.remarks, "`CN=middle` was there twice"));
    }

    #[test]
    fn an_issuer_of_the_same_name_that_did_not_sign_is_astray() {
        let pki = Pki::new();
        let real = pki.der("middle");
        pki.0.run("x509 -in middle.pem -out real.pem");
        pki.issue("middle", "root", "ca.ext", "");
        let checked = pki.check(&["leaf", "middle", "real"]).unwrap();
        assert_eq!(checked.chain, [pki.der("leaf"), real]);
    }

    #[test]
    fn the_key_finds_its_certificate() {
        let pki = Pki::new();
        let error = pki
            .check_at("root", &["leaf", "middle"], SystemTime::now())
            .err()
            .unwrap();
        let text = error.to_string();
        assert!(
            text.contains("belongs to none of the certificates (CN=leaf; CN=middle)"),
            "{text}"
        );
    }

    #[test]
    fn a_certificate_that_spells_its_curve_out_is_told_from_one_of_another_key() {
        let pki = Pki::new();
        pki.0
            .run("ecparam -name prime256v1 -genkey -noout -param_enc explicit -out long.key");
        pki.0.run("req -x509 -key long.key -subj /CN=long -addext subjectAltName=DNS:a.example -out long.pem");
        let check = |key, names: &[&str]| pki.check_at(key, names, SystemTime::now()).map(drop);
        let error = check("long", &["long"]).unwrap_err();
        assert!(
            matches!(&error, Error::ExplicitParameters(title) if title == "CN=long")
                && error
                    .to_string()
                    .contains("openssl ec -param_enc named_curve"),
            "{error}"
        );
        assert!(matches!(
            check("leaf", &["long"]),
            Err(Error::KeyMismatch { .. })
        ));
        // The key alone does no harm: it is sealed with its curve named.
        pki.0
            .run("ec -in leaf.key -param_enc explicit -out explicit.key");
        check("explicit", &["leaf", "middle"]).unwrap();
    }

    #[test]
    fn times_are_judged_by_the_clock_that_is_handed_in() {
        let pki = Pki::new();
        let now = SystemTime::now();
        let early = pki.check_at("leaf", &["leaf", "middle"], now - 2 * DAY);
        assert!(matches!(early, Err(Error::NotYetValid { .. })));
        let late = pki.check_at("leaf", &["leaf", "middle"], now + 31 * DAY);
        assert!(matches!(late, Err(Error::Expired { .. })));
        pki.issue("leaf", "middle", "leaf.ext", "-days 365");
        let checked = pki
            .check_at("leaf", &["leaf", "middle"], now + 31 * DAY)
            .unwrap();
        assert!(
            has(&checked.remarks, "the issuer `CN=middle` expired on"),
            "{:?}",
            checked.remarks
        );
    }

    #[test]
    fn names_that_nobody_can_be_reached_by_are_refused() {
        let pki = Pki::new();
        for (extensions, why) in [
            ("keyUsage=digitalSignature", "no subject alternative name"),
            (
                "subjectAltName=email:a@example.com",
                "no subject alternative name",
            ),
            ("subjectAltName=DNS:a_b.example", "`a_b.example` is refused"),
            (
                "subjectAltName=DNS:ok.example,DNS:f*.example",
                "`f*.example` is refused",
            ),
            // DNS:a.example with a NUL and more behind it.
            (
                "subjectAltName=DER:30:0f:82:0d:61:2e:65:78:61:6d:70:6c:65:00:2e:65:78",
                "NUL",
            ),
            ("subjectAltName=DER:30:05:82:03:61:ff:62", "not ASCII"),
            (
                "subjectAltName=DER:30:05:87:03:01:02:03",
                "neither 4 nor 16",
            ),
        ] {
            pki.leaf("leaf", extensions);
            let error = pki
                .check(&["leaf", "middle"])
                .err()
                .expect(extensions)
                .to_string();
            assert!(error.contains(why), "{error}");
            assert!(error.contains("certificate 1 of chain.pem"), "{error}");
        }
    }

    #[test]
    fn unusual_leaves_are_remarked_on() {
        let pki = Pki::new();
        for (extensions, remark) in [
            (
                "basicConstraints=CA:true",
                "marked as a certificate authority",
            ),
            ("keyUsage=keyEncipherment", "lacks digitalSignature"),
            ("extendedKeyUsage=clientAuth", "lacks serverAuth"),
        ] {
            pki.leaf(
                "leaf",
                &format!("subjectAltName=DNS:a.example\n{extensions}"),
            );
            let checked = pki.check(&["leaf", "middle"]).unwrap();
            assert!(has(&checked.remarks, remark), "{:?}", checked.remarks);
        }
    }

    #[test]
    fn a_self_signed_certificate_is_a_chain_of_its_own() {
        let pki = Pki::new();
        pki.0.run("req -x509 -key leaf.key -subj /CN=self -addext subjectAltName=DNS:a.example -out self.pem");
        let checked = pki.check(&["self"]).unwrap();
        assert_eq!(checked.chain, [pki.der("self")]);
        assert!(
            has(&checked.remarks, "self-signed"),
            "{:?}",
            checked.remarks
        );
    }

    #[test]
    fn chains_have_a_bound() {
        let pki = Pki::new();
        let many = vec!["leaf"; MAX_INPUTS + 1];
        assert!(matches!(pki.check(&many), Err(Error::ChainTooLong { .. })));
        assert!(matches!(
            check_length(&vec![Vec::new(); MAX_CHAIN + 1]),
            Err(Error::ChainTooLong { .. })
        ));
        assert!(matches!(
            check_length(&[vec![0; MAX_CHAIN_BYTES + 1]]),
            Err(Error::ChainTooLong { .. })
        ));
    }
}
