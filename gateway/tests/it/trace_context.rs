//! A request's place in its trace goes on to the services, whoever names it and whether anybody records it.

use serde_json::json;

use crate::system::System;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// `traceparent` and `tracestate` as the service got them.
async fn passed_on(system: &mut System, headers: &[(&str, &str)]) -> (String, Option<String>) {
    let mut request = system.post("/auth/signup").json(&json!({"username": "ada"}));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap();
    let metadata = system.peers.metadata().await;
    let value = |name: &str| metadata.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(metadata.get_all("traceparent").iter().count(), 1);
    (value("traceparent").unwrap(), value("tracestate"))
}

#[tokio::test]
async fn a_trace_that_a_client_names_goes_on_and_its_word_to_record_it_does_not() {
    let mut system = System::start().await;
    let headers = [("traceparent", PARENT), ("tracestate", "a=1,b=2")];
    let (parent, state) = passed_on(&mut system, &headers).await;
    assert_eq!(parent, format!("{}00", PARENT.strip_suffix("01").unwrap()));
    assert_eq!(state.as_deref(), Some("a=1,b=2"));
}

#[tokio::test]
async fn what_is_malformed_begins_a_trace() {
    let mut system = System::start().await;
    for malformed in [
        "",
        "00-0-0-00",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        let headers = [("traceparent", malformed), ("tracestate", "a=1")];
        let (parent, state) = passed_on(&mut system, &headers).await;
        assert_eq!((parent.len(), state), (55, None), "{malformed}");
        assert!(!parent.contains(TRACE) && parent.ends_with("-00"), "{parent}");
    }
    let (one, _) = passed_on(&mut system, &[]).await;
    let (other, _) = passed_on(&mut system, &[]).await;
    assert_ne!(one, other);
}

#[tokio::test]
async fn a_proxy_that_is_trusted_says_whether_to_record() {
    let flags = ["--gateway-trusted-proxies=127.0.0.1", "--gateway-trace-parents=proxies"];
    let mut system = System::start_with(&flags).await;
    let (parent, _) = passed_on(&mut system, &[("traceparent", PARENT)]).await;
    assert_eq!(parent, PARENT);
}

#[tokio::test]
async fn whose_traces_go_on_is_a_setting() {
    for flags in [
        &["--gateway-trace-parents=proxies"][..],
        &["--gateway-trace-parents=nobody", "--gateway-trusted-proxies=127.0.0.1"],
    ] {
        let mut system = System::start_with(flags).await;
        let headers = [("traceparent", PARENT), ("tracestate", "a=1")];
        let (parent, state) = passed_on(&mut system, &headers).await;
        assert!(!parent.contains(TRACE), "{parent}");
        assert_eq!(state, None);
    }
}
