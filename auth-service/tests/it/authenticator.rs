//! A device with one passkey, together with the browser before it, as WebAuthn (level 3) describes them: a real key of
//! P-256, real CBOR, real signatures. Each of its parts can be told to misbehave.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Of authenticator data (section 6.1): somebody touched the device; the device made sure of who; a new key follows.
const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const NEW_KEY: u8 = 0x40;

pub const ORIGIN: &str = "http://localhost:8080";
pub const RP_ID: &str = "localhost";

/// See the [module](self).
#[derive(Clone)]
pub struct Authenticator {
    key: SigningKey,
    pub credential_id: Vec<u8>,
    /// Whose passkey it is, as the site said at its registration.
    pub user_handle: Vec<u8>,
    /// Where the page is that asks.
    pub origin: String,
    /// The domain that the device signs for.
    pub rp_id: String,
    /// How often it has signed. It counts up by itself; a device that does not count stays at 0.
    pub counter: Option<u32>,
    pub verifies_the_user: bool,
    pub cross_origin: bool,
}

impl Authenticator {
    pub fn new() -> Self {
        Self {
            key: SigningKey::from_slice(&rand::random::<[u8; 32]>()).expect("nearly every number is a key"),
            credential_id: rand::random::<[u8; 32]>().to_vec(),
            user_handle: Vec::new(),
            origin: ORIGIN.to_owned(),
            rp_id: RP_ID.to_owned(),
            counter: Some(0),
            verifies_the_user: true,
            cross_origin: false,
        }
    }

    /// What `navigator.credentials.create()` answers to these options, as JSON.
    pub fn create(&mut self, options: &str) -> String {
        let options: Value = serde_json::from_str(options).unwrap();
        self.user_handle = decode(&options["user"]["id"]);
        let client_data = self.client_data("webauthn.create", &options);
        let authenticator_data = [self.authenticator_data(NEW_KEY), self.new_key()].concat();
        let attestation = map(&[
            (text("fmt"), text("none")),
            (text("attStmt"), map(&[])),
            (text("authData"), bytes(&authenticator_data)),
        ]);
        let id = encode(&self.credential_id);
        json!({
            "id": id, "rawId": id, "type": "public-key", "authenticatorAttachment": "platform",
            "clientExtensionResults": {"credProps": {"rk": true}},
            "response": {
                "clientDataJSON": encode(client_data.as_bytes()),
                "attestationObject": encode(&attestation),
                "transports": ["internal"],
            },
        })
        .to_string()
    }

    /// What `navigator.credentials.get()` answers to these options, as JSON.
    pub fn get(&mut self, options: &str) -> String {
        let options: Value = serde_json::from_str(options).unwrap();
        let client_data = self.client_data("webauthn.get", &options);
        let authenticator_data = self.authenticator_data(0);
        let signed = [authenticator_data.as_slice(), &Sha256::digest(&client_data)].concat();
        let signature: DerSignature = self.key.sign(&signed);
        let id = encode(&self.credential_id);
        json!({
            "id": id, "rawId": id, "type": "public-key", "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": {
                "clientDataJSON": encode(client_data.as_bytes()),
                "authenticatorData": encode(&authenticator_data),
                "signature": encode(signature.as_bytes()),
                "userHandle": encode(&self.user_handle),
            },
        })
        .to_string()
    }

    /// What the browser says (section 5.8.1).
    fn client_data(&self, kind: &str, options: &Value) -> String {
        json!({
            "type": kind,
            "challenge": options["challenge"],
            "origin": self.origin,
            "crossOrigin": self.cross_origin,
        })
        .to_string()
    }

    /// What the device says, up to where a new key would follow.
    fn authenticator_data(&mut self, further: u8) -> Vec<u8> {
        let verified = if self.verifies_the_user { USER_VERIFIED } else { 0 };
        self.counter = self.counter.map(|counter| counter + 1);
        let mut data = Sha256::digest(&self.rp_id).to_vec();
        data.push(USER_PRESENT | verified | further);
        data.extend(self.counter.unwrap_or_default().to_be_bytes());
        data
    }

    /// Model, id and public key of the passkey (section 6.5.1), the last as a COSE key (RFC 9053, section 7.1).
    fn new_key(&self) -> Vec<u8> {
        let point = self.key.verifying_key().to_sec1_point(false);
        let (x, y) = (point.x().unwrap(), point.y().unwrap());
        let public_key = map(&[
            (number(1), number(2)),
            (number(3), number(-7)),
            (number(-1), number(1)),
            (number(-2), bytes(x)),
            (number(-3), bytes(y)),
        ]);
        let length = u16::try_from(self.credential_id.len()).unwrap().to_be_bytes();
        [[0; 16].as_slice(), &length, &self.credential_id, &public_key].concat()
    }
}

pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn decode(value: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(value.as_str().unwrap()).unwrap()
}

/// A major type of CBOR (RFC 8949, section 3) and its length or value.
fn head(major: u8, value: usize) -> Vec<u8> {
    match value {
        0..24 => vec![major << 5 | u8::try_from(value).unwrap()],
        24..256 => vec![major << 5 | 24, u8::try_from(value).unwrap()],
        _ => [
            vec![major << 5 | 25],
            u16::try_from(value).unwrap().to_be_bytes().to_vec(),
        ]
        .concat(),
    }
}

fn number(value: i8) -> Vec<u8> {
    match usize::try_from(value) {
        Ok(value) => head(0, value),
        Err(_) => head(1, usize::try_from(-1 - value).unwrap()),
    }
}

fn bytes(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len()), bytes.to_vec()].concat()
}

fn text(text: &str) -> Vec<u8> {
    [head(3, text.len()), text.as_bytes().to_vec()].concat()
}

fn map(members: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let content = members.iter().flat_map(|(key, value)| [key.as_slice(), value].concat());
    [head(5, members.len()), content.collect()].concat()
}
