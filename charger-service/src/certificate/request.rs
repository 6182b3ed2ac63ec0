//! A charge point's certificate signing request (RFC 2986), and what must be right about it before anything is signed.

use rcgen::SubjectPublicKeyInfo;
use thiserror::Error;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::AttributeTypeAndValue;

use super::authority::{ORGANIZATION, Subject};

/// A00.FR.502 and A00.FR.503, in bits.
const SHORTEST_RSA: usize = 2048;
const SHORTEST_ECC: usize = 224;

#[derive(Debug)]
pub struct SigningRequest {
    common_names: Vec<String>,
    organizations: Vec<String>,
    pub key: SubjectPublicKeyInfo,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unfit {
    #[error("it is no certificate signing request in PEM")]
    Unreadable,
    #[error("it is not signed with the key that it is for")]
    NotSigned,
    #[error("its key is too short")]
    WeakKey,
    #[error("its key is of a kind that is not known here")]
    UnknownKey,
    #[error("its common name is another charge point's")]
    CommonName,
    #[error("its organization is another one")]
    Organization,
}

impl SigningRequest {
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let pem = Pem::iter_from_buffer(text.as_bytes()).next();
        let pem = pem.and_then(Result::ok).ok_or(Unfit::Unreadable)?;
        if !matches!(pem.label.as_str(), "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") {
            return Err(Unfit::Unreadable);
        }
        let (rest, request) = X509CertificationRequest::from_der(&pem.contents).map_err(|_| Unfit::Unreadable)?;
        if !rest.is_empty() {
            return Err(Unfit::Unreadable);
        }
        let key = &request.certification_request_info.subject_pki;
        let long_enough = match key.parsed().map_err(|_| Unfit::Unreadable)? {
            PublicKey::RSA(key) => key.key_size() >= SHORTEST_RSA,
            PublicKey::EC(point) => point.key_size() >= SHORTEST_ECC,
            _ => true,
        };
        if !long_enough {
            return Err(Unfit::WeakKey);
        }
        let supported = SubjectPublicKeyInfo::from_der(key.raw).map_err(|_| Unfit::UnknownKey)?;
        request.verify_signature().map_err(|_| Unfit::NotSigned)?;
        let subject = &request.certification_request_info.subject;
        // One that is no text counts as a name that nobody has.
        let text = |part: &AttributeTypeAndValue<'_>| part.as_str().unwrap_or_default().to_owned();
        Ok(Self {
            common_names: subject.iter_common_name().map(text).collect(),
            organizations: subject.iter_organization().map(text).collect(),
            key: supported,
        })
    }

    /// The common name that it asks for, where it asks for one.
    pub fn common_name(&self) -> Result<Option<&str>, Unfit> {
        match self.common_names.as_slice() {
            [] => Ok(None),
            [name] => Ok(Some(name)),
            _ => Err(Unfit::CommonName),
        }
    }

    /// The subject of the certificate. Its common name is ours to set, whatever the request says; of an organization only what
    /// the request leaves out is filled in.
    pub fn subject(&self, common_name: &str, organization: Option<&str>) -> Result<Subject, Unfit> {
        let organization = match (self.organizations.as_slice(), organization) {
            ([], expected) => expected.unwrap_or(ORGANIZATION),
            ([own], None) => own,
            ([own], Some(expected)) if own == expected => expected,
            _ => return Err(Unfit::Organization),
        };
        Ok(Subject {
            common_name: common_name.to_owned(),
            organization: organization.to_owned(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use proptest::prelude::*;
    use rcgen::PublicKeyData as _;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn request(names: &[(DnType, &str)]) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        let key = KeyPair::generate().unwrap();
        params.serialize_request(&key).unwrap().pem().unwrap()
    }

    #[test]
    fn the_common_name_is_ours_to_set_and_an_organization_is_filled_in_where_there_is_none() {
        let of = |names: &[(DnType, &str)], organization| {
            let request = SigningRequest::parse(&request(names)).unwrap();
            let subject = request.subject("CP1", organization)?;
            Ok((subject.common_name, subject.organization))
        };
        let made = |name: &str, organization: &str| Ok((name.to_owned(), organization.to_owned()));
        let (name, company) = (DnType::CommonName, DnType::OrganizationName);
        assert_eq!(of(&[], None), made("CP1", "Voltgate"));
        assert_eq!(of(&[], Some("Volt AG")), made("CP1", "Volt AG"));
        assert_eq!(of(&[(name.clone(), "SN-1")], None), made("CP1", "Voltgate"));
        assert_eq!(
            of(&[(name, "SN-1"), (company.clone(), "Volt AG")], None),
            made("CP1", "Volt AG")
        );
        assert_eq!(of(&[(company, "Somebody")], Some("Volt AG")), Err(Unfit::Organization));
    }

    #[test]
    fn a_request_asks_for_one_common_name_at_most() {
        let of = |names: &[(DnType, &str)]| {
            let request = SigningRequest::parse(&request(names)).unwrap();
            request.common_name().map(|name| name.map(str::to_owned))
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[(DnType::CommonName, "SN-1")]), Ok(Some("SN-1".to_owned())));
    }

    #[test]
    fn what_is_no_request_or_was_changed_is_refused() {
        let good = request(&[(DnType::CommonName, "CP1")]);
        assert!(SigningRequest::parse(&good).is_ok());
        for text in [
            "",
            "a request, please",
            &good.replace("REQUEST", "CERTIFICATE"),
            &good[..good.len() / 2],
        ] {
            assert_eq!(SigningRequest::parse(text).unwrap_err(), Unfit::Unreadable, "{text}");
        }
        let pem = Pem::iter_from_buffer(good.as_bytes()).next().unwrap().unwrap();
        let mut changed = pem.contents;
        // A letter of the common name.
        let at = changed.windows(3).position(|bytes| bytes == b"CP1").unwrap() + 2;
        changed[at] = b'2';
        assert_eq!(SigningRequest::parse(&pem_of(&changed)).unwrap_err(), Unfit::NotSigned);
    }

    fn pem_of(der: &[u8]) -> String {
        let text = BASE64.encode(der);
        format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n")
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_request_that_was_changed_on_its_way_is_none_or_says_what_was_signed(at in any::<prop::sample::Index>(), taken in 0..6_usize, put in prop::collection::vec(any::<u8>(), 0..6)) {
            static GOOD: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
                let good = request(&[(DnType::CommonName, "CP1")]);
                Pem::iter_from_buffer(good.as_bytes()).next().unwrap().unwrap().contents
            });
            let mut changed = GOOD.clone();
            let at = at.index(changed.len());
            let end = (at + taken).min(changed.len());
            changed.splice(at..end, put);
            // Around what is signed there is some room to write the same otherwise.
            if let Ok(parsed) = SigningRequest::parse(&pem_of(&changed)) {
                let signed = SigningRequest::parse(&pem_of(&GOOD)).unwrap();
                prop_assert_eq!(parsed.common_names, signed.common_names);
                prop_assert_eq!(parsed.organizations, signed.organizations);
                prop_assert_eq!(parsed.key.der_bytes(), signed.key.der_bytes());
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,80}", der in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(SigningRequest::parse(&text).is_err());
            prop_assert!(SigningRequest::parse(&pem_of(&der)).is_err());
        }
    }
}
