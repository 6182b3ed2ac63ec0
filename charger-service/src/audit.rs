//! The audit log: every change of charge points, connectors, id tokens, sites, tariffs, charging profile templates, vendors
//! and campaigns, every wish for a local list or a configuration, every decision about a dead letter, and every command,
//! with who did it, when, and from where. A row is written in the transaction of the change, so that neither is there
//! without the other. It goes when it is older than it is kept.

mod list;

pub use self::list::Grpc;

use std::fmt;
use std::net::SocketAddr;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use service_kit::access::{Caller, Client};
use sqlx::{PgConnection, PgPool};
use tonic::Request;
use uuid::Uuid;

use crate::housekeeping::in_batches;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    ChargePointCreated,
    ChargePointUpdated,
    /// It stands under both names.
    ChargePointRenamed,
    /// Another device is in its place.
    ChargePointReplaced,
    ChargePointRetired,
    ChargePointRestored,
    /// A password was made for a charge point, because its security profile asks for one now.
    PasswordMade,
    /// How it is received at its next boot.
    RegistrationReplaced,
    /// What it is that a connector can do, and what is printed on it.
    ConnectorDeclared,
    ConnectorUndeclared,
    /// Taken off the list of those that nobody has registered.
    UnknownDismissed,
    IdTokenCreated,
    IdTokenUpdated,
    IdTokenDeleted,
    DataTransferVendorCreated,
    DataTransferVendorUpdated,
    DataTransferVendorDeleted,
    SiteCreated,
    SiteUpdated,
    SiteDeleted,
    TariffCreated,
    TariffReplaced,
    TariffDeleted,
    ChargingProfileTemplateCreated,
    ChargingProfileTemplateReplaced,
    ChargingProfileTemplateDeleted,
    /// Sent to connectors. Each command has an entry of its own besides.
    ChargingProfileTemplateApplied,
    /// What a local list should hold was stated, or is stated no longer.
    LocalListDesired,
    LocalListWithdrawn,
    /// Asked for. What became of it, the ledger says.
    LocalListSynchronized,
    /// What a configuration key should be was stated, or is stated no longer.
    ConfigurationDesired,
    ConfigurationWithdrawn,
    /// A command was taken in. What became of it, the ledger says.
    CommandRequested,
    StrayAttached,
    StrayMerged,
    StrayDismissed,
    /// By an operator, because its stop never came.
    TransactionClosed,
    /// Its event was taken in after all.
    DeadLetterRedriven,
    DeadLetterDeleted,
    FirmwareUploaded,
    /// Whoever had sent it.
    FileDeleted,
    CampaignCreated,
    /// By an operator, or by itself because too many had failed.
    CampaignPaused,
    CampaignResumed,
    CampaignCanceled,
}

impl Action {
    /// Part of the API, and never changed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChargePointCreated => "charge-point.created",
            Self::ChargePointUpdated => "charge-point.updated",
            Self::ChargePointRenamed => "charge-point.renamed",
            Self::ChargePointReplaced => "charge-point.replaced",
            Self::ChargePointRetired => "charge-point.retired",
            Self::ChargePointRestored => "charge-point.restored",
            Self::PasswordMade => "charge-point.password-made",
            Self::RegistrationReplaced => "charge-point.registration-replaced",
            Self::ConnectorDeclared => "connector.declared",
            Self::ConnectorUndeclared => "connector.undeclared",
            Self::UnknownDismissed => "unknown-charge-point.dismissed",
            Self::IdTokenCreated => "id-token.created",
            Self::IdTokenUpdated => "id-token.updated",
            Self::IdTokenDeleted => "id-token.deleted",
            Self::DataTransferVendorCreated => "data-transfer-vendor.created",
            Self::DataTransferVendorUpdated => "data-transfer-vendor.updated",
            Self::DataTransferVendorDeleted => "data-transfer-vendor.deleted",
            Self::SiteCreated => "site.created",
            Self::SiteUpdated => "site.updated",
            Self::SiteDeleted => "site.deleted",
            Self::TariffCreated => "tariff.created",
            Self::TariffReplaced => "tariff.replaced",
            Self::TariffDeleted => "tariff.deleted",
            Self::ChargingProfileTemplateCreated => "charging-profile-template.created",
            Self::ChargingProfileTemplateReplaced => "charging-profile-template.replaced",
            Self::ChargingProfileTemplateDeleted => "charging-profile-template.deleted",
            Self::ChargingProfileTemplateApplied => "charging-profile-template.applied",
            Self::LocalListDesired => "local-list.desired",
            Self::LocalListWithdrawn => "local-list.withdrawn",
            Self::LocalListSynchronized => "local-list.synchronize-requested",
            Self::ConfigurationDesired => "configuration.desired",
            Self::ConfigurationWithdrawn => "configuration.withdrawn",
            Self::CommandRequested => "command.requested",
            Self::StrayAttached => "stray.attached",
            Self::StrayMerged => "stray.merged",
            Self::StrayDismissed => "stray.dismissed",
            Self::TransactionClosed => "transaction.closed",
            Self::DeadLetterRedriven => "dead-letter.redriven",
            Self::DeadLetterDeleted => "dead-letter.deleted",
            Self::FirmwareUploaded => "firmware.uploaded",
            Self::FileDeleted => "file.deleted",
            Self::CampaignCreated => "campaign.created",
            Self::CampaignPaused => "campaign.paused",
            Self::CampaignResumed => "campaign.resumed",
            Self::CampaignCanceled => "campaign.canceled",
        }
    }
}

/// Who does something, and from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    who: Who,
    /// None where it is this process.
    client: Option<Client>,
    /// An operator who asks as a driver is one.
    as_driver: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Account(Uuid),
    Service(String),
    Anonymous,
}

impl Author {
    pub fn of<T>(request: &Request<T>) -> Self {
        let who = match Caller::of(request) {
            Caller::Account { id, .. } => Who::Account(id),
            Caller::Service { name } => Who::Service(name),
            Caller::Anonymous => Who::Anonymous,
        };
        Self {
            who,
            client: Some(Client::of(request)),
            as_driver: false,
        }
    }

    /// Whoever asks for something as a driver.
    pub fn of_driver<T>(request: &Request<T>) -> Self {
        Self {
            as_driver: true,
            ..Self::of(request)
        }
    }

    /// A charge point at the door, of which no more is known than where it is.
    pub fn at_the_door(peer: Option<&str>) -> Self {
        let address = peer.and_then(|peer| peer.parse::<SocketAddr>().ok());
        Self {
            who: Who::Anonymous,
            client: address.map(|address| Client::at(address.ip())),
            as_driver: false,
        }
    }

    /// This process, for what follows from an event.
    pub fn ourselves(name: &str) -> Self {
        Self {
            who: Who::Service(name.to_owned()),
            client: None,
            as_driver: false,
        }
    }

    /// An account that asked for something which this process does for it later.
    pub fn on_behalf_of(account: Uuid) -> Self {
        Self {
            who: Who::Account(account),
            client: None,
            as_driver: false,
        }
    }

    pub fn account(&self) -> Option<Uuid> {
        match self.who {
            Who::Account(id) => Some(id),
            Who::Service(_) | Who::Anonymous => None,
        }
    }
}

/// As the ledger of commands keeps it.
impl fmt::Display for Author {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Who::Account(id) if self.as_driver => write!(formatter, "driver {id}"),
            Who::Account(id) => write!(formatter, "account {id}"),
            Who::Service(name) => write!(formatter, "service {name}"),
            Who::Anonymous => formatter.write_str("anonymous"),
        }
    }
}

/// A row of the log, being put together.
#[must_use]
pub struct Entry<'a> {
    action: Action,
    at: DateTime<Utc>,
    author: &'a Author,
    charge_point: Option<&'a str>,
    id_token: Option<&'a str>,
    details: Map<String, Value>,
}

impl<'a> Entry<'a> {
    pub fn new(action: Action, at: DateTime<Utc>, author: &'a Author) -> Self {
        Self {
            action,
            at,
            author,
            charge_point: None,
            id_token: None,
            details: Map::new(),
        }
    }

    /// The charge point of this identity is what it is done to.
    pub fn on_charge_point(mut self, identity: &'a str) -> Self {
        self.charge_point = Some(identity);
        self
    }

    /// This id token is what it is done to.
    pub fn on_id_token(mut self, value: &'a str) -> Self {
        self.id_token = Some(value);
        self
    }

    /// What else there is to say, where there is something. Never a secret.
    pub fn with(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.details.insert(name.to_owned(), value.into());
        }
        self
    }
}

pub async fn record(connection: &mut PgConnection, entry: Entry<'_>) -> Result<(), sqlx::Error> {
    record_all(connection, [entry]).await
}

/// Several, by one statement.
pub async fn record_all<'a>(
    connection: &mut PgConnection,
    entries: impl IntoIterator<Item = Entry<'a>>,
) -> Result<(), sqlx::Error> {
    let entries: Vec<_> = entries.into_iter().collect();
    // Ids that are made one after the other are in that order.
    let ids: Vec<_> = entries.iter().map(|_| Uuid::now_v7()).collect();
    let column = |value: fn(&Entry<'a>) -> Option<String>| entries.iter().map(value).collect::<Vec<_>>();
    let at: Vec<_> = entries.iter().map(|entry| entry.at).collect();
    let actors: Vec<_> = entries.iter().map(|entry| entry.author.account()).collect();
    let actions: Vec<_> = entries.iter().map(|entry| entry.action.as_str()).collect();
    let charge_points = column(|entry| entry.charge_point.map(str::to_owned));
    let id_tokens = column(|entry| entry.id_token.map(str::to_owned));
    let addresses = column(|entry| entry.author.client.as_ref().map(|client| client.address.to_string()));
    let devices = column(|entry| entry.author.client.as_ref()?.device.clone());
    let details: Vec<_> = entries.into_iter().map(|entry| Value::Object(entry.details)).collect();
    sqlx::query!(
        "INSERT INTO ocpp.audit (id, at, actor_id, action, charge_point, id_token, address, device, details)
         SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[],
             $8::text[], $9::jsonb[])",
        &ids,
        &at as &[DateTime<Utc>],
        &actors as &[Option<Uuid>],
        &actions as &[&str],
        &charge_points as &[Option<String>],
        &id_tokens as &[Option<String>],
        &addresses as &[Option<String>],
        &devices as &[Option<String>],
        &details as &[Value],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes what is older than it is kept.
pub async fn prune(database: &PgPool, now: DateTime<Utc>, retention: TimeDelta) -> Result<(), sqlx::Error> {
    in_batches(|at_once| async move {
        let pruned = sqlx::query!(
            "DELETE FROM ocpp.audit WHERE id IN (
                 SELECT id FROM ocpp.audit WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)",
            now - retention,
            at_once,
        )
        .execute(database)
        .await?;
        Ok(pruned.rows_affected())
    })
    .await
}
