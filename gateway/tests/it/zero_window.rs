//! Clients that ask for much over HTTP/2, and leave no window for anything to come back.

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::echo::{Echo, SERVICE};
use crate::http2::Http2;
use crate::system::PATIENCE;

#[tokio::test]
async fn who_takes_no_answer_of_a_call_keeps_no_place_from_others() {
    let echo = Echo::start_with(&["--gateway-max-calls=3"]).await;
    let client = Http2::connect_without_window(echo.gateway).await;
    let mut answers = Vec::new();
    for _ in 0..9 {
        // The head needs no window. That it is here says that the service has answered.
        let answer = client.call(&format!("{SERVICE}/Say"), "hello").await;
        let answer = timeout(PATIENCE, answer).await.expect("the head").unwrap();
        assert_eq!(answer.headers().get("grpc-status"), None, "{:?}", answer.headers());
        answers.push(answer);
    }
    assert_eq!(echo.say("Say", "hello").await.unwrap().get_ref(), "hello");
}

#[tokio::test]
async fn a_stream_of_messages_that_nobody_takes_is_ended() {
    let echo = Echo::start_with(&["--gateway-stall-seconds=1"]).await;
    let client = Http2::connect_without_window(echo.gateway).await;
    let calls = (0..3).map(async |_| {
        client
            .call(&format!("{SERVICE}/Count"), "for ever")
            .await
            .await
            .unwrap()
    });
    let _unread = timeout(PATIENCE, join_all(calls)).await.expect("the heads");
    timeout(PATIENCE, echo.ended.cancelled())
        .await
        .expect("the streams to end");
}
