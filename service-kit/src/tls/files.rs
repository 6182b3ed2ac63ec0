//! Certificates and keys as they lie on disk, in PEM.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;

/// The content of some files, read together.
#[derive(Clone, Eq, PartialEq)]
pub struct Files(BTreeMap<PathBuf, Vec<u8>>);

/// A file that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FileError {
    pub path: PathBuf,
    pub problem: String,
}

impl FileError {
    pub fn new(path: &Path, problem: impl ToString) -> Self {
        Self {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}

impl Files {
    /// # Errors
    /// One of them cannot be read.
    pub fn read(paths: &[PathBuf]) -> Result<Self, FileError> {
        let read = |path: &PathBuf| {
            let content = std::fs::read(path).map_err(|error| FileError::new(path, error))?;
            Ok((path.clone(), content))
        };
        paths.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Every certificate in a file, which may have none.
    ///
    /// # Errors
    /// The file was not read, or what is in it is not PEM.
    pub fn certificates(&self, path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
        CertificateDer::pem_slice_iter(self.content(path)?)
            .collect::<Result<_, _>>()
            .map_err(|error| FileError::new(path, error))
    }

    /// A certificate with those that lead to its authority, and its key.
    ///
    /// # Errors
    /// Either cannot be used, or they do not belong together.
    pub fn certified_key(&self, chain: &Path, key: &Path) -> Result<CertifiedKey, FileError> {
        let certificates = self.certificates(chain)?;
        if certificates.is_empty() {
            return Err(FileError::new(chain, "holds no certificate"));
        }
        let private = PrivateKeyDer::from_pem_slice(self.content(key)?)
            .map_err(|_| FileError::new(key, "holds no private key in PEM"))?;
        let private = super::provider()
            .key_provider
            .load_private_key(private)
            .map_err(|_| FileError::new(key, "holds a key of a kind that cannot be used"))?;
        let certified = CertifiedKey::new(certificates, private);
        match certified.keys_match() {
            Ok(()) => Ok(certified),
            Err(_) => {
                let problem = format!("holds a certificate for another key than that of {}", key.display());
                Err(FileError::new(chain, problem))
            }
        }
    }

    /// The authorities that are trusted.
    ///
    /// # Errors
    /// There is none in the file, or one of them cannot be used.
    pub fn authorities(&self, path: &Path) -> Result<Arc<RootCertStore>, FileError> {
        let mut authorities = RootCertStore::empty();
        for certificate in self.certificates(path)? {
            authorities
                .add(certificate)
                .map_err(|error| FileError::new(path, error))?;
        }
        if authorities.is_empty() {
            return Err(FileError::new(path, "holds no certificate"));
        }
        Ok(Arc::new(authorities))
    }

    fn content(&self, path: &Path) -> Result<&[u8], FileError> {
        let content = self.0.get(path).map(Vec::as_slice);
        content.ok_or_else(|| FileError::new(path, "was not read"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use testbed::certificates::{Authority, Subject};

    use super::*;

    fn files(contents: &[(&str, &str)]) -> Files {
        let files = contents.iter();
        Files(
            files
                .map(|(path, text)| (path.into(), text.as_bytes().to_vec()))
                .collect(),
        )
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_reason() {
        let made = Authority::new("test").issue(&Subject::named("one"));
        let other = Authority::new("test").issue(&Subject::named("other"));
        let files = files(&[
            ("chain", &made.pem()),
            ("key", &made.key_pem()),
            ("other", &other.key_pem()),
            ("empty", ""),
            ("cut", &made.pem()[..300]),
        ]);
        let refusal = |chain: &str, key: &str| {
            let refused = files.certified_key(chain.as_ref(), key.as_ref());
            refused.unwrap_err().to_string()
        };
        assert!(files.certified_key("chain".as_ref(), "key".as_ref()).is_ok());
        assert_eq!(
            refusal("chain", "other"),
            "chain: holds a certificate for another key than that of other"
        );
        assert_eq!(refusal("empty", "key"), "empty: holds no certificate");
        assert_eq!(refusal("chain", "empty"), "empty: holds no private key in PEM");
        assert!(refusal("cut", "key").starts_with("cut: "));
        let missing = Files::read(&["/nowhere/at/all".into()]).err().unwrap();
        assert!(missing.to_string().starts_with("/nowhere/at/all: "), "{missing}");
    }
}
