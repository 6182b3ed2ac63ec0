//! The service as a whole: built from settings, then run until it is told to stop. Tests run the very same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use service_kit::Shared;
use service_kit::access::{AccessLayer, Rules};
use service_kit::grpc::{ServeError, Server};
use service_kit::outbox::Relay;
use service_kit::start::StartError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use voltgate_proto::auth::v1::api_key_service_server::{self, ApiKeyServiceServer};
use voltgate_proto::auth::v1::audit_service_server::{self, AuditServiceServer};
use voltgate_proto::auth::v1::auth_service_server::{self, AuthServiceServer};
use voltgate_proto::auth::v1::contact_service_server::{self, ContactServiceServer};
use voltgate_proto::auth::v1::email_address_service_server::{self, EmailAddressServiceServer};
use voltgate_proto::auth::v1::login_session_service_server::{self, LoginSessionServiceServer};
use voltgate_proto::auth::v1::passkey_service_server::{self, PasskeyServiceServer};
use voltgate_proto::auth::v1::password_service_server::{self, PasswordServiceServer};
use voltgate_proto::auth::v1::profile_service_server::{self, ProfileServiceServer};
use voltgate_proto::auth::v1::second_factor_service_server::{self, SecondFactorServiceServer};
use voltgate_proto::auth::v1::signing_key_service_server::{self, SigningKeyServiceServer};
use voltgate_proto::auth::v1::user_service_server::{self, UserServiceServer};
use voltgate_proto::auth::v1::verification_service_server::{self, VerificationServiceServer};

use crate::access_token::AccessTokens;
use crate::administrator::{self, Administrator, AdministratorError, FirstPassword};
use crate::authority::OwnAuthority;
use crate::health::{self, Health, Told};
use crate::housekeeping::keep_house;
use crate::password_hash::PasswordHasher;
use crate::settings::Settings;
use crate::signing_key::SigningKeyError;
use crate::signing_key::rotation::{self, Rotation};
use crate::throttle::Throttle;
use crate::username::{Username, claim};
use crate::{
    State, api_key, audit, contact, email, grpc, passkey, password, profile, revocation, second_factor, session,
    signing_key, user, verification,
};

/// The gRPC services, by their full names.
const SERVICES: [&str; 13] = [
    api_key_service_server::SERVICE_NAME,
    audit_service_server::SERVICE_NAME,
    auth_service_server::SERVICE_NAME,
    contact_service_server::SERVICE_NAME,
    email_address_service_server::SERVICE_NAME,
    passkey_service_server::SERVICE_NAME,
    password_service_server::SERVICE_NAME,
    profile_service_server::SERVICE_NAME,
    second_factor_service_server::SERVICE_NAME,
    login_session_service_server::SERVICE_NAME,
    signing_key_service_server::SERVICE_NAME,
    user_service_server::SERVICE_NAME,
    verification_service_server::SERVICE_NAME,
];

/// No message of this service comes near it, so nobody gets to send more.
const LONGEST_REQUEST: usize = 64 * 1024;

/// auth-service, ready to run.
pub struct Application {
    server: Server,
    state: Arc<State>,
    access: AccessLayer,
    relay: Relay,
    drain: Duration,
    admin_username: Username,
    admin_password: FirstPassword,
}

impl Application {
    /// Reads the settings, then brings the database up to date, then takes the port.
    ///
    /// # Errors
    /// Any of these cannot be done; the error names the setting to look at.
    pub async fn build(settings: Settings, shared: Shared) -> Result<Self, StartError> {
        let sealing = settings.sealing_key()?;
        let admin_username = settings.admin_username()?;
        let admin_password = settings.first_password(&admin_username)?;
        let passkeys = settings.relying_party()?;
        let own_url = settings.auth_database_url.as_ref().filter(|url| !url.is_empty());
        let url = shared.database.url_or(own_url, "AUTH_DATABASE_URL")?;

        let migrations = sqlx::migrate!("../migrations/authentication");
        let database = service_kit::database::connect(&url, "authentication", &migrations).await?;
        claim::complete(&database)
            .await
            .map_err(|error| StartError::other("cannot bring the usernames up to date", error))?;
        let keys = rotation::load_or_create(&database, &sealing, shared.clock.now()).await?;
        let revocations = revocation::Feed::new(database.clone(), Arc::clone(&shared.clock));
        revocations.look().await.map_err(SigningKeyError::Database)?;
        let rotation = Arc::new(Rotation {
            database: database.clone(),
            sealing: sealing.clone(),
            clock: Arc::clone(&shared.clock),
            keys: keys.clone(),
            period: settings.signing_key_period(),
            lifetime: TimeDelta::seconds(settings.auth_access_token_seconds.into()),
        });
        let tokens = AccessTokens {
            keys,
            issuer: shared.access.auth_issuer.clone(),
            audience: shared.access.auth_audience.clone(),
            lifetime: settings.access_token_lifetime(),
        };
        let authority = OwnAuthority::new(Arc::clone(&rotation), revocations.clone(), tokens.clone());
        let access = AccessLayer::new(shared.access(Arc::new(authority))?);
        let passwords = PasswordHasher::start()
            .await
            .map_err(|error| StartError::other("cannot hash passwords", error))?;
        let server = Server::bind(
            settings.auth_listen,
            "AUTH_LISTEN",
            shared.tls.clone(),
            shared.max_calls,
        )
        .await?
        .observed(crate::NAME, &database);

        let relay = Relay::new(database.clone(), shared.bus.publisher());
        let throttle = Throttle::new(database.clone(), Arc::clone(&shared.clock), settings.throttle_limits());
        let state = State {
            database,
            clock: shared.clock,
            passwords,
            tokens,
            rotation,
            sessions: settings.session_lifetimes(),
            audit_retention: settings.audit_retention(),
            revocations,
            throttle,
            health: watch::Sender::new(Health {
                database: true,
                events: true,
            }),
            sealing,
            passkeys,
            scopes: Rules::from_descriptors(voltgate_proto::pool())?.scopes(),
            site_name: settings.auth_site_name,
            stopping: CancellationToken::new(),
        };
        Ok(Self {
            server,
            state: Arc::new(state),
            access,
            relay,
            drain: shared.drain,
            admin_username,
            admin_password,
        })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Creates the first administrator where there is none. Its own step, and the last one before running: a generated
    /// password is in the answer and nowhere else, so nothing that can fail should come between it and whoever reads it.
    ///
    /// # Errors
    /// `ADMIN_USERNAME` belongs to somebody who is no administrator, or the database failed.
    pub async fn first_administrator(&self) -> Result<Administrator, StartError> {
        let State {
            database,
            passwords,
            clock,
            ..
        } = &*self.state;
        let username = self.admin_username.clone();
        let password = self.admin_password.clone();
        Ok(administrator::create_if_none(database, passwords, username, password, clock.now()).await?)
    }

    /// Serves until told to stop, and publishes events for as long as calls are under way.
    ///
    /// # Errors
    /// The server broke.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let Self {
            server,
            state,
            access,
            relay,
            drain,
            ..
        } = self;
        let ((serving, is_serving), (events, are_on_time)) = (watch::channel(true), watch::channel(true));
        let told = Told { serving, events };
        let server = server.healthy_while(is_serving).telling_of(health::EVENTS, are_on_time);
        let served = CancellationToken::new();
        let serve = async {
            let result = server
                .serve(routes(&state), &SERVICES, access, drain, shutdown.clone())
                .await;
            served.cancel();
            result
        };
        let end_streams = async {
            served.run_until_cancelled(shutdown.cancelled()).await;
            state.stopping.cancel();
        };
        let (result, (), (), _, _) = tokio::join!(
            serve,
            relay.run(served.clone()),
            end_streams,
            served.run_until_cancelled(keep_house(&state)),
            served.run_until_cancelled(health::watch(&state.database, &state.health, &told)),
        );
        result
    }
}

fn routes(state: &Arc<State>) -> RoutesBuilder {
    let mut routes = RoutesBuilder::default();
    let state = || Arc::clone(state);
    routes
        .add_service(ApiKeyServiceServer::new(api_key::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST))
        .add_service(AuditServiceServer::new(audit::list::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST))
        .add_service(AuthServiceServer::new(grpc::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST))
        .add_service(ContactServiceServer::new(contact::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST))
        .add_service(PasskeyServiceServer::new(passkey::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST))
        .add_service(
            EmailAddressServiceServer::new(email::rpc::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST),
        )
        .add_service(
            PasswordServiceServer::new(password::rpc::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST),
        )
        .add_service(UserServiceServer::new(user::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST))
        .add_service(ProfileServiceServer::new(profile::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST))
        .add_service(
            SecondFactorServiceServer::new(second_factor::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST),
        )
        .add_service(LoginSessionServiceServer::new(session::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST))
        .add_service(
            SigningKeyServiceServer::new(signing_key::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST),
        )
        .add_service(
            VerificationServiceServer::new(verification::Grpc(state())).max_decoding_message_size(LONGEST_REQUEST),
        );
    routes
}

impl From<SigningKeyError> for StartError {
    fn from(error: SigningKeyError) -> Self {
        match error {
            SigningKeyError::Sealed(_) => Self::setting(
                "AUTH_SECRET",
                "is not the secret that the signing keys in the database were sealed with",
            ),
            SigningKeyError::NotAKey(_) | SigningKeyError::Database(_) => {
                Self::other("cannot load the signing keys", error)
            }
        }
    }
}

impl From<AdministratorError> for StartError {
    fn from(error: AdministratorError) -> Self {
        match error {
            AdministratorError::UsernameTaken => {
                Self::setting("ADMIN_USERNAME", "is the name of an account that is no administrator")
            }
            AdministratorError::Hash(_) | AdministratorError::Database(_) => {
                Self::other("cannot create the first administrator", error)
            }
        }
    }
}
