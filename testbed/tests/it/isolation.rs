use lapin::options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection as AmqpConnection, ConnectionProperties};
use sqlx::{Connection, PgConnection};
use testbed::{Broker, Database};

async fn channel(url: &str) -> (AmqpConnection, Channel) {
    let connection = AmqpConnection::connect(url, ConnectionProperties::default())
        .await
        .expect("RabbitMQ accepts connections");
    let channel = connection.create_channel().await.unwrap();
    let options = QueueDeclareOptions::default();
    channel
        .queue_declare("letters".into(), options, FieldTable::default())
        .await
        .unwrap();
    (connection, channel)
}

#[tokio::test]
async fn two_databases_do_not_see_each_other() {
    let (one, other) = (Database::create().await, Database::create().await);
    for database in [&one, &other] {
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        sqlx::raw_sql("CREATE TABLE mine ()")
            .execute(&mut connection)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_database_goes_with_its_value_even_while_somebody_is_connected() {
    let database = Database::create().await;
    let url = database.url().to_owned();
    let _connection = PgConnection::connect(&url).await.unwrap();
    drop(database);
    let gone = PgConnection::connect(&url).await.unwrap_err();
    let code = gone.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("3D000"));
}

#[tokio::test]
async fn two_virtual_hosts_do_not_see_each_other() {
    let (one, other) = (Broker::create().await, Broker::create().await);
    let (_first, first) = channel(one.url()).await;
    let (_second, second) = channel(other.url()).await;
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default();
    first
        .basic_publish("".into(), "letters".into(), options, b"hello", properties)
        .await
        .unwrap();
    let elsewhere = second
        .basic_get("letters".into(), BasicGetOptions::default())
        .await
        .unwrap();
    assert!(elsewhere.is_none());
}

#[tokio::test]
async fn a_virtual_host_goes_with_its_value() {
    let broker = Broker::create().await;
    let url = broker.url().to_owned();
    drop(broker);
    let gone = AmqpConnection::connect(&url, ConnectionProperties::default()).await;
    assert!(gone.is_err());
}
