use auth_service::Administrator;
use service_kit::start::StartError;
use testbed::Database;
use voltgate_proto::auth::v1::SignUpRequest;

use crate::service::{PASSWORD, Service, Setup, ada};

const ADMINISTRATORS: &str = "SELECT count(*) FROM authentication.account WHERE 'admin' = ANY (roles)";

fn with_password(database: &Database, password: &str) -> Setup {
    let mut setup = Setup::on(database);
    setup.settings.admin_password = Some(password.to_owned());
    setup
}

#[tokio::test]
async fn the_first_administrator_comes_from_the_settings_and_can_log_in() {
    let database = Database::create().await;
    let service = with_password(&database, PASSWORD).start().await;
    assert!(matches!(&service.administrator, Administrator::Created { username } if username.as_str() == "admin"));
    let answer = service.log_in("admin", PASSWORD).await.unwrap();
    let profile = service.profile(&answer.access_token).await.unwrap();
    assert_eq!((profile.roles, profile.email), (vec!["admin".to_owned()], None));
    service.stop().await;
}

#[tokio::test]
async fn a_password_is_made_up_once_where_somebody_will_see_it() {
    let database = Database::create().await;
    let mut setup = Setup::on(&database);
    setup.settings.generate_admin_password = true;
    let service = setup.clone().start().await;
    let Administrator::CreatedWithPassword { username, password } = &service.administrator else {
        panic!("{:?}", service.administrator);
    };
    assert!(service.log_in(username.as_str(), password.as_str()).await.is_ok());
    service.stop().await;

    let service = setup.start().await;
    assert!(matches!(service.administrator, Administrator::AlreadyThere));
    service.stop().await;
}

#[tokio::test]
async fn without_a_password_and_nobody_to_see_one_there_is_no_administrator() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    assert!(matches!(service.administrator, Administrator::Missing));
    assert_eq!(service.count(ADMINISTRATORS).await, 0);
    service.stop().await;
}

#[tokio::test]
async fn an_administrator_who_is_there_keeps_their_password() {
    let database = Database::create().await;
    with_password(&database, PASSWORD).start().await.stop().await;
    let mut setup = with_password(&database, "another password");
    setup.settings.admin_username = "root".to_owned();
    let service = setup.start().await;
    assert!(matches!(service.administrator, Administrator::AlreadyThere));
    assert!(service.log_in("admin", PASSWORD).await.is_ok());
    assert!(service.log_in("root", "another password").await.is_err());
    service.stop().await;
}

#[tokio::test]
async fn replicas_that_start_at_once_create_one_administrator() {
    let database = Database::create().await;
    let setup = with_password(&database, PASSWORD);
    let (one, other) = tokio::join!(setup.clone().start(), setup.start());
    assert_eq!(one.count(ADMINISTRATORS).await, 1);
    let created = |service: &Service| matches!(service.administrator, Administrator::Created { .. });
    assert!(
        created(&one) != created(&other),
        "{:?} {:?}",
        one.administrator,
        other.administrator
    );
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_driver_does_not_become_administrator_by_having_the_name_of_one() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service
        .sign_up(SignUpRequest {
            username: "Admin".to_owned(),
            ..ada()
        })
        .await
        .unwrap();
    service.stop().await;

    let application = with_password(&database, PASSWORD).build().await.unwrap();
    let error = application.first_administrator().await.err().unwrap();
    assert!(
        matches!(
            error,
            StartError::Setting {
                name: "ADMIN_USERNAME",
                ..
            }
        ),
        "{error}"
    );
}
