//! email-service with auth-service beside it to say who may ask, a driver who signed up, an administrator and an operator.

use auth_service::Administrator;
use email_service::{Application, Settings};
use service_kit::bus::Bus;
use service_kit::reason::Reason;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use voltgate_proto::auth::v1::auth_service_client::AuthServiceClient;
use voltgate_proto::auth::v1::user_service_client::UserServiceClient;
use voltgate_proto::auth::v1::{CreateUserRequest, LogInRequest, SignUpRequest};
use voltgate_proto::email::v1::ListAuditEntriesRequest;
use voltgate_proto::email::v1::dead_letter_service_client::DeadLetterServiceClient;
use voltgate_proto::email::v1::earlier_api_service_client::EarlierApiServiceClient;
use voltgate_proto::email::v1::email_audit_service_client::EmailAuditServiceClient;
use voltgate_proto::email::v1::email_service_client::EmailServiceClient;
use voltgate_proto::email::v1::subscription_service_client::SubscriptionServiceClient;
use voltgate_proto::email::v1::suppression_service_client::SuppressionServiceClient;
use voltgate_proto::email::v1::template_service_client::TemplateServiceClient;
use voltgate_proto::email::v1::webhook_service_client::WebhookServiceClient;

use crate::rig::{Rig, local};

const PASSWORD: &str = "quiet-Heron-41";

/// Both services, and who may ask what.
pub struct Services {
    pub rig: Rig,
    pub email: EmailServiceClient<Channel>,
    pub templates: TemplateServiceClient<Channel>,
    pub suppressions: SuppressionServiceClient<Channel>,
    pub dead_letters: DeadLetterServiceClient<Channel>,
    pub earlier: EarlierApiServiceClient<Channel>,
    pub audit: EmailAuditServiceClient<Channel>,
    pub webhooks: WebhookServiceClient<Channel>,
    pub subscriptions: SubscriptionServiceClient<Channel>,
    auth: AuthServiceClient<Channel>,
    pub admin: String,
    pub operator: String,
    pub driver: String,
}

impl Services {
    pub async fn start() -> Self {
        Self::start_with(|settings| settings).await
    }

    /// With other settings of email-service.
    pub async fn start_with(change: impl FnOnce(Settings) -> Settings) -> Self {
        let mut rig = Rig::new().await;
        let bus = local();
        let auth_url = start_auth(&mut rig, &bus).await;
        let settings = change(rig.settings());
        let email_url = start_email(&mut rig, &bus, settings, &auth_url).await;
        let mut auth = AuthServiceClient::connect(auth_url.clone()).await.unwrap();
        let signed_up = auth
            .sign_up(SignUpRequest {
                username: "mara".to_owned(),
                password: PASSWORD.to_owned(),
                email: Some("mara@example.org".to_owned()),
            })
            .await
            .unwrap();
        let admin = log_in(&mut auth, "admin").await;
        let operator = CreateUserRequest {
            username: "olga".to_owned(),
            password: Some(PASSWORD.to_owned()),
            roles: vec!["operator".to_owned()],
            ..Default::default()
        };
        let mut users = UserServiceClient::connect(auth_url).await.unwrap();
        users.create_user(as_bearer(&admin, operator)).await.unwrap();
        let operator = log_in(&mut auth, "olga").await;
        rig.sent(2).await;
        let channel = tonic::transport::Endpoint::from_shared(email_url)
            .unwrap()
            .connect()
            .await
            .unwrap();
        Self {
            rig,
            email: EmailServiceClient::new(channel.clone()),
            templates: TemplateServiceClient::new(channel.clone()),
            suppressions: SuppressionServiceClient::new(channel.clone()),
            dead_letters: DeadLetterServiceClient::new(channel.clone()),
            earlier: EarlierApiServiceClient::new(channel.clone()),
            audit: EmailAuditServiceClient::new(channel.clone()),
            webhooks: WebhookServiceClient::new(channel.clone()),
            subscriptions: SubscriptionServiceClient::new(channel),
            auth,
            admin,
            operator,
            driver: signed_up.into_inner().access_token,
        }
    }

    /// For when the clock was put forward, and tokens have expired.
    pub async fn log_in_again(&mut self) -> String {
        self.admin = log_in(&mut self.auth, "admin").await;
        self.admin.clone()
    }

    /// What was done, the latest first, with what it was done to.
    pub async fn audited(&mut self) -> Vec<(String, String)> {
        let request = as_bearer(&self.admin, ListAuditEntriesRequest::default());
        let entries = self
            .audit
            .list_audit_entries(request)
            .await
            .unwrap()
            .into_inner()
            .entries;
        entries
            .into_iter()
            .map(|entry| {
                assert!(entry.actor_id.is_some() && entry.address.is_some(), "{entry:?}");
                (entry.action, entry.subject.unwrap_or_default())
            })
            .collect()
    }
}

async fn log_in(auth: &mut AuthServiceClient<Channel>, username: &str) -> String {
    let request = LogInRequest {
        username: username.to_owned(),
        password: PASSWORD.to_owned(),
    };
    let logged_in = auth.log_in(request).await.unwrap().into_inner();
    logged_in.access_token.expect("a password is enough")
}

async fn start_auth(rig: &mut Rig, bus: &Bus) -> String {
    let settings = auth_service::Settings {
        auth_listen: "127.0.0.1:0".parse().unwrap(),
        auth_secret: Some("seals the keys of this one test only".to_owned()),
        admin_password: Some(PASSWORD.to_owned()),
        ..auth_service::Settings::default()
    };
    let shared = rig.shared(bus, "http://127.0.0.1:1");
    let application = auth_service::Application::build(settings, shared).await.unwrap();
    let administrator = application.first_administrator().await.unwrap();
    assert!(matches!(administrator, Administrator::Created { .. }));
    let url = format!("http://{}", application.local_addr());
    let shutdown = rig.shutdown();
    rig.spawn(async move { application.run(shutdown).await.unwrap() });
    url
}

async fn start_email(rig: &mut Rig, bus: &Bus, settings: Settings, auth_url: &str) -> String {
    let shared = rig.shared(bus, auth_url);
    let application = Application::build(settings, shared).await.unwrap();
    let url = format!("http://{}", application.local_addr());
    let shutdown = rig.shutdown();
    rig.spawn(async move { application.run(shutdown).await.unwrap() });
    url
}

pub fn as_bearer<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = MetadataValue::try_from(format!("Bearer {token}")).unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// Why a call was refused.
pub fn refusal<T>(answer: Result<Response<T>, Status>) -> Reason {
    match answer {
        Ok(_) => panic!("it was not refused"),
        Err(status) => Reason::of(&status),
    }
}
