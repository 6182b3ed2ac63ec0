//! The service behind both: it tells the test what reached it, and answers with it.

use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// A call's messages have a byte for compression and four for the length before them.
const PREFIX: usize = 5;

#[derive(Clone)]
struct Echo {
    pool: DescriptorPool,
    seen: mpsc::UnboundedSender<DynamicMessage>,
}

/// Starts the service. It runs as long as the test does.
pub async fn start(pool: DescriptorPool) -> (SocketAddr, mpsc::UnboundedReceiver<DynamicMessage>) {
    let (report, seen) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(call).with_state(Echo { pool, seen: report });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, seen)
}

async fn call(State(echo): State<Echo>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let (service, method) = path[1..].split_once('/').expect("a gRPC path");
    let Some(service) = echo.pool.get_service_by_name(service) else {
        return answer(Bytes::new(), 12);
    };
    let method = service.methods().find(|known| known.name() == method).expect(&path);
    // Envoy opens the call before it knows whether the request can be read, and breaks it off where it cannot.
    let Ok(body) = to_bytes(request.into_body(), usize::MAX).await else {
        return answer(Bytes::new(), 1);
    };
    let encoded = body.slice(PREFIX..);
    let Ok(message) = DynamicMessage::decode(method.input(), encoded.clone()) else {
        return answer(Bytes::new(), 3);
    };
    let (encoded, code) = match method.name() {
        "Fail" => (Bytes::new(), code_of(&message)),
        _ if method.input() == method.output() => (encoded, 0),
        _ => (reply(&message, &method.output()), 0),
    };
    echo.seen.send(message).unwrap();
    answer(encoded, code)
}

fn code_of(failure: &DynamicMessage) -> i32 {
    failure
        .get_field_by_name("code")
        .and_then(|code| code.as_i32())
        .unwrap()
}

/// The field of the message that has the type of the answer, or that holds the answer in its encoded form.
fn reply(message: &DynamicMessage, output: &MessageDescriptor) -> Bytes {
    message
        .fields()
        .find_map(|(_, value)| match value {
            Value::Bytes(encoded) => Some(encoded.clone()),
            Value::Message(inner) if inner.descriptor() == *output => Some(inner.encode_to_vec().into()),
            _ => None,
        })
        .unwrap_or_default()
}

fn answer(message: Bytes, code: i32) -> Response {
    let mut framed = BytesMut::new();
    if code == 0 {
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).unwrap());
        framed.put(message);
    }
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from(code))]);
    let body = Full::new(framed.freeze()).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    response
}
