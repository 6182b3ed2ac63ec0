//! What callers are told when the database goes, or when somebody else is in the way.

use service_kit::database;
use service_kit::reason::Reason;
use sqlx::{Executor, PgPool};
use testbed::Database;

#[tokio::test]
async fn a_database_that_shuts_a_connection_down_is_away_and_not_broken() {
    let database = Database::create().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let backend = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()");
    let backend = backend.fetch_one(&mut *transaction).await.unwrap();
    let end = sqlx::query("SELECT pg_terminate_backend($1, 5000)").bind(backend);
    end.execute(&pool).await.unwrap();
    let error = transaction.execute("SELECT 1").await.unwrap_err();
    let status = database::failed(&error);
    assert_eq!(Reason::of(&status), Reason::Unavailable, "{error:?}");
}

#[tokio::test]
async fn two_that_wait_for_each_other_are_worth_another_try() {
    let database = Database::create().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    pool.execute("CREATE TABLE row (id int PRIMARY KEY); INSERT INTO row VALUES (1), (2)")
        .await
        .unwrap();
    let (mut one, mut other) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
    one.execute("UPDATE row SET id = id WHERE id = 1").await.unwrap();
    other.execute("UPDATE row SET id = id WHERE id = 2").await.unwrap();
    let (first, second) = tokio::join!(one.execute("UPDATE row SET id = id WHERE id = 2"), async {
        let second = other.execute("UPDATE row SET id = id WHERE id = 1").await;
        drop(other);
        second
    });
    let error = first.err().or(second.err()).expect("one of the two is ended");
    assert_eq!(Reason::of(&database::failed(&error)), Reason::Unavailable, "{error:?}");
}

#[tokio::test]
async fn a_mistake_of_ours_is_our_fault() {
    let database = Database::create().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    let error = pool.execute("SELECT nothing").await.unwrap_err();
    assert_eq!(Reason::of(&database::failed(&error)), Reason::Internal);
}

#[tokio::test]
async fn a_null_character_is_the_callers_mistake_and_not_ours() {
    let database = Database::create().await;
    let pool = PgPool::connect(database.url()).await.unwrap();
    let refused = sqlx::query("SELECT $1::text").bind("a\0b").execute(&pool).await;
    let status = database::failed(&refused.unwrap_err());
    assert_eq!(Reason::of(&status), Reason::InvalidRequest);
}
