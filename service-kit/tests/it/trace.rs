//! Statements in a trace, on a real PostgreSQL.

use std::sync::{Arc, Mutex, Once};

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use service_kit::database;
use service_kit::trace::{Parent, Share, SpanKind, Statements, Tracer};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use testbed::Database;
use tracing_subscriber::layer::SubscriberExt;

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

async fn pool(database: &Database) -> PgPool {
    let options: PgConnectOptions = database.url().parse().unwrap();
    let options = options.application_name("ocpp");
    PgPoolOptions::new()
        .max_connections(2)
        .connect_with(options)
        .await
        .unwrap()
}

/// For all tests at once, as a process does it: what only one of them heard of, another could have tracing leave out.
fn hear_of_statements() {
    static HEARING: Once = Once::new();
    HEARING.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Statements::layer());
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// What runs meanwhile as spans, for a trace that is recorded or one that is not.
async fn recorded(share: Share, work: impl Future<Output = ()>) -> (String, Vec<SpanData>) {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(kept.clone()).build();
    let tracer = Tracer::recording(&provider, share);
    let span = tracer.begin(Parent::None, SpanKind::Server, || "request".into());
    let trace = span.context().unwrap().trace_id.to_string();
    hear_of_statements();
    span.scope(work).await;
    drop(span);
    let spans = kept.0.lock().unwrap().clone();
    (trace, spans)
}

#[tokio::test]
async fn a_statement_is_a_span_with_its_text_and_without_its_values() {
    let database = Database::create().await;
    let pool = pool(&database).await;
    let work = async {
        let query = sqlx::query("SELECT $1::text AS a, pg_sleep(0.05)").bind("a value");
        query.fetch_one(&pool).await.unwrap();
    };
    let (trace, spans) = recorded(Share::ALL, work).await;
    let [statement, request] = spans.as_slice() else {
        panic!("{spans:#?}")
    };
    assert_eq!(statement.parent_span_id, request.span_context.span_id());
    assert_eq!(statement.span_context.trace_id().to_string(), trace);
    let said = |name: &str| {
        let attribute = statement
            .attributes
            .iter()
            .find(|attribute| attribute.key.as_str() == name);
        attribute
            .map(|attribute| attribute.value.to_string())
            .unwrap_or_default()
    };
    assert_eq!(said("db.query.text"), "SELECT $1::text AS a, pg_sleep(0.05)");
    assert_eq!(
        (said("db.operation.name"), said("db.system.name")),
        ("SELECT".to_owned(), "postgresql".to_owned())
    );
    assert_eq!(said("db.response.returned_rows"), "1");
    let took = statement.end_time.duration_since(statement.start_time).unwrap();
    assert!(took.as_millis() >= 50, "{took:?}");
    assert!(!format!("{spans:?}").contains("a value"));
}

#[tokio::test]
async fn where_a_trace_is_not_recorded_nothing_is_told_of_its_statements() {
    let database = Database::create().await;
    let pool = pool(&database).await;
    let work = async {
        sqlx::query("SELECT 1").execute(&pool).await.unwrap();
        let name = application_name(&pool).await;
        assert_eq!(name, "ocpp");
    };
    let (_, spans) = recorded("0".parse().unwrap(), work).await;
    assert!(spans.is_empty(), "{spans:#?}");
}

async fn application_name(pool: &PgPool) -> String {
    let mut transaction = database::begin(pool).await.unwrap();
    let name = sqlx::query_scalar("SELECT current_setting('application_name')");
    name.fetch_one(&mut *transaction).await.unwrap()
}

#[tokio::test]
async fn a_transaction_of_a_recorded_trace_says_to_postgresql_which_it_is_and_the_next_does_not() {
    let database = Database::create().await;
    let pool = pool(&database).await;
    let name = Arc::new(Mutex::new(String::new()));
    let work = async {
        *name.lock().unwrap() = application_name(&pool).await;
    };
    let (trace, _) = recorded(Share::ALL, work).await;
    assert_eq!(*name.lock().unwrap(), format!("ocpp {trace}"));
    assert_eq!(application_name(&pool).await, "ocpp");
}
