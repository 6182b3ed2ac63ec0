//! The audit log: every change of credentials, roles and sessions, with who did it, when, and from where. A row is
//! written in the transaction of the change, so that neither is there without the other.

pub mod list;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use service_kit::access::Client;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::State;
use crate::housekeeping::{BATCH, in_batches};

macro_rules! actions {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal;)+) => {
        /// What was done. The text is part of the API and never changes.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub enum Action { $($(#[doc = $doc])+ $name,)+ }

        impl Action {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

actions! {
    /// Somebody created an account.
    SignedUp = "account.signed-up";
    /// An administrator created an account, or the service the first administrator's.
    Created = "account.created";
    /// Somebody changed their username.
    Renamed = "account.renamed";
    /// Somebody has mail written in another language.
    LanguageChanged = "account.language-changed";
    /// An administrator disabled an account.
    Disabled = "account.disabled";
    /// An administrator enabled an account again.
    Enabled = "account.enabled";
    /// An administrator gave an account other roles.
    RolesChanged = "account.roles-changed";
    /// An administrator limited an operator to other groups of sites, or to none.
    SiteGroupsChanged = "account.site-groups-changed";
    /// Somebody deleted their account, or an administrator did.
    Erased = "account.erased";
    /// Somebody asked for another address.
    EmailChangeRequested = "email.change-requested";
    /// An account has another address.
    EmailChanged = "email.changed";
    /// Somebody showed to read the mail of their account.
    EmailVerified = "email.verified";
    /// Somebody who knew the password changed it.
    PasswordChanged = "password.changed";
    /// Somebody asked for a code for a new password.
    PasswordResetRequested = "password.reset-requested";
    /// An administrator demanded another password.
    PasswordResetForced = "password.reset-forced";
    /// Somebody set a new password with a code.
    PasswordReset = "password.reset";
    /// Somebody made an API key.
    ApiKeyCreated = "api-key.created";
    /// An API key was revoked by its account or by an administrator.
    ApiKeyRevoked = "api-key.revoked";
    /// A session started.
    LoggedIn = "session.started";
    /// Sessions were ended by their account or by an administrator.
    SessionsEnded = "session.ended";
    /// An authenticator app is asked for a code from now on.
    TotpAdded = "totp.added";
    /// The authenticator app was taken away.
    TotpRemoved = "totp.removed";
    /// There are new recovery codes, and the old ones are void.
    RecoveryCodesRenewed = "recovery-codes.renewed";
    /// The password was right, and the code after it was not.
    SecondFactorFailed = "second-factor.failed";
    /// A passkey was registered.
    PasskeyAdded = "passkey.added";
    /// A passkey got another name.
    PasskeyRenamed = "passkey.renamed";
    /// A passkey was taken away.
    PasskeyRemoved = "passkey.removed";
    /// The counter of a passkey went back, as with a copy of it.
    PasskeySuspected = "passkey.suspected";
    /// A used refresh token was shown again, and its session ended for it.
    RefreshTokenReplayed = "session.replayed";
    /// An administrator replaced the keys that sign access tokens.
    SigningKeysRotated = "signing-keys.rotated";
}

/// A row of the log, being put together.
#[must_use]
pub struct Entry {
    action: Action,
    at: DateTime<Utc>,
    actor: Option<Uuid>,
    account: Option<Uuid>,
    address: Option<String>,
    device: Option<String>,
    details: Map<String, Value>,
}

impl Entry {
    pub fn new(action: Action, at: DateTime<Utc>, client: &Client) -> Self {
        Self {
            action,
            at,
            actor: None,
            account: None,
            address: Some(client.address.to_string()),
            device: client.device.clone(),
            details: Map::new(),
        }
    }

    /// What the service does of its own accord.
    pub fn unasked(action: Action, at: DateTime<Utc>) -> Self {
        Self {
            action,
            at,
            actor: None,
            account: None,
            address: None,
            device: None,
            details: Map::new(),
        }
    }

    /// The account that does it; without, somebody who is not logged in.
    pub fn by(mut self, actor: Uuid) -> Self {
        self.actor = Some(actor);
        self
    }

    /// The account that it is done to.
    pub fn on(mut self, account: Uuid) -> Self {
        self.account = Some(account);
        self
    }

    /// What else there is to say. Never a secret.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

pub async fn record(connection: &mut PgConnection, entry: Entry) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO authentication.audit (id, at, actor_id, action, account_id, address, device, details)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        Uuid::now_v7(),
        entry.at,
        entry.actor,
        entry.action.as_str(),
        entry.account,
        entry.address,
        entry.device,
        Value::Object(entry.details),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes what is older than it has to be kept.
pub async fn prune(state: &State) -> Result<(), sqlx::Error> {
    in_batches(|| {
        sqlx::query!(
            "DELETE FROM authentication.audit WHERE id IN (
                 SELECT id FROM authentication.audit WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
             )",
            state.clock.now() - state.audit_retention,
            BATCH
        )
        .execute(&state.database)
    })
    .await
}

/// Takes away what tells of the person whose account this was, and leaves that something happened. An address and a device
/// are those of who did it: they go where that was this account, or nobody who was logged in. Details are about whom it was
/// done to: what an administrator did to others stays to be seen when the administrator is gone.
pub async fn anonymise(connection: &mut PgConnection, account: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE authentication.audit
         SET address = CASE WHEN coalesce(actor_id, $1) <> $1 THEN address END,
             device = CASE WHEN coalesce(actor_id, $1) <> $1 THEN device END,
             details = CASE WHEN account_id = $1 THEN '{}' ELSE details END
         WHERE account_id = $1 OR actor_id = $1",
        account
    )
    .execute(connection)
    .await?;
    Ok(())
}
