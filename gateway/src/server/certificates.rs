//! Which of our certificates a client gets to see.
//!
//! Many charge points know RSA only, everybody else does better with ECDSA, and one address may have several names. So
//! there may be any number of certificates, and each handshake gets the one that suits it best.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use service_kit::tls::{Certificate, FileError, Files};
use thiserror::Error;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{SignatureAlgorithm, SignatureScheme};

/// Where certificates and their keys lie: `chain.pem:key.pem`, several with a comma between.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CertificateFiles(Vec<Pair>);

#[derive(Clone, Debug, Eq, PartialEq)]
struct Pair {
    chain: PathBuf,
    key: PathBuf,
}

#[derive(Debug, Error)]
#[error("`{0}` is not a certificate and its key, as in `chain.pem:key.pem`")]
pub struct NotAPair(String);

impl CertificateFiles {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.0.iter().flat_map(|pair| [pair.chain.clone(), pair.key.clone()])
    }
}

impl FromStr for CertificateFiles {
    type Err = NotAPair;

    fn from_str(text: &str) -> Result<Self, NotAPair> {
        let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
        let pair = |text: &str| match text.split_once(':') {
            Some((chain, key)) if !chain.is_empty() && !key.is_empty() => Ok(Pair {
                chain: chain.into(),
                key: key.into(),
            }),
            _ => Err(NotAPair(text.to_owned())),
        };
        pairs.map(pair).collect::<Result<_, _>>().map(Self)
    }
}

/// Our certificates, in the order in which they were set.
#[derive(Debug)]
pub struct Certificates(Vec<Own>);

#[derive(Debug)]
struct Own {
    certified: Arc<CertifiedKey>,
    /// In lower case; `*.` stands for one label.
    names: Vec<String>,
}

impl Certificates {
    /// # Errors
    /// A file cannot be used.
    pub fn read(files: &Files, pairs: &CertificateFiles) -> Result<Self, FileError> {
        let read = |pair: &Pair| {
            let certified = files.certified_key(&pair.chain, &pair.key)?;
            let leaf = certified.cert.first().map(|der| Certificate::parse(der));
            let leaf = leaf.and_then(Result::ok);
            let leaf = leaf.ok_or_else(|| FileError::new(&pair.chain, "cannot be read as a certificate"))?;
            Ok(Own {
                certified: Arc::new(certified),
                names: names(leaf),
            })
        };
        pairs.0.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The name counts first, where the client gives one that we have; then ECDSA before RSA. A client that asks for
    /// another name gets something all the same: many charge points do not look.
    fn choose(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Own> {
        let name = name.map(str::to_ascii_lowercase);
        let usable = self
            .0
            .iter()
            .filter(|own| own.certified.key.choose_scheme(schemes).is_some());
        usable.min_by_key(|own| {
            let fits = name.as_deref().is_some_and(|name| own.is_for(name));
            (!fits, own.certified.key.algorithm() == SignatureAlgorithm::RSA)
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // The schemes are those that the client's cipher suites leave room for.
        self.choose(hello.server_name(), hello.signature_schemes())
            .map(|own| Arc::clone(&own.certified))
    }
}

impl Own {
    fn is_for(&self, name: &str) -> bool {
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|own| match own.strip_prefix("*.") {
            Some(domain) => parent == Some(domain),
            None => own == name,
        })
    }
}

/// OCPP wants the name of a central system as its common name, and would rather have no alternatives beside it.
fn names(certificate: Certificate) -> Vec<String> {
    let names = if certificate.dns_names.is_empty() {
        certificate.common_names
    } else {
        certificate.dns_names
    };
    names.into_iter().map(|name| name.to_ascii_lowercase()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use testbed::certificates::{Authority, Issued, Subject};

    use super::*;

    const ECDSA: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

    fn certificates(made: &[Issued]) -> Certificates {
        let folder = tempfile::tempdir().unwrap();
        let pairs = made.iter().enumerate().map(|(number, made)| {
            let paths = made.write(folder.path(), &number.to_string());
            format!("{}:{}", paths.certificate.display(), paths.key.display())
        });
        let pairs: CertificateFiles = pairs.collect::<Vec<_>>().join(",").parse().unwrap();
        let files = Files::read(&pairs.paths().collect::<Vec<_>>()).unwrap();
        Certificates::read(&files, &pairs).unwrap()
    }

    #[test]
    fn the_certificate_follows_from_the_name_and_from_what_the_client_can_verify() {
        let authority = Authority::new("test");
        let one = Subject::named("x").dns("one.example");
        let two = Subject::named("x").dns("*.two.example");
        // Without alternatives the common name counts.
        let three = Subject::named("three.example");
        let ours = certificates(&[
            authority.issue_rsa(&one),
            authority.issue(&one),
            authority.issue_rsa(&two),
            authority.issue(&three),
        ]);
        let place = |name, schemes: &[SignatureScheme]| {
            let chosen = ours.choose(name, schemes);
            chosen.and_then(|chosen| ours.0.iter().position(|own| std::ptr::eq(own, chosen)))
        };
        assert_eq!(
            place(Some("One.example"), &[RSA, ECDSA]),
            Some(1),
            "ECDSA where it can be"
        );
        assert_eq!(place(Some("one.example"), &[RSA]), Some(0), "RSA otherwise");
        assert_eq!(
            place(Some("a.two.example"), &[RSA, ECDSA]),
            Some(2),
            "the name counts first"
        );
        assert_eq!(place(Some("a.b.two.example"), &[RSA, ECDSA]), Some(1), "one label only");
        assert_eq!(place(Some("three.example"), &[ECDSA]), Some(3));
        assert_eq!(
            place(Some("three.example"), &[RSA]),
            Some(0),
            "better another name than nothing"
        );
        assert_eq!(place(None, &[RSA, ECDSA]), Some(1), "no name, as with an address");
        assert_eq!(place(None, &[SignatureScheme::ED448]), None);
    }

    #[test]
    fn pairs_are_read_from_one_line() {
        let files: CertificateFiles = "a.pem:a.key, b.pem:b.key".parse().unwrap();
        let paths: Vec<_> = files.paths().collect();
        assert_eq!(paths, ["a.pem", "a.key", "b.pem", "b.key"].map(PathBuf::from));
        assert!("".parse::<CertificateFiles>().unwrap().is_empty());
        for wrong in ["a.pem", "a.pem:", ":a.key"] {
            assert!(wrong.parse::<CertificateFiles>().is_err(), "{wrong}");
        }
    }
}
