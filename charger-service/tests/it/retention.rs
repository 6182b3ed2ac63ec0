//! What is kept for a time only, and goes some rows at a time.

use testbed::Database;

use crate::service::{Service, eventually};

#[tokio::test]
async fn old_entries_of_the_audit_log_and_old_states_of_connectors_are_dropped_and_no_others() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.stop().await;
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    // More than one statement deletes.
    let fill = "INSERT INTO ocpp.audit (id, at, action)
            SELECT md5(n::text)::uuid, now() - (730 + n) * interval '1 day', 'charge-point.updated'
            FROM generate_series(-9, 2500) AS n WHERE n <> 0;
        INSERT INTO ocpp.connector_status
            (charge_point_id, connector_id, status, error_code, status_at, received_at)
            SELECT md5('')::uuid, 1, 'Available', 'NoError', now(), now() - (90 + n) * interval '1 hour' * 24
            FROM generate_series(-9, 2500) AS n WHERE n <> 0";
    sqlx::raw_sql(fill).execute(&pool).await.unwrap();
    let service = Service::start(&database).await;
    eventually("what is old is gone", async || {
        let left: (i64, i64) =
            sqlx::query_as("SELECT (SELECT count(*) FROM ocpp.audit), (SELECT count(*) FROM ocpp.connector_status)")
                .fetch_one(&pool)
                .await
                .unwrap();
        assert!(left.0 >= 9 && left.1 >= 9, "what is not old is kept: {left:?}");
        left == (9, 9)
    })
    .await;
    service.stop().await;
}
