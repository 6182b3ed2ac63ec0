//! Lists as CSV and as lines of JSON, whole.

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::http2::Http2;
use crate::listed::Listed;
use crate::system::{PATIENCE, read, token, token_that_expires_in};

const CSV: &str = "text/csv";
const LINES: &str = "application/x-ndjson";
const HEADER: &str = "id,inner.number,inner.word,text,document";

#[tokio::test]
async fn a_list_is_csv_with_all_its_pages() {
    let mut listed = Listed::start().await;
    let answer = listed.get("/topics/2500/rows", CSV).await;
    assert_eq!(answer.status(), 200);
    let headers = answer.headers().clone();
    assert_eq!(headers["content-type"], "text/csv; charset=utf-8; header=present");
    assert_eq!(headers["content-disposition"], "attachment; filename=\"rows.csv\"");
    let text = answer.text().await.unwrap();
    assert_eq!(text.matches("\"a \"\"b\"\", c\"").count(), 2500);
    let document = "\"{\r\n\"\"a\"\": 1.0}\"";
    let first = format!("{HEADER}\r\n0,,,\"a \"\"b\"\", c\",{document}\r\n1,1,'=cmd,\"a \"\"b\"\", c\",{document}\r\n");
    assert!(text.starts_with(&first), "{}", &text[..300]);
    assert!(text.contains("\r\n2499,2499,"));
    let asked = [(1000, ""), (1000, "1000"), (1000, "2000")].map(|(size, token)| (size, token.to_owned()));
    assert_eq!(listed.pages(), asked);

    let nothing = listed.get("/topics/0/rows", CSV).await.text().await.unwrap();
    assert_eq!(nothing, format!("{HEADER}\r\n"));
}

#[tokio::test]
async fn a_list_is_lines_of_json_with_all_its_pages() {
    let listed = Listed::start().await;
    let answer = listed.get("/topics/1001/rows", LINES).await;
    assert_eq!(answer.headers()["content-type"], LINES);
    let text = answer.text().await.unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 1001);
    let expected = json!({
        "id": "1000", "inner": {"number": 1000, "word": "=cmd"}, "text": "a \"b\", c", "document": {"a": 1.0},
    });
    assert_eq!(rows[1000], expected);
    assert_eq!(listed.get("/topics/0/rows", LINES).await.text().await.unwrap(), "");
}

#[tokio::test]
async fn a_list_without_pages_is_a_file_too() {
    let listed = Listed::start().await;
    let csv = listed.get("/topics/2/all-rows?fields=id,inner.number", CSV).await;
    assert_eq!(
        csv.headers()["content-disposition"],
        "attachment; filename=\"all-rows.csv\""
    );
    assert_eq!(csv.text().await.unwrap(), "id,inner.number\r\n0,\r\n1,1\r\n");
    let lines = listed.get("/topics/1500/all-rows", LINES).await;
    assert_eq!(lines.text().await.unwrap().lines().count(), 1500);
    let json = read(listed.get("/topics/1/all-rows?fields=id", "*/*").await).await;
    assert_eq!(json["body"], json!({"rows": [{"id": "0"}]}));
}

#[tokio::test]
async fn rows_that_are_too_large_for_a_page_come_fewer_at_a_time() {
    let mut listed = Listed::start().await;
    let numbers = |text: &str| -> Vec<Value> {
        let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.map(|row| row["id"].clone()).collect()
    };
    let first = |rows: u32| -> Vec<_> { (0..rows).map(|row| json!(row.to_string())).collect() };
    let asked = |pages: &[(i32, &str)]| -> Vec<_> {
        let pages = pages.iter().map(|(size, token)| (*size, (*token).to_owned()));
        pages.collect()
    };
    let text = listed.get("/topics/heavy/rows", LINES).await.text().await.unwrap();
    assert_eq!(numbers(&text), first(300));
    let expected = [(1000, ""), (500, ""), (250, ""), (125, ""), (125, "125"), (125, "250")];
    assert_eq!(listed.pages(), asked(&expected));

    // A page that the client asks for comes in parts then.
    let text = listed.get("/topics/heavy/rows?pageSize=250", LINES).await.text().await;
    assert_eq!(numbers(&text.unwrap()), first(250));
    assert_eq!(listed.pages(), asked(&[(250, ""), (125, ""), (125, "125")]));
    let text = listed
        .get("/topics/huge/rows?fields=id", LINES)
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(numbers(&text), first(2));

    // In JSON it has fewer rows, and says where to go on.
    for query in ["", "&pageSize=2"] {
        let path = format!("/topics/huge/rows?fields=id{query}");
        let page = read(listed.get(&path, "application/json").await).await;
        assert_eq!(page["body"]["rows"], json!([{"id": "0"}]), "{query}");
        assert_eq!(page["body"]["nextPageToken"], "1", "{query}");
    }
}

#[tokio::test]
async fn a_row_that_is_too_large_by_itself_is_not_the_fault_of_the_client() {
    let listed = Listed::start().await;
    for form in ["application/json", CSV] {
        let told = read(listed.get("/topics/monstrous/rows", form).await).await;
        assert_eq!(
            (&told["status"], &told["body"]["reason"]),
            (&json!(500), &json!("INTERNAL")),
            "{form}"
        );
        let detail = told["body"]["detail"].as_str().unwrap();
        assert!(detail.contains("too large"), "{form}: {detail}");
    }
}

#[tokio::test]
async fn a_client_that_asks_for_a_page_gets_that_page() {
    let mut listed = Listed::start().await;
    for (query, rows) in [("pageSize=2", 2), ("pageSize=3&pageToken=5", 3), ("pageToken=5", 100)] {
        let text = listed
            .get(&format!("/topics/500/rows?{query}"), LINES)
            .await
            .text()
            .await
            .unwrap();
        assert_eq!(text.lines().count(), rows, "{query}");
        assert_eq!(listed.pages().len(), 1);
    }
    let page = read(listed.get("/topics/500/rows?pageSize=1", "application/json").await).await;
    assert_eq!(page["body"]["nextPageToken"], "1");
    assert_eq!(page["body"]["rows"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_client_chooses_the_form_by_what_it_likes_best() {
    let listed = Listed::start().await;
    for (accept, form) in [
        ("*/*", "application/json"),
        ("text/*", CSV),
        ("application/*", "application/json"),
        ("text/csv;q=0.9, application/json;q=0.5", CSV),
        ("text/csv;q=0.1, application/x-ndjson;q=0.2", LINES),
        ("application/json;q=0, */*;q=0.1", CSV),
    ] {
        let answer = listed.get("/topics/1/rows", accept).await;
        let told = answer.headers()["content-type"].to_str().unwrap();
        assert_eq!(told.split(';').next(), Some(form), "{accept}");
        let mut vary = answer.headers().get_all("vary").iter();
        assert!(vary.any(|name| name == "accept"), "{accept}");
    }
    let refused = read(listed.get("/topics/1/rows", "text/html, text/csv;q=0").await).await;
    assert_eq!(refused["status"], 406);
    let forms = "The answer would be application/json or text/csv or application/x-ndjson";
    assert_eq!(refused["body"]["detail"], forms);
    // What is no list comes as JSON only.
    assert_eq!(listed.get("/rows/x", CSV).await.status(), 406);
}

#[tokio::test]
async fn what_goes_wrong_before_the_first_row_is_a_problem() {
    let listed = Listed::start().await;
    for (path, status) in [
        ("/topics/refused/rows", 404),
        ("/topics/1/rows?nope=1", 400),
        ("/guarded/1", 401),
    ] {
        let told = read(listed.get(path, CSV).await).await;
        assert_eq!(told["status"], status, "{told}");
        assert_eq!(told["content-type"], "application/problem+json");
    }
}

/// Reads to the end. False where the connection broke off before.
async fn ends_well(mut answer: reqwest::Response) -> bool {
    assert_eq!(answer.status(), 200);
    loop {
        match timeout(PATIENCE, answer.chunk()).await.expect("an end") {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

#[tokio::test]
async fn a_list_that_fails_later_breaks_off() {
    let listed = Listed::start().await;
    let http2 = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    for client in [&listed.http, &http2] {
        for path in ["/topics/fails-later/rows", "/hasty/hangs-later", "/topics/circle/rows"] {
            for form in [CSV, LINES] {
                let request = client.get(listed.url(path));
                let answer = request.header("accept", form).send().await.unwrap();
                assert!(!ends_well(answer).await, "{path} as {form}");
            }
        }
    }
    assert!(ends_well(listed.get("/topics/1500/rows", CSV).await).await);
}

/// The whole answer to a request by HTTP/1.0, whose end is that of its connection.
async fn by_http_1_0(listed: &Listed, path: &str) -> String {
    let mut stream = TcpStream::connect(listed.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.0\r\naccept: {CSV}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("an end").unwrap();
    answer
}

#[tokio::test]
async fn a_client_that_could_not_see_a_list_break_off_is_told_so_and_may_ask_for_pages() {
    let listed = Listed::start().await;
    let refused = by_http_1_0(&listed, "/topics/1500/rows").await;
    assert!(refused.starts_with("HTTP/1.0 406 "), "{refused}");
    assert!(
        refused.contains("NOT_ACCEPTABLE") && refused.contains("break"),
        "{refused}"
    );
    for path in ["/topics/900/rows", "/topics/1500/rows?pageSize=900"] {
        let page = by_http_1_0(&listed, path).await;
        let (head, body) = page.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    }
}

#[tokio::test]
async fn lists_that_nobody_reads_make_room_for_others() {
    let listed = Listed::start_with(&["--gateway-stall-seconds=5"]).await;
    let path = "/topics/wide/rows";
    let client = Http2::connect(listed.address).await;
    let mut asked = Vec::new();
    for _ in 0..64 {
        asked.push(client.get(path, LINES).await);
    }
    let unread = timeout(PATIENCE, join_all(asked)).await.expect("64 answers");
    assert!(unread.iter().all(|answer| answer.as_ref().unwrap().status() == 200));
    assert_eq!(listed.get(path, LINES).await.status(), 503);
    let room = async {
        while listed.get(path, LINES).await.status() == 503 {
            sleep(Duration::from_millis(200)).await;
        }
    };
    timeout(PATIENCE * 2, room).await.expect("room for others");
}

#[tokio::test]
async fn each_page_is_asked_for_by_somebody_who_still_may() {
    let mut listed = Listed::start().await;
    let ask = async |listed: &Listed, token: String| {
        let request = listed.http.get(listed.url("/guarded/slow")).bearer_auth(token);
        request.header("accept", CSV).send().await.unwrap()
    };
    let brief = token_that_expires_in(2, &["operator"]);
    let answer = ask(&listed, brief.clone()).await;
    assert!(!ends_well(answer).await, "its token has expired");
    let credentials = format!("Bearer {brief}");
    let (_, metadata) = listed.asked.recv().await.unwrap();
    assert_eq!(metadata.get("authorization").unwrap(), credentials.as_str());
    assert!(metadata.get("voltgate-client-address").is_some());
    let stranger = ask(&listed, token(&["driver"])).await;
    assert_eq!(stranger.status(), 403);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_ahead_for() {
    let mut listed = Listed::start().await;
    let answer = listed.get("/topics/endless/rows", LINES).await;
    let started = Instant::now();
    let mut seen = 0;
    while started.elapsed() < PATIENCE {
        sleep(Duration::from_millis(500)).await;
        let now = listed.pages().len();
        seen += now;
        if now == 0 {
            break;
        }
    }
    sleep(Duration::from_millis(500)).await;
    assert_eq!(listed.pages().len(), 0, "{seen} pages were asked for");
    drop(answer);
}

#[tokio::test]
async fn head_says_of_a_file_what_get_says() {
    let listed = Listed::start().await;
    for form in [CSV, LINES] {
        let ask = async |method: Method| {
            let request = listed.http.request(method, listed.url("/topics/1500/rows"));
            request.header("accept", form).send().await.unwrap()
        };
        let (get, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
        assert_eq!(head.status(), get.status());
        for name in ["content-type", "content-disposition", "content-length"] {
            assert_eq!(head.headers().get(name), get.headers().get(name), "{name}");
        }
        assert_eq!(head.text().await.unwrap(), "");
    }
}

#[tokio::test]
async fn csv_is_compressed_for_those_who_can_read_that() {
    let listed = Listed::start().await;
    let request = listed.http.get(listed.url("/topics/2500/rows")).header("accept", CSV);
    let answer = request.header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(answer.headers()["content-encoding"], "gzip");
    let body = answer.bytes().await.unwrap();
    assert!(
        body.starts_with(&[0x1f, 0x8b]) && body.len() < 100_000,
        "{}",
        body.len()
    );
}
