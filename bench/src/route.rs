//! What is asked for: the same over HTTP and over gRPC.

use anyhow::{Context as _, Result, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{Method, Uri};
use prost::Message;
use prost_types::Timestamp;
use serde_json::Value;
use voltgate_proto::ocpp::v1::{CreateIdTokenRequest, GetTransactionRequest, ListTransactionsRequest};

/// A request that is made over and over.
#[derive(Debug)]
pub struct Route {
    /// As tables show it.
    pub name: &'static str,
    pub method: Method,
    /// Path and query.
    pub path: &'static str,
    /// JSON, where there is any.
    pub body: Option<&'static str>,
    /// `/package.Service/Method`
    pub grpc_path: &'static str,
    /// The gRPC message that the request means, framed.
    pub frame: Bytes,
    /// What the answer says in some places, by their JSON pointers, as JSON.
    pub expected: &'static [(&'static str, &'static str)],
}

/// The services with these routes, which Envoy is told.
pub const SERVICES: [&str; 2] = ["voltgate.ocpp.v1.TransactionService", "voltgate.ocpp.v1.IdTokenService"];

/// Rows of the list.
pub const ROWS: i32 = 20;

/// 2031-12-31T23:59:59Z
const EXPIRES_AT: i64 = 1_956_527_999;

impl Route {
    /// One row, a list, and something that is made.
    ///
    /// # Errors
    /// A path is none.
    pub fn all() -> Result<Vec<Self>> {
        let routes = vec![
            Self {
                name: "GET a transaction",
                method: Method::GET,
                path: "/ocpp/transactions/42",
                body: None,
                grpc_path: "/voltgate.ocpp.v1.TransactionService/GetTransaction",
                frame: frame(&GetTransactionRequest { id: 42 }),
                expected: &[("/id", "42"), ("/identity", r#""CP-1""#), ("/energyWh", "8000")],
            },
            Self {
                name: "GET a list of 20 transactions",
                method: Method::GET,
                path: "/ocpp/transactions?identity=CP-1&pageSize=20",
                body: None,
                grpc_path: "/voltgate.ocpp.v1.TransactionService/ListTransactions",
                frame: frame(&ListTransactionsRequest {
                    identity: Some("CP-1".into()),
                    page_size: ROWS,
                    ..ListTransactionsRequest::default()
                }),
                expected: &[
                    ("/transactions/0/id", "1"),
                    ("/transactions/19/id", "20"),
                    ("/transactions/19/identity", r#""CP-1""#),
                    ("/nextPageToken", r#""bm90aGluZyB0byBzZWUgaGVyZQ""#),
                ],
            },
            Self {
                name: "POST an id token",
                method: Method::POST,
                path: "/ocpp/id-tokens",
                body: Some(
                    r#"{"idToken":"04A1B2C3","type":"ISO14443","groupId":"FLEET-7","expiresAt":"2031-12-31T23:59:59Z","blocked":false,"maxConcurrentTransactions":2}"#,
                ),
                grpc_path: "/voltgate.ocpp.v1.IdTokenService/CreateIdToken",
                frame: frame(&CreateIdTokenRequest {
                    id_token: "04A1B2C3".into(),
                    r#type: Some("ISO14443".into()),
                    group_id: Some("FLEET-7".into()),
                    expires_at: Some(Timestamp {
                        seconds: EXPIRES_AT,
                        nanos: 0,
                    }),
                    blocked: false,
                    max_concurrent_transactions: Some(2),
                    ..CreateIdTokenRequest::default()
                }),
                expected: &[
                    ("/idToken", r#""04A1B2C3""#),
                    ("/groupId", r#""FLEET-7""#),
                    ("/expiresAt", r#""2031-12-31T23:59:59Z""#),
                    ("/maxConcurrentTransactions", "2"),
                ],
            },
        ];
        for route in &routes {
            route.path.parse::<Uri>()?;
        }
        Ok(routes)
    }

    /// Holds an answer against what was asked. Two that are wrong in the same way would agree with each other.
    ///
    /// # Errors
    /// It is another answer.
    pub fn check(&self, answer: &Value) -> Result<()> {
        for (pointer, expected) in self.expected {
            let expected: Value = serde_json::from_str(expected)?;
            let said = answer
                .pointer(pointer)
                .with_context(|| format!("has nothing at {pointer}"))?;
            ensure!(*said == expected, "has {said} at {pointer}, and not {expected}");
        }
        Ok(())
    }
}

/// A message as gRPC carries it: a flag, its length, and it.
fn frame(message: &impl Message) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
    framed.extend_from_slice(&message.encode_to_vec());
    framed.freeze()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use voltgate_proto::pool;

    use super::*;

    #[test]
    fn every_route_is_an_rpc_of_the_services_that_envoy_is_told() {
        for route in Route::all().unwrap() {
            let (service, rpc) = route.grpc_path.trim_start_matches('/').split_once('/').unwrap();
            assert!(SERVICES.contains(&service), "{service}");
            let service = pool().get_service_by_name(service).unwrap();
            assert!(service.methods().any(|method| method.name() == rpc), "{rpc}");
        }
    }

    #[test]
    fn an_answer_that_says_nothing_is_none() {
        for route in Route::all().unwrap() {
            assert!(!route.expected.is_empty(), "{}", route.name);
            for empty in ["null", "{}", r#"{"id":43,"transactions":[],"idToken":""}"#] {
                let refused = route.check(&serde_json::from_str(empty).unwrap());
                assert!(refused.is_err(), "{}: {empty}", route.name);
            }
        }
    }

    #[test]
    fn a_frame_says_how_long_its_message_is() {
        assert_eq!(&frame(&GetTransactionRequest { id: 42 })[..], [0, 0, 0, 0, 2, 8, 42]);
    }
}
