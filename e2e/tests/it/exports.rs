//! Lists as files, read by a program that nobody here wrote: Python's `csv`.

use std::collections::BTreeSet;
use std::time::Duration;

use e2e::all_in_one::Voltgate;
use e2e::api::{Answer, Api};
use e2e::python::run;
use reqwest::Method;
use serde_json::{Value, json};

/// More than a page.
const STATIONS: i32 = 5;
const STARTS: i32 = 201;

/// Each charge point starts so many charges, a frame at a time.
async fn start_charges(operator: &Api, station: i32) {
    let identity = format!("CP{station}");
    let body = json!({ "identity": identity, "securityProfile": 1, "password": "a-password-for-them" });
    operator.post("/ocpp/charge-points", &body).await.expect(201);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/ocpp/{identity}?version=1.6", operator.gateway());
    for number in 0..STARTS {
        let id_tag = if number == 0 { "=1+1" } else { "CARD1" };
        let time = format!("2026-01-01T{:02}:{:02}:00Z", number / 60, number % 60);
        let start = json!({ "connectorId": 1, "idTag": id_tag, "meterStart": number, "timestamp": time });
        let frame = json!([2, number.to_string(), "StartTransaction", start]);
        let request = http.post(&url).basic_auth(&identity, Some("a-password-for-them"));
        let answer = request.body(frame.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
}

async fn accepting(operator: &Api, path: &str, media_type: &str) -> Answer {
    let headers = [("accept", media_type)];
    let answer = operator.send(Method::GET, path, &headers, String::new()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer
}

/// The rows of a CSV file, by their header.
async fn read_csv(text: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.csv");
    std::fs::write(&file, text).unwrap();
    let script = "import csv, json, sys; print(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='')))))";
    let arguments = ["-c", script, &file.display().to_string()];
    let (status, said) = run(&arguments, &[], Duration::from_secs(60)).await;
    assert!(status.success(), "{said}");
    serde_json::from_str(&said).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_transactions_come_as_a_file_of_csv_or_lines_of_json() {
    let voltgate = Voltgate::start().await;
    let operator = voltgate.admin().await;
    let charges = (1..=STATIONS).map(|station| {
        let operator = operator.clone();
        tokio::spawn(async move { start_charges(&operator, station).await })
    });
    for station in charges.collect::<Vec<_>>() {
        station.await.unwrap();
    }

    let file = accepting(&operator, "/ocpp/transactions", "text/csv").await;
    assert_eq!(
        file.header("content-disposition"),
        "attachment; filename=\"transactions.csv\""
    );
    let header = "id,identity,connectorId,idToken,status,meterStartWh,meterStopWh,energyWh,startedAt,";
    assert!(file.text.starts_with(header), "{}", &file.text[..200]);
    let rows = read_csv(&file.text).await;
    let total = usize::try_from(STATIONS * STARTS).unwrap();
    let ids: BTreeSet<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!((rows.len(), ids.len()), (total, total));
    let formulas = rows.iter().filter(|row| row["idToken"] == "'=1+1").count();
    assert_eq!(formulas, usize::try_from(STATIONS).unwrap());

    let path = "/ocpp/transactions?identity=CP3&fields=id,identity,meterStartWh";
    let lines = accepting(&operator, path, "application/x-ndjson").await.text;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let pages = operator.get(&format!("{path}&pageSize=1000")).await.expect(200);
    assert_eq!(pages["transactions"], Value::from(lines.clone()));
    assert_eq!(lines.len(), usize::try_from(STARTS).unwrap());
    assert_eq!(lines[0].as_object().unwrap().len(), 3);
}
