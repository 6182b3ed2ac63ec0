//! Events that could not be taken in, and what becomes of them.

use prost::Message as _;
use service_kit::reason::Reason;
use voltgate_proto::email::v1::{
    DeleteDeadLetterRequest, GetDeadLetterRequest, ListDeadLettersRequest, RedriveDeadLetterRequest,
};
use voltgate_proto::events::v1::Event;

use crate::rig::{Rig, eventually, local, signed_up};
use crate::services::{Services, as_bearer, refusal};

#[tokio::test]
async fn a_dead_letter_is_listed_tried_again_and_followed_by_its_mail_once() {
    let mut services = Services::start().await;
    let admin = services.admin.clone();
    let mut event = signed_up("jonas", Some("jonas@example.org"));
    let good = event.clone();
    event.data = prost::bytes::Bytes::from_static(b"\xff");
    services.rig.write(&event).await;
    eventually("it is among the dead letters", || async {
        services.rig.number("SELECT count(*) FROM email.dead_letter").await == 1
    })
    .await;
    services.rig.sign_up("after").await;
    services.rig.sent(3).await;

    let list = ListDeadLettersRequest {
        r#type: Some(event.r#type.clone()),
        ..Default::default()
    };
    let listed = services
        .dead_letters
        .list_dead_letters(as_bearer(&admin, list))
        .await
        .unwrap()
        .into_inner();
    let [letter] = &listed.dead_letters[..] else {
        panic!("{listed:?}")
    };
    assert_eq!(letter.event_id.as_deref(), Some(event.id.as_str()));
    assert_eq!(letter.source.as_deref(), Some("auth-service"));
    assert!(letter.body.is_empty() && letter.redrives == 0);
    let get = || as_bearer(&admin, GetDeadLetterRequest { id: letter.id.clone() });
    let whole = services.dead_letters.get_dead_letter(get()).await.unwrap().into_inner();
    assert_eq!(Event::decode(whole.body).unwrap(), event);

    let redrive = || as_bearer(&admin, RedriveDeadLetterRequest { id: letter.id.clone() });
    let refused = services.dead_letters.redrive_dead_letter(redrive()).await;
    assert_eq!(refusal(refused), Reason::DeadLetterUnreadable);
    let whole = services.dead_letters.get_dead_letter(get()).await.unwrap().into_inner();
    assert_eq!(whole.redrives, 1);

    // As if the program had read it wrongly: what is kept is what it ought to have read.
    sqlx::query("UPDATE email.dead_letter SET body = $1")
        .bind(good.encode_to_vec())
        .execute(&services.rig.database)
        .await
        .unwrap();
    let taken = services
        .dead_letters
        .redrive_dead_letter(redrive())
        .await
        .unwrap()
        .into_inner();
    assert!(taken.taken_in);
    services.rig.sent(4).await;
    assert_eq!(
        refusal(services.dead_letters.redrive_dead_letter(redrive()).await),
        Reason::NotFound
    );
    let audited = services.audited().await;
    assert_eq!(audited, [("dead-letter.redriven".to_owned(), letter.id.clone())]);
    services.rig.stop().await;
}

#[tokio::test]
async fn a_dead_letter_whose_event_came_through_meanwhile_is_not_acted_on_again() {
    let mut services = Services::start().await;
    let event = services.rig.sign_up("jonas").await;
    services.rig.sent(3).await;
    sqlx::query(
        "INSERT INTO email.dead_letter (id, body, reason, died_at) VALUES (gen_random_uuid(), $1, 'it was given back', now())",
    )
    .bind(event.encode_to_vec())
    .execute(&services.rig.database)
    .await
    .unwrap();
    let id: uuid::Uuid = sqlx::query_scalar("SELECT id FROM email.dead_letter")
        .fetch_one(&services.rig.database)
        .await
        .unwrap();
    let redrive = as_bearer(&services.admin, RedriveDeadLetterRequest { id: id.to_string() });
    let taken = services
        .dead_letters
        .redrive_dead_letter(redrive)
        .await
        .unwrap()
        .into_inner();
    assert!(!taken.taken_in);
    services.rig.sent(3).await;
    services.rig.stop().await;
}

#[tokio::test]
async fn a_dead_letter_is_let_go_of_by_administrators_only() {
    let mut services = Services::start().await;
    sqlx::query(
        "INSERT INTO email.dead_letter (id, body, reason, died_at)
         SELECT gen_random_uuid(), convert_to(number::text, 'UTF8'), 'it is not an event', now() FROM generate_series(1, 3) AS number",
    )
    .execute(&services.rig.database)
    .await
    .unwrap();
    let list = |token: &str, page_token: String| {
        let request = ListDeadLettersRequest {
            page_size: 2,
            page_token,
            ..Default::default()
        };
        as_bearer(token, request)
    };
    let refused = services
        .dead_letters
        .list_dead_letters(list(&services.operator, String::new()))
        .await;
    assert_eq!(refusal(refused), Reason::PermissionDenied);
    let first = services
        .dead_letters
        .list_dead_letters(list(&services.admin, String::new()))
        .await;
    let first = first.unwrap().into_inner();
    assert_eq!(first.dead_letters.len(), 2);
    let second = services
        .dead_letters
        .list_dead_letters(list(&services.admin, first.next_page_token))
        .await;
    assert_eq!(second.unwrap().into_inner().dead_letters.len(), 1);
    let id = first.dead_letters[0].id.clone();
    let delete = || as_bearer(&services.admin, DeleteDeadLetterRequest { id: id.clone() });
    services.dead_letters.delete_dead_letter(delete()).await.unwrap();
    assert_eq!(
        refusal(services.dead_letters.delete_dead_letter(delete()).await),
        Reason::NotFound
    );
    assert_eq!(services.rig.number("SELECT count(*) FROM email.dead_letter").await, 2);
    assert_eq!(services.audited().await, [("dead-letter.deleted".to_owned(), id)]);
    services.rig.stop().await;
}

#[tokio::test]
async fn old_dead_letters_are_dropped_and_no_others() {
    let mut rig = Rig::new().await;
    let bus = local();
    rig.start_email(&bus).await;
    // More than one statement deletes.
    let fill = "INSERT INTO email.dead_letter (id, body, reason, died_at)
        SELECT gen_random_uuid(), convert_to(n::text, 'UTF8'), 'it is not an event', now() - (90 + n) * interval '1 day'
        FROM generate_series(-9, 2500) AS n WHERE n <> 0";
    sqlx::raw_sql(fill).execute(&rig.database).await.unwrap();
    // One that is just started prunes at once.
    rig.start_email(&bus).await;
    eventually("what is old is gone", || async {
        let left = rig.number("SELECT count(*) FROM email.dead_letter").await;
        assert!(left >= 9, "what is not old is kept: {left}");
        left == 9
    })
    .await;
    rig.stop().await;
}
