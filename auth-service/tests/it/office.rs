//! What an administrator does, for tests of what comes of it.

use testbed::Database;
use tonic::{Request, Status};
use voltgate_proto::auth::v1::{
    AuditEntry, CreateUserRequest, ForcePasswordResetRequest, ListAuditEntriesRequest, ListUsersRequest, TokenResponse,
    UpdateUserRequest, User,
};

use crate::mailbox::Mailbox;
use crate::service::{PASSWORD, Service, Setup, authorized};

/// A service with an administrator who is logged in.
pub struct Office {
    pub service: Service,
    pub mailbox: Mailbox,
    pub admin: TokenResponse,
}

impl Office {
    pub async fn open(database: &Database) -> Self {
        let mut setup = Setup::on(database);
        setup.settings.admin_password = Some(PASSWORD.to_owned());
        let mailbox = Mailbox::on(&setup.bus);
        let service = setup.start().await;
        let admin = service.log_in("admin", PASSWORD).await.unwrap();
        Self {
            service,
            mailbox,
            admin,
        }
    }

    pub fn request<T>(&self, message: T) -> Request<T> {
        authorized(message, &self.admin.access_token)
    }

    pub async fn create(&self, request: CreateUserRequest) -> Result<User, Status> {
        let answer = self.service.users.clone().create_user(self.request(request)).await?;
        Ok(answer.into_inner())
    }

    pub async fn update(&self, request: UpdateUserRequest) -> Result<User, Status> {
        let answer = self.service.users.clone().update_user(self.request(request)).await?;
        Ok(answer.into_inner())
    }

    pub async fn set_disabled(&self, account: &str, disabled: bool) {
        let disabled = UpdateUserRequest {
            disabled: Some(disabled),
            ..change(account)
        };
        self.update(disabled).await.unwrap();
    }

    pub async fn disable(&self, account: &str) {
        self.set_disabled(account, true).await;
    }

    pub async fn force_reset(&self, account: &str) -> Result<(), Status> {
        let request = ForcePasswordResetRequest {
            user_id: account.to_owned(),
        };
        let request = self.request(request);
        self.service.users.clone().force_password_reset(request).await?;
        Ok(())
    }

    pub async fn list(&self, request: ListUsersRequest) -> (Vec<String>, String) {
        let answer = self.service.users.clone().list_users(self.request(request)).await;
        let answer = answer.unwrap().into_inner();
        let names = answer.users.into_iter().map(|user| user.username).collect();
        (names, answer.next_page_token)
    }

    pub async fn audit(&self, request: ListAuditEntriesRequest) -> Vec<AuditEntry> {
        let answer = self
            .service
            .audit
            .clone()
            .list_audit_entries(self.request(request))
            .await;
        answer.unwrap().into_inner().entries
    }

    /// What was done to an account, oldest first.
    pub async fn done_to(&self, account: &str) -> Vec<String> {
        let request = ListAuditEntriesRequest {
            account_id: Some(account.to_owned()),
            ..Default::default()
        };
        let mut actions: Vec<_> = self
            .audit(request)
            .await
            .into_iter()
            .map(|entry| entry.action)
            .collect();
        actions.reverse();
        actions
    }
}

pub fn grace() -> CreateUserRequest {
    CreateUserRequest {
        username: "grace@example.com".to_owned(),
        email: None,
        roles: vec!["operator".to_owned()],
        password: Some(PASSWORD.to_owned()),
        ..Default::default()
    }
}

pub fn change(user_id: &str) -> UpdateUserRequest {
    UpdateUserRequest {
        user_id: user_id.to_owned(),
        roles: Vec::new(),
        disabled: None,
        ..Default::default()
    }
}
