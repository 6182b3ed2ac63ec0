//! gRPC through the public port, as if there were no gateway between.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use service_kit::access::{ServiceSecret, ServiceTokens};
use service_kit::clock::SystemClock;
use service_kit::reason::Reason;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::echo::{Echo, SERVICE, WEIGHT};
use crate::system::{PATIENCE, System, token};

fn texts<const N: usize>(texts: [&'static str; N]) -> impl futures_util::Stream<Item = String> + Send + 'static {
    stream::iter(texts.map(str::to_owned))
}

#[tokio::test]
async fn a_call_goes_to_the_service_and_its_answer_comes_back() {
    let mut echo = Echo::start().await;
    let mut request = Request::new("hello".to_owned());
    let metadata = request.metadata_mut();
    metadata.insert("x-asked", MetadataValue::from_static("kept"));
    metadata.insert_bin("asked-bin", MetadataValue::from_bytes(&[0, 255]));
    metadata.insert("x-request-id", MetadataValue::from_static("the-test"));
    metadata.insert("x-forwarded-for", MetadataValue::from_static("1.2.3.4"));
    metadata.insert("voltgate-peer", MetadataValue::from_static("1.2.3.4"));
    let response = echo.unary("Say", request).await.unwrap();
    assert_eq!(response.get_ref(), "hello");
    assert_eq!(response.metadata().get("x-told").unwrap(), "header");
    assert_eq!(response.metadata().get("x-request-id").unwrap(), "the-test");
    assert_eq!(
        response
            .metadata()
            .get_bin("told-bin")
            .unwrap()
            .to_bytes()
            .unwrap()
            .as_ref(),
        &[0, 255]
    );
    assert!(response.metadata().get("voltgate-peer").is_none());

    let seen = echo.seen().await;
    assert_eq!(seen.get("x-asked").unwrap(), "kept");
    assert_eq!(
        seen.get_bin("asked-bin").unwrap().to_bytes().unwrap().as_ref(),
        &[0, 255]
    );
    assert_eq!(seen.get("x-request-id").unwrap(), "the-test");
    assert_eq!(seen.get("te").unwrap(), "trailers");
    assert!(seen.get("x-forwarded-for").is_none() && seen.get("voltgate-peer").is_none());
}

#[tokio::test]
async fn many_messages_become_one_answer_and_one_becomes_many() {
    let echo = Echo::start().await;
    let mut gathered = echo.stream("Gather", texts(["a", "b"])).await.unwrap().into_inner();
    assert_eq!(gathered.message().await.unwrap().as_deref(), Some("a"));
    let counted = echo.stream("Count", texts(["one"])).await.unwrap().into_inner();
    let counted: Vec<_> = counted.map(Result::unwrap).collect().await;
    assert_eq!(counted, ["one"]);
}

#[tokio::test]
async fn both_sides_of_a_conversation_take_turns() {
    let echo = Echo::start().await;
    let (say, said) = mpsc::channel(1);
    say.send("0".to_owned()).await.unwrap();
    let mut heard = echo
        .stream("Chat", ReceiverStream::new(said))
        .await
        .unwrap()
        .into_inner();
    for turn in 1..20 {
        assert_eq!(heard.message().await.unwrap(), Some((turn - 1).to_string()));
        say.send(turn.to_string()).await.unwrap();
    }
    drop(say);
    assert_eq!(heard.message().await.unwrap().as_deref(), Some("19"));
    assert_eq!(heard.message().await.unwrap(), None);
    assert!(heard.trailers().await.unwrap().is_some());
}

#[tokio::test]
async fn a_failure_in_the_middle_keeps_its_details_and_its_trailers() {
    let echo = Echo::start().await;
    let mut heard = echo.stream("Chat", texts(["a", "fail"])).await.unwrap().into_inner();
    assert_eq!(heard.message().await.unwrap().as_deref(), Some("a"));
    let status = heard.message().await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::DataLoss, "half of it is gone")
    );
    assert_eq!(status.details(), [1, 2, 3]);
    assert_eq!(status.metadata().get("x-trailer").unwrap(), "kept");

    let refused = echo.say("Say", "taken").await.unwrap_err();
    assert_eq!(Reason::of(&refused), Reason::UsernameTaken);
    assert_eq!(refused.message(), "The username is taken — sorry");
}

#[tokio::test]
async fn a_caller_that_does_not_read_makes_the_service_wait() {
    let echo = Echo::start().await;
    let mut endless = echo.stream("Count", texts(["for ever"])).await.unwrap().into_inner();
    endless.message().await.unwrap();
    // Until the windows on the way are full.
    let mut before = 0;
    while echo.counted() > before {
        before = echo.counted();
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(before * WEIGHT < 16 * 1024 * 1024, "{before} messages are under way");
    // Others are served meanwhile, and so is this one when it reads on.
    assert_eq!(echo.say("Say", "hello").await.unwrap().get_ref(), "hello");
    for _ in 0..before * 2 {
        endless.message().await.unwrap();
    }
    assert!(echo.counted() > before);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_the_call_with_it() {
    let echo = Echo::start().await;
    let mut endless = echo.stream("Count", texts(["for ever"])).await.unwrap().into_inner();
    endless.message().await.unwrap();
    drop(endless);
    timeout(PATIENCE, echo.ended.cancelled())
        .await
        .expect("the stream to end");

    let mut echo = Echo::start().await;
    let waiting = async { echo.say("Say", "wait").await };
    tokio::select! {
        _ = waiting => panic!("it was answered"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    echo.seen().await;
    timeout(PATIENCE, echo.ended.cancelled())
        .await
        .expect("the call to end");
}

#[tokio::test]
async fn the_callers_time_is_kept_and_capped() {
    let mut echo = Echo::start_with(&["--gateway-request-timeout=7"]).await;
    let timed = |seconds| {
        let mut request = Request::new("hello".to_owned());
        request.set_timeout(Duration::from_secs(seconds));
        request
    };
    for (request, seen) in [
        (timed(5), "5000000u"),
        (timed(8), "7000m"),
        (Request::new("hello".to_owned()), "7000m"),
    ] {
        echo.unary("Say", request).await.unwrap();
        assert_eq!(echo.seen().await.get("grpc-timeout").unwrap(), seen);
    }

    let mut stream = Request::new(texts(["be silent"]));
    stream
        .metadata_mut()
        .insert("grpc-timeout", MetadataValue::from_static("200m"));
    let answer = echo.call(&format!("{SERVICE}/Chat"), stream).await;
    let status = match answer {
        Ok(answer) => answer.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    };
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_service_that_takes_too_long_is_given_up() {
    let echo = Echo::start_with(&["--gateway-request-timeout=1"]).await;
    let status = echo.say("Say", "wait").await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn access_is_checked_before_the_service_is_asked() {
    let mut echo = Echo::start().await;
    let with = |token: &str| {
        let mut request = Request::new("hello".to_owned());
        let bearer = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", bearer);
        request
    };
    let refused = echo.say("Operate", "hello").await.unwrap_err();
    assert_eq!(
        (refused.code(), Reason::of(&refused)),
        (Code::Unauthenticated, Reason::MissingCredentials)
    );
    let refused = echo.unary("Operate", with(&token(&["driver"]))).await.unwrap_err();
    assert_eq!(Reason::of(&refused), Reason::PermissionDenied);
    assert!(echo.calls.try_recv().is_err(), "the service was asked");
    assert!(echo.unary("Operate", with(&token(&["operator"]))).await.is_ok());
}

#[tokio::test]
async fn what_is_internal_is_refused_from_outside_whoever_asks() {
    let mut echo = Echo::start().await;
    let secret = ServiceSecret::new(b"a secret that exists for these tests only");
    let tokens = ServiceTokens::new("gateway", secret, std::sync::Arc::new(SystemClock));
    let mut with_service_token = Request::new("hello".to_owned());
    let bearer = tokens.bearer().unwrap().parse().unwrap();
    with_service_token.metadata_mut().insert("authorization", bearer);
    for request in [Request::new("hello".to_owned()), with_service_token] {
        let refused = echo.unary("Inside", request).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
    assert!(echo.calls.try_recv().is_err(), "the service was asked");
}

#[tokio::test]
async fn what_nobody_knows_is_unimplemented() {
    let echo = Echo::start().await;
    for rpc in [
        "voltgate.test.v1.Nobody/Say",
        "voltgate.test.v1.Echo/Nothing",
        "health",
        "a/b/c",
    ] {
        let refused = echo.call(rpc, Request::new(texts(["hello"]))).await.unwrap_err();
        assert_eq!(
            (refused.code(), Reason::of(&refused)),
            (Code::Unimplemented, Reason::UnknownRpc),
            "{rpc}"
        );
    }
}

#[tokio::test]
async fn a_refusal_is_a_status_in_the_headers_of_a_200() {
    let echo = Echo::start().await;
    let url = format!("http://{}/{SERVICE}/Nothing", echo.gateway);
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let call = client
        .post(&url)
        .header("content-type", "application/grpc+proto")
        .body("");
    let answer = call.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/grpc");
    assert_eq!(answer.headers()["grpc-status"], "12");
    assert!(answer.bytes().await.unwrap().is_empty());
    for (request, status) in [
        (client.get(&url).header("content-type", "application/grpc"), "12"),
        (client.post(&url).header("content-type", "application/grpc+json"), "3"),
    ] {
        assert_eq!(request.send().await.unwrap().headers()["grpc-status"], status);
    }
    let old = reqwest::Client::builder().no_proxy().http1_only().build().unwrap();
    let answer = old
        .post(&url)
        .header("content-type", "application/grpc")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["grpc-status"], "12");
}

#[tokio::test]
async fn a_service_that_dies_is_unavailable_in_the_middle_of_a_stream_and_after() {
    let mut echo = Echo::start().await;
    let mut silent = echo
        .stream("Chat", texts(["hello", "be silent"]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(silent.message().await.unwrap().as_deref(), Some("hello"));
    echo.crash();
    let status = timeout(PATIENCE, silent.message()).await.unwrap().unwrap_err();
    assert_eq!(Reason::of(&status), Reason::Unavailable);
    let status = echo.say("Say", "hello").await.unwrap_err();
    assert_eq!(
        (status.code(), Reason::of(&status)),
        (Code::Unavailable, Reason::Unavailable)
    );
}

async fn reflect(
    channel: tonic::transport::Channel,
    question: MessageRequest,
) -> Result<MessageResponse, tonic::Status> {
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let mut client = ServerReflectionClient::new(channel);
    let mut answers = client
        .server_reflection_info(stream::iter([request]))
        .await?
        .into_inner();
    let ServerReflectionResponse { message_response, .. } = answers.message().await?.expect("an answer");
    Ok(message_response.expect("it says something"))
}

#[tokio::test]
async fn reflection_tells_of_everything_but_what_is_internal() {
    let system = System::start().await;
    let channel = tonic::transport::Channel::from_shared(system.url(""))
        .unwrap()
        .connect_lazy();
    let answer = reflect(channel.clone(), MessageRequest::ListServices(String::new()))
        .await
        .unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    for name in [
        "voltgate.auth.v1.AuthService",
        "voltgate.ocpp.v1.CommandService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.iter().any(|listed| listed == name), "{name} is not in {names:?}");
    }
    let internal = "voltgate.ocpp.v1.SessionService";
    assert!(!names.iter().any(|listed| listed == internal));
    let answer = reflect(channel, MessageRequest::FileContainingSymbol(internal.into())).await;
    assert!(
        !matches!(answer, Ok(MessageResponse::FileDescriptorResponse(_))),
        "{answer:?}"
    );
}

/// It is counted once, so it must come to an end.
#[tokio::test]
async fn one_conversation_of_reflection_has_some_hundreds_of_questions_at_most() {
    let system = System::start().await;
    let channel = tonic::transport::Channel::from_shared(system.url(""))
        .unwrap()
        .connect_lazy();
    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(
            "voltgate.auth.v1.AuthService".into(),
        )),
    };
    let conversation = async {
        let mut client = ServerReflectionClient::new(channel);
        let asked = client.server_reflection_info(stream::repeat(question)).await?;
        let (mut answers, mut count) = (asked.into_inner(), 0);
        while let Some(_answer) = answers.message().await? {
            count += 1;
            assert!(count < 1000, "it goes on and on");
        }
        Ok::<_, tonic::Status>(count)
    };
    let answered = timeout(PATIENCE, conversation).await.expect("an end").unwrap();
    assert!(answered > 100, "{answered}");
}

#[tokio::test]
async fn reflection_can_be_switched_off() {
    let system = System::start_with(&["--gateway-reflection=false"]).await;
    let channel = tonic::transport::Channel::from_shared(system.url(""))
        .unwrap()
        .connect_lazy();
    let refused = reflect(channel, MessageRequest::ListServices(String::new()))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn health_is_that_of_the_gateway_or_of_the_service_named() {
    let mut system = System::start_with(&["--gateway-shutdown-pause=2"]).await;
    let channel = tonic::transport::Channel::from_shared(system.url(""))
        .unwrap()
        .connect_lazy();
    let mut client = HealthClient::new(channel);
    let mut check = async |service: &str| {
        let request = HealthCheckRequest {
            service: service.into(),
        };
        client.check(request).await.map(|answer| answer.get_ref().status())
    };
    let auth = "voltgate.auth.v1.AuthService";
    assert_eq!(check("").await.unwrap(), ServingStatus::Serving);
    assert_eq!(check(auth).await.unwrap(), ServingStatus::Serving);
    assert_eq!(
        check("voltgate.email.v1.EmailService").await.unwrap(),
        ServingStatus::NotServing
    );
    for unknown in ["voltgate.nothing.v1.Nothing", "voltgate.ocpp.v1.SessionService"] {
        assert_eq!(check(unknown).await.unwrap_err().code(), Code::NotFound, "{unknown}");
    }
    system.peers.crash();
    // What a service said is good for a second, whoever asks.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(check(auth).await.unwrap(), ServingStatus::NotServing);
    assert_eq!(check("").await.unwrap(), ServingStatus::Serving);

    let watch = HealthCheckRequest::default();
    let mut watched = client.watch(watch).await.unwrap().into_inner();
    assert_eq!(
        watched.message().await.unwrap().unwrap().status(),
        ServingStatus::Serving
    );
    system.stop.cancel();
    let last = timeout(PATIENCE, watched.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);
    assert_eq!(timeout(PATIENCE, watched.message()).await.unwrap().unwrap(), None);
}
