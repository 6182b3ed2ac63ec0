//! Answers that come one after the other, as their clients see them.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::http2::Http2;
use crate::system::{PATIENCE, read};
use crate::watched::{WEIGHT, Watched};

const EVENTS: &str = "text/event-stream";
const LINES: &str = "application/x-ndjson";

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn requests_whose_bodies_never_come_take_no_places_from_streams() {
    let watched = Watched::start(&[]).await;
    let (mut clients, mut unfinished) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let client = Http2::connect(watched.address()).await;
        for _ in 0..200 {
            unfinished.push(client.get_with_body("/watch/three").await);
        }
        clients.push(client);
    }
    // As many as there are places. By now the gateway has seen them.
    sleep(Duration::from_secs(1)).await;
    assert_eq!(watched.get("/watch/three", LINES).await.status(), 200);
}

#[tokio::test]
async fn messages_come_as_lines_of_json() {
    let watched = Watched::start(&[]).await;
    for accept in ["*/*", LINES, "text/event-stream;q=0.5, application/*"] {
        let answer = watched.get("/watch/three", accept).await;
        assert_eq!(answer.status(), 200);
        let headers = answer.headers().clone();
        assert_eq!(headers["content-type"], LINES);
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-accel-buffering"], "no");
        let told = lines(&answer.text().await.unwrap());
        let event = |id: &str| json!({"id": id, "text": "three", "document": {"a": 1.0}});
        assert_eq!(told, [event("1"), event("2"), event("3")]);
    }
}

#[tokio::test]
async fn messages_come_as_events_with_their_ids_and_types() {
    let watched = Watched::start(&[]).await;
    let answer = watched.get("/watch/three", EVENTS).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &EVENTS.parse().unwrap())
    );
    let event = |id: u8| {
        format!(
            "id: {id}\nevent: three\ndata: {{\"id\":\"{id}\",\"text\":\"three\",\"document\":{{  \"a\": 1.0}}}}\n\n"
        )
    };
    assert_eq!(answer.text().await.unwrap(), event(1) + &event(2) + &event(3));
}

#[tokio::test]
async fn a_stream_without_messages_is_an_empty_success() {
    let watched = Watched::start(&[]).await;
    for accept in [EVENTS, LINES] {
        let answer = watched.get("/watch/none", accept).await;
        assert_eq!(
            (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
            (200, "")
        );
    }
}

#[tokio::test]
async fn a_client_that_takes_neither_form_is_told_which_there_are() {
    let watched = Watched::start(&[]).await;
    let told = read(watched.get("/watch/three", "application/json").await).await;
    assert_eq!(
        (&told["status"], &told["body"]["reason"]),
        (&json!(406), &json!("NOT_ACCEPTABLE"))
    );
    assert_eq!(
        told["body"]["detail"],
        "The answer would be application/x-ndjson or text/event-stream"
    );
}

#[tokio::test]
async fn a_failure_before_the_first_message_is_a_problem_like_any_other() {
    let watched = Watched::start(&[]).await;
    for accept in [EVENTS, LINES] {
        for (topic, status) in [("refused", 404), ("fail-first", 503)] {
            let told = read(watched.get(&format!("/watch/{topic}"), accept).await).await;
            assert_eq!(told["status"], status, "{topic}");
            assert_eq!(told["content-type"], "application/problem+json", "{topic}");
        }
        let told = read(watched.get("/watch/three?nope=1", accept).await).await;
        assert_eq!(told["body"]["errors"][0]["field"], "nope");
    }
}

#[tokio::test]
async fn a_failure_after_the_first_message_is_the_last_word() {
    let watched = Watched::start(&[]).await;
    let told = watched.get("/watch/fail-later", LINES).await.text().await.unwrap();
    let told = lines(&told);
    assert_eq!((told.len(), &told[0]["id"]), (2, &json!("1")));
    assert_eq!(told[1]["error"]["reason"], "OVERLOADED");
    assert_eq!(told[1]["error"]["status"], 503);

    let told = watched.get("/watch/fail-later", EVENTS).await.text().await.unwrap();
    let (first, last) = told.trim_end().split_once("\n\n").unwrap();
    assert!(first.starts_with("id: 1\nevent: fail-later\ndata: {"), "{first}");
    let problem = last.strip_prefix("event: error\ndata: ").unwrap();
    assert_eq!(serde_json::from_str::<Value>(problem).unwrap()["reason"], "OVERLOADED");
}

#[tokio::test]
async fn a_silent_stream_of_events_shows_that_it_lives() {
    let watched = Watched::start(&["--gateway-heartbeat-seconds=1"]).await;
    let mut answer = watched.get("/watch/silent", EVENTS).await;
    assert_eq!(answer.status(), 200);
    for _ in 0..2 {
        let beat = timeout(PATIENCE, answer.chunk()).await.unwrap().unwrap().unwrap();
        assert_eq!(beat.as_ref(), b":\n\n");
    }
    // Lines have no room for it, but their client learns that the stream is open.
    assert_eq!(watched.get("/watch/silent", LINES).await.status(), 200);
}

#[tokio::test]
async fn when_the_client_goes_the_call_ends() {
    let watched = Watched::start(&["--gateway-heartbeat-seconds=1"]).await;
    let answer = watched.get("/watch/silent", EVENTS).await;
    assert!(!watched.ended.is_cancelled());
    drop(answer);
    timeout(PATIENCE, watched.ended.cancelled())
        .await
        .expect("the call to end");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_service_back() {
    let watched = Watched::start(&[]).await;
    let answer = watched.get("/watch/for-ever", LINES).await;
    assert_eq!(answer.status(), 200);
    let mut before = 0;
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        sleep(Duration::from_millis(300)).await;
        let now = watched.counted();
        if now == before {
            break;
        }
        before = now;
    }
    sleep(Duration::from_millis(300)).await;
    let kept = watched.counted() * WEIGHT;
    assert_eq!(
        watched.counted(),
        before,
        "{kept} bytes were taken off the service's hands"
    );
}

#[tokio::test]
async fn where_a_client_stopped_reading_goes_to_the_service() {
    let watched = Watched::start(&[]).await;
    let request = watched.request("/watch/resume", LINES).header("last-event-id", "41");
    let told = lines(&request.send().await.unwrap().text().await.unwrap());
    assert_eq!(told[0]["id"], "42");
}

#[tokio::test]
async fn a_gateway_that_leaves_says_so_in_every_stream() {
    let mut watched = Watched::start(&["--gateway-heartbeat-seconds=1"]).await;
    let events = watched.get("/watch/silent", EVENTS).await;
    let lines_of = watched.get("/watch/silent", LINES).await;
    let started = Instant::now();
    watched.stop().await;
    // Well within the time that a drain may take.
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let told = events.text().await.unwrap();
    assert!(
        told.contains("event: error\ndata: {") && told.contains("shutting down"),
        "{told}"
    );
    assert_eq!(
        lines(&lines_of.text().await.unwrap())[0]["error"]["reason"],
        "UNAVAILABLE"
    );
}

#[tokio::test]
async fn raw_chunks_come_as_they_are_with_the_media_type_of_the_first() {
    let watched = Watched::start(&[]).await;
    let answer = watched.get("/download/three", "text/html").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"text/csv".parse().unwrap())
    );
    assert_eq!(answer.text().await.unwrap(), "chunk 1\nchunk 2\nchunk 3\n");
}

#[tokio::test]
async fn a_raw_stream_that_fails_breaks_off() {
    let watched = Watched::start(&[]).await;
    // It depends on the speed of things whether the headers have left by then.
    let broken = match watched.request("/download/fail-later", "*/*").send().await {
        Ok(answer) => answer.text().await.is_err(),
        Err(_) => true,
    };
    assert!(broken);
}

#[tokio::test]
async fn head_begins_a_stream_and_ends_it() {
    let watched = Watched::start(&[]).await;
    let get = watched.get("/watch/three", EVENTS).await;
    let head = watched
        .http
        .head(watched.url("/watch/three"))
        .header("accept", EVENTS)
        .send()
        .await
        .unwrap();
    assert_eq!(
        (head.status(), &head.headers()["content-type"]),
        (get.status(), &get.headers()["content-type"])
    );
    assert_eq!(head.text().await.unwrap(), "");
}

#[tokio::test]
async fn an_answer_may_be_one_field_of_the_message() {
    let watched = Watched::start(&[]).await;
    let answer = watched.get("/list/three", "application/json").await;
    let told: Value = answer.json().await.unwrap();
    assert_eq!(told[1]["id"], "2");
    let raw = watched.get("/file/three", "*/*").await;
    assert_eq!(raw.headers()["content-type"], "text/csv");
    assert_eq!(raw.text().await.unwrap(), "chunk 1\n");
}

#[tokio::test]
async fn bytes_go_in_and_out_with_their_media_type() {
    let watched = Watched::start(&[]).await;
    let bytes = [0_u8, 255, 10];
    let echo = watched
        .http
        .post(watched.url("/echo"))
        .header("content-type", "image/png");
    let answer = echo.body(bytes.to_vec()).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "image/png");
    assert_eq!(answer.bytes().await.unwrap().as_ref(), bytes);
}

/// The properties that a schema of the document allows, and those that it wants.
fn properties(document: &Value, schema: &Value) -> (Vec<String>, Vec<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    let names = |value: &Value| match value {
        Value::Object(properties) => properties.keys().cloned().collect(),
        Value::Array(names) => names.iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
        _ => Vec::new(),
    };
    (names(&schema["properties"]), names(&schema["required"]))
}

fn fits(document: &Value, schema: &Value, message: &Value) -> bool {
    let (allowed, wanted) = properties(document, schema);
    let told: Vec<_> = message.as_object().unwrap().keys().collect();
    told.iter().all(|name| allowed.contains(name)) && wanted.iter().all(|name| told.contains(&name))
}

#[tokio::test]
async fn the_document_tells_in_which_forms_a_stream_comes_and_what_is_in_it() {
    let watched = Watched::start(&[]).await;
    let document: Value = watched.get("/openapi.json", "*/*").await.json().await.unwrap();
    let success = |path: &str| document["paths"][path]["get"]["responses"]["200"].clone();
    let content = success("/watch/{topic}")["content"].clone();
    let forms: Vec<_> = content.as_object().unwrap().keys().cloned().collect();
    assert_eq!(forms, [LINES, EVENTS]);
    for form in &forms {
        let schemas = content[form]["schema"]["anyOf"].as_array().unwrap();
        for topic in ["three", "fail-later"] {
            let answer = watched.get(&format!("/watch/{topic}"), form).await;
            assert_eq!(answer.headers()["content-type"], form.as_str());
            let text = answer.text().await.unwrap();
            let messages: Vec<Value> = match form.as_str() {
                LINES => lines(&text),
                _ => text
                    .lines()
                    .filter_map(|line| line.strip_prefix("data: "))
                    .map(|data| serde_json::from_str(data).unwrap())
                    .collect(),
            };
            let (last, before) = messages.split_last().unwrap();
            assert!(
                before.iter().all(|message| fits(&document, &schemas[0], message)),
                "{form}"
            );
            let of_last = usize::from(topic == "fail-later");
            assert!(fits(&document, &schemas[of_last], last), "{form}: {last}");
            assert!(!fits(&document, &schemas[1 - of_last], last), "{form}: {last}");
        }
    }
    // A form that is not told of is refused, as the document says too.
    let refused = watched.get("/watch/three", "text/html").await;
    assert_eq!(refused.status(), 406);
    assert!(document["paths"]["/watch/{topic}"]["get"]["responses"]["406"].is_object());
    // Bytes may be anything.
    let raw = success("/download/{topic}")["content"].clone();
    assert_eq!(raw.as_object().unwrap().keys().collect::<Vec<_>>(), ["*/*"]);
}
