//! Certificates for tests: an authority made for one test, and what it issues.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};

/// Ends before it begins to matter, and begins before the clocks differ.
const DAYS: i64 = 90;

/// Issues certificates, and signs them with ECDSA.
pub struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct Subject {
    common_name: String,
    organization: Option<String>,
    names: Vec<SanType>,
    expired: bool,
}

/// A certificate with its key.
pub struct Issued {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// Where a certificate and its key lie.
#[derive(Clone, Debug)]
pub struct Paths {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Subject {
    pub fn named(common_name: &str) -> Self {
        Self {
            common_name: common_name.to_owned(),
            organization: None,
            names: Vec::new(),
            expired: false,
        }
    }

    #[must_use]
    pub fn organization(mut self, name: &str) -> Self {
        self.organization = Some(name.to_owned());
        self
    }

    #[must_use]
    pub fn dns(mut self, name: &str) -> Self {
        let name = name.try_into().expect("a DNS name");
        self.names.push(SanType::DnsName(name));
        self
    }

    /// Good for `127.0.0.1` and `localhost`.
    #[must_use]
    pub fn loopback(mut self) -> Self {
        self.names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        self.dns("localhost")
    }

    /// Whose time was over yesterday.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.expired = true;
        self
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, self.common_name.clone());
        if let Some(organization) = &self.organization {
            name.push(DnType::OrganizationName, organization.clone());
        }
        params.distinguished_name = name;
        params.subject_alt_names.clone_from(&self.names);
        let now = time::OffsetDateTime::now_utc();
        params.not_before = now - time::Duration::days(2);
        params.not_after = now + time::Duration::days(if self.expired { -1 } else { DAYS });
        params
    }
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let (params, key) = Self::prepare(name);
        let certificate = params.self_signed(&key).expect("the authority can be made");
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    /// One that this one vouches for.
    #[must_use]
    pub fn subordinate(&self, name: &str) -> Self {
        let (params, key) = Self::prepare(name);
        let certificate = params.signed_by(&key, &self.issuer).expect("the authority can be made");
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    fn prepare(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = Subject::named(name).params();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params, KeyPair::generate().expect("a key can be made"))
    }

    /// With an ECDSA key.
    pub fn issue(&self, subject: &Subject) -> Issued {
        self.issue_for(subject, KeyPair::generate().expect("a key can be made"))
    }

    /// With the RSA key of these tests.
    pub fn issue_rsa(&self, subject: &Subject) -> Issued {
        let key = KeyPair::from_pem(include_str!("certificates/rsa.pem")).expect("the RSA key can be read");
        self.issue_for(subject, key)
    }

    fn issue_for(&self, subject: &Subject, key: KeyPair) -> Issued {
        let certificate = subject.params().signed_by(&key, &self.issuer);
        Issued {
            certificate: certificate.expect("the certificate can be issued"),
            key,
        }
    }

    pub fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Writes the authority's own certificate as `NAME.pem`.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(format!("{name}.pem"));
        std::fs::write(&path, self.pem()).expect("the folder can be written to");
        path
    }
}

impl Issued {
    /// A certificate that nobody vouches for.
    pub fn self_signed(subject: &Subject) -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = subject.params().self_signed(&key);
        Self {
            certificate: certificate.expect("the certificate can be made"),
            key,
        }
    }

    pub fn der(&self) -> Vec<u8> {
        self.certificate.der().to_vec()
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) -> Paths {
        let paths = Paths {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
        };
        std::fs::write(&paths.certificate, self.pem()).expect("the folder can be written to");
        std::fs::write(&paths.key, self.key_pem()).expect("the folder can be written to");
        paths
    }
}
