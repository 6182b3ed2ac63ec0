//! Events that could not be taken in, and what becomes of them.

use bytes::Bytes;
use charger_service::Settings;
use lapin::options::{BasicGetOptions, BasicPublishOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};
use prost::Message as _;
use serde_json::json;
use service_kit::bus::rabbitmq::topology;
use service_kit::bus::{Bus, Outcome, RabbitMq};
use service_kit::clock::{Clock, SystemClock};
use service_kit::event::{self, Event};
use service_kit::reason::Reason;
use testbed::{Broker, Database};
use tonic::transport::Channel;
use uuid::Uuid;
use voltgate_proto::events::v1::AccountDeleted;
use voltgate_proto::ocpp::v1::charger_dead_letter_service_client::ChargerDeadLetterServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::operator::limited_operator;
use crate::service::{Service, eventually, reason, settings};

fn deleted(account: &str) -> Event {
    let deleted = AccountDeleted {
        account_id: account.to_owned(),
        username: "ada".to_owned(),
        email: None,
        email_is_shared: false,
    };
    event::new("auth-service", SystemClock.now(), &deleted)
}

/// The same event, as it comes where its data were damaged on the way.
fn damaged(event: &Event) -> Event {
    Event {
        data: Bytes::from_static(b"\xff"),
        ..event.clone()
    }
}

impl Service {
    fn dead_letters(&self) -> ChargerDeadLetterServiceClient<Channel> {
        ChargerDeadLetterServiceClient::new(self.channel.clone())
    }

    async fn hears(&self, event: &Event) -> Outcome {
        let published = self.bus.publisher().publish(std::slice::from_ref(event)).await;
        published.unwrap().remove(0)
    }

    async fn dead_letters_kept(&self) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM ocpp.dead_letter");
        count.fetch_one(&self.pool).await.unwrap()
    }

    async fn list_dead_letters(&self, request: ListDeadLettersRequest) -> ListDeadLettersResponse {
        let listed = self.dead_letters().list_dead_letters(self.asks(request)).await;
        listed.unwrap().into_inner()
    }

    async fn get_dead_letter(&self, id: &str) -> DeadLetter {
        let request = self.asks(GetDeadLetterRequest { id: id.to_owned() });
        let letter = self.dead_letters().get_dead_letter(request).await;
        letter.unwrap().into_inner()
    }

    async fn redrive(&self, id: &str) -> Result<bool, Reason> {
        let request = self.asks(RedriveDeadLetterRequest { id: id.to_owned() });
        let answer = self.dead_letters().redrive_dead_letter(request).await;
        answer
            .map(|answer| answer.into_inner().taken_in)
            .map_err(|status| reason(&status))
    }

    /// How often a token was blocked, as it is when its account is deleted.
    async fn blockings(&self) -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM ocpp.audit WHERE action = 'id-token.updated'");
        count.fetch_one(&self.pool).await.unwrap()
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_listed_tried_again_and_followed_by_its_effect_once() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let account = Uuid::now_v7().to_string();
    // The subscription begins with the service, which answers from then on.
    service
        .register_tokens([CreateIdTokenRequest {
            id_token: "One".to_owned(),
            account_id: Some(account.clone()),
            ..Default::default()
        }])
        .await;
    let good = deleted(&account);
    let broken = damaged(&good);
    for _ in 0..2 {
        assert_eq!(service.hears(&broken).await, Outcome::Published);
    }

    let of_type = |kind: &str| ListDeadLettersRequest {
        r#type: Some(kind.to_owned()),
        ..Default::default()
    };
    let listed = service.list_dead_letters(of_type(&good.r#type)).await;
    let [letter] = &listed.dead_letters[..] else {
        panic!("{listed:?}")
    };
    assert_eq!(letter.event_id.as_deref(), Some(good.id.as_str()));
    assert_eq!(letter.source.as_deref(), Some("auth-service"));
    assert_eq!(
        letter.reason,
        "the event cannot be read: its data is not a valid voltgate.events.v1.AccountDeleted"
    );
    assert!(letter.body.is_empty() && letter.redrives == 0);
    let others = service
        .list_dead_letters(of_type("voltgate.events.v1.AccountSignedUp"))
        .await;
    assert!(others.dead_letters.is_empty(), "{others:?}");
    let whole = service.get_dead_letter(&letter.id).await;
    assert_eq!(Event::decode(whole.body).unwrap(), broken);

    assert_eq!(service.redrive(&letter.id).await, Err(Reason::DeadLetterUnreadable));
    assert_eq!(service.get_dead_letter(&letter.id).await.redrives, 1);
    assert!(service.audited("dead-letter").await.is_empty());
    assert_eq!(service.blockings().await, 0);

    // As if the program had read it wrongly: what is kept is what it ought to have read.
    sqlx::query("UPDATE ocpp.dead_letter SET body = $1")
        .bind(good.encode_to_vec())
        .execute(&service.pool)
        .await
        .unwrap();
    assert_eq!(service.redrive(&letter.id).await, Ok(true));
    assert_eq!(service.redrive(&letter.id).await, Err(Reason::NotFound));
    assert_eq!(service.blockings().await, 1);
    let told = json!({ "deadLetter": letter.id, "eventId": good.id, "type": good.r#type });
    assert_eq!(
        service.audited("dead-letter").await,
        [("dead-letter.redriven".to_owned(), told)]
    );

    // It comes through by itself, too, and is set aside once more: nothing follows another time.
    assert_eq!(service.hears(&good).await, Outcome::Published);
    sqlx::query("INSERT INTO ocpp.dead_letter (id, body, reason, died_at) VALUES ($1, $2, 'it was given back', now())")
        .bind(Uuid::now_v7())
        .bind(good.encode_to_vec())
        .execute(&service.pool)
        .await
        .unwrap();
    let listed = service.list_dead_letters(ListDeadLettersRequest::default()).await;
    assert_eq!(service.redrive(&listed.dead_letters[0].id).await, Ok(false));
    assert_eq!(service.blockings().await, 1);
    assert_eq!(service.dead_letters_kept().await, 0);
    service.stop().await;
}

#[tokio::test]
async fn what_followed_from_a_dead_letter_is_audited_though_somebody_let_go_of_it_meanwhile() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let account = Uuid::now_v7().to_string();
    service
        .register_tokens([CreateIdTokenRequest {
            id_token: "One".to_owned(),
            account_id: Some(account.clone()),
            ..Default::default()
        }])
        .await;
    let event = deleted(&account);
    let id = Uuid::now_v7();
    sqlx::query(
        "INSERT INTO ocpp.dead_letter (id, event_id, type, body, reason, died_at) VALUES ($1, $2, $3, $4, 'it was given back', now())",
    )
    .bind(id)
    .bind(Uuid::parse_str(&event.id).unwrap())
    .bind(&event.r#type)
    .bind(event.encode_to_vec())
    .execute(&service.pool)
    .await
    .unwrap();
    let id = id.to_string();

    // Its token cannot be blocked before we let it.
    let mut held = service.pool.begin().await.unwrap();
    let holder: i32 = sqlx::query_scalar("SELECT pg_backend_pid() FROM ocpp.id_token FOR UPDATE")
        .fetch_one(&mut *held)
        .await
        .unwrap();
    let let_go_meanwhile = async {
        eventually("the token is about to be blocked", async || {
            let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))";
            let waiting = sqlx::query_scalar::<_, bool>(waiting).bind(holder);
            waiting.fetch_one(&service.pool).await.unwrap()
        })
        .await;
        let delete = service.asks(DeleteDeadLetterRequest { id: id.clone() });
        service.dead_letters().delete_dead_letter(delete).await.unwrap();
        held.rollback().await.unwrap();
    };
    let (redriven, ()) = tokio::join!(service.redrive(&id), let_go_meanwhile);
    assert_eq!(redriven, Ok(true));
    assert_eq!(service.blockings().await, 1);
    let (let_go, redriven) = (
        json!({ "deadLetter": id, "eventId": event.id, "type": event.r#type, "reason": "it was given back" }),
        json!({ "deadLetter": id, "eventId": event.id, "type": event.r#type }),
    );
    assert_eq!(
        service.audited("dead-letter").await,
        [
            ("dead-letter.deleted".to_owned(), let_go),
            ("dead-letter.redriven".to_owned(), redriven)
        ]
    );
    service.stop().await;
}

#[tokio::test]
async fn dead_letters_of_charger_service_are_for_administrators_only() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    sqlx::query(
        "INSERT INTO ocpp.dead_letter (id, body, reason, died_at)
         SELECT gen_random_uuid(), convert_to(number::text, 'UTF8'), 'it is not an event', now() FROM generate_series(1, 3) AS number",
    )
    .execute(&service.pool)
    .await
    .unwrap();
    let page = |page_token: String| ListDeadLettersRequest {
        page_size: 2,
        page_token,
        ..Default::default()
    };
    let first = service.list_dead_letters(page(String::new())).await;
    assert_eq!(first.dead_letters.len(), 2);
    let second = service.list_dead_letters(page(first.next_page_token)).await;
    assert_eq!(second.dead_letters.len(), 1);
    assert!(second.next_page_token.is_empty());

    let id = first.dead_letters[0].id.clone();
    let mut client = service.dead_letters();
    let anywhere: &[&str] = &[];
    for groups in [anywhere, &["north"]] {
        let operator = limited_operator(groups).await;
        let refused = [
            client
                .list_dead_letters(operator.asks(page(String::new())))
                .await
                .map(|_| ()),
            client
                .get_dead_letter(operator.asks(GetDeadLetterRequest { id: id.clone() }))
                .await
                .map(|_| ()),
            client
                .redrive_dead_letter(operator.asks(RedriveDeadLetterRequest { id: id.clone() }))
                .await
                .map(|_| ()),
            client
                .delete_dead_letter(operator.asks(DeleteDeadLetterRequest { id: id.clone() }))
                .await
                .map(|_| ()),
        ];
        for answer in refused {
            assert_eq!(reason(&answer.unwrap_err()), Reason::PermissionDenied, "{groups:?}");
        }
    }

    let delete = || service.asks(DeleteDeadLetterRequest { id: id.clone() });
    client.delete_dead_letter(delete()).await.unwrap();
    let again = client.delete_dead_letter(delete()).await;
    assert_eq!(reason(&again.unwrap_err()), Reason::NotFound);
    let nothing = service.redrive("not a UUID").await;
    assert_eq!(nothing, Err(Reason::NotFound));
    assert_eq!(service.dead_letters_kept().await, 2);
    let told = json!({ "deadLetter": id, "reason": "it is not an event" });
    assert_eq!(
        service.audited("dead-letter").await,
        [("dead-letter.deleted".to_owned(), told)]
    );
    service.stop().await;
}

#[tokio::test]
async fn what_rabbitmq_has_set_aside_is_among_the_dead_letters_of_charger_service_too() {
    let (broker, database) = (Broker::create().await, Database::create().await);
    let bus = Bus::RabbitMq(RabbitMq::at(broker.url()).unwrap());
    let service = Service::start_on(&database, bus).await;
    let broken = damaged(&deleted(&Uuid::now_v7().to_string()));
    // Publishing declares what there has to be.
    eventually("the bus has the event", async || {
        let published = service.bus.publisher().publish(std::slice::from_ref(&broken)).await;
        published == Ok(vec![Outcome::Published])
    })
    .await;
    eventually("what was rejected is kept", async || {
        service.dead_letters_kept().await == 1
    })
    .await;

    let connection = Connection::connect(broker.url(), ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel
        .basic_publish(
            topology::EVENTS.into(),
            topology::CHARGER_SERVICE.types[0].into(),
            BasicPublishOptions::default(),
            b"\xff\xff",
            BasicProperties::default(),
        )
        .await
        .unwrap();
    eventually("what is no event is kept", async || {
        service.dead_letters_kept().await == 2
    })
    .await;
    let listed = service.list_dead_letters(ListDeadLettersRequest::default()).await;
    let newest = &listed.dead_letters[0];
    assert_eq!(newest.reason, "it is not an event");
    assert_eq!(
        (&newest.event_id, &newest.r#type, &newest.source),
        (&None, &None, &None)
    );
    assert_eq!(service.redrive(&newest.id).await, Err(Reason::DeadLetterUnreadable));
    service.stop().await;
    let dead = topology::dead_letter_queue(topology::CHARGER_SERVICE.queue);
    let left = channel.basic_get(dead.as_str().into(), BasicGetOptions { no_ack: true });
    assert!(left.await.unwrap().is_none(), "the queue has given them away");
}

#[tokio::test]
async fn a_dead_letter_of_charger_service_stays_however_old_it_is_until_somebody_decides() {
    let database = Database::create().await;
    Service::start(&database).await.stop().await;
    let pool = sqlx::PgPool::connect(database.url()).await.unwrap();
    // The audit log is there to see that what is old has been dropped.
    let fill = "INSERT INTO ocpp.dead_letter (id, body, reason, died_at)
            VALUES (gen_random_uuid(), 'old', 'it is not an event', now() - interval '10 years');
        INSERT INTO ocpp.audit (id, at, action)
            SELECT md5(n::text)::uuid, now() - interval '10 years', 'charge-point.updated' FROM generate_series(1, 2500) AS n";
    sqlx::raw_sql(fill).execute(&pool).await.unwrap();
    let shortest = Settings {
        charger_audit_retention_days: 1,
        ..settings()
    };
    let service = Service::start_with(&database, shortest).await;
    eventually("what is old is gone from the audit log", async || {
        let left = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM ocpp.audit");
        left.fetch_one(&pool).await.unwrap() == 0
    })
    .await;
    assert_eq!(service.dead_letters_kept().await, 1);
    service.stop().await;
}
