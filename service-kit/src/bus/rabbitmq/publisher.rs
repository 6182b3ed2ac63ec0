//! Publishing: persistent, mandatory, confirmed; what expires with the time that it has left as its TTL.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{ShortString, ShortStringError};
use lapin::{BasicProperties, Channel, Confirmation, Connection, PublisherConfirm};
use prost::Message;

use super::{ConnectError, RabbitMq, topology};
use crate::bus::{Outcome, Publisher, Unavailable};
use crate::clock::{Clock, SystemClock};
use crate::event::{self, Event};

/// What tells a consumer how to read a message without knowing Voltgate.
const CONTENT_TYPE: &str = "application/protobuf";
/// Written to disk before it is confirmed.
const PERSISTENT: u8 = 2;

/// Keeps one connection as long as it works, and makes a new one when asked to publish without.
pub struct RabbitMqPublisher {
    broker: RabbitMq,
    link: Option<Link>,
}

/// The channel dies with its connection, so they are kept and dropped together.
struct Link {
    channel: Channel,
    _connection: Connection,
}

impl RabbitMqPublisher {
    pub(super) fn new(broker: RabbitMq) -> Self {
        Self { broker, link: None }
    }

    /// Takes the link out, so that whoever is interrupted while using it leaves none behind: confirms of what was cut
    /// short must never be taken for those of the next batch.
    async fn take_link(&mut self) -> Result<Link, ConnectError> {
        match self.link.take() {
            Some(link) if link.channel.status().connected() => Ok(link),
            Some(_) | None => self.connect().await,
        }
    }

    async fn connect(&self) -> Result<Link, ConnectError> {
        let connection = self.broker.connect("voltgate publisher").await?;
        let channel = connection.create_channel().await?;
        topology::declare_for_publisher(&channel).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        tracing::info!(broker = %self.broker, "Events are published to RabbitMQ");
        Ok(Link {
            channel,
            _connection: connection,
        })
    }
}

#[async_trait]
impl Publisher for RabbitMqPublisher {
    async fn publish(&mut self, events: &[Event]) -> Result<Vec<Outcome>, Unavailable> {
        let link = self
            .take_link()
            .await
            .map_err(|error| Unavailable::because(error.to_string()))?;

        // All are sent before the first confirm is awaited: one round trip for the batch, not one for each.
        let mut sent = Vec::with_capacity(events.len());
        for event in events {
            sent.push(send(&link.channel, event).await);
        }
        let mut outcomes = Vec::with_capacity(events.len());
        let mut lost = None;
        for sent in sent {
            let confirmed = match sent {
                Ok(confirm) => confirm.await.map_err(NotSent::Lost),
                Err(error) => Err(error),
            };
            outcomes.push(match confirmed {
                Ok(confirmation) => outcome(confirmation),
                Err(NotSent::Unfit(error)) => Outcome::Reject(error.to_string()),
                Err(NotSent::Lost(error)) => {
                    lost = Some(error.to_string());
                    Outcome::Retry(error.to_string())
                }
            });
        }
        match lost {
            Some(reason) if !outcomes.contains(&Outcome::Published) => Err(Unavailable::because(reason)),
            Some(_) => Ok(outcomes),
            None => {
                // What could not be routed means that somebody deleted a queue: a new link declares it again.
                if !outcomes.iter().any(|outcome| matches!(outcome, Outcome::Retry(_))) {
                    self.link = Some(link);
                }
                Ok(outcomes)
            }
        }
    }
}

enum NotSent {
    /// AMQP has no room for a type, id or source this long.
    Unfit(ShortStringError),
    /// The connection is gone, and nobody knows whether the broker has the event.
    Lost(lapin::Error),
}

async fn send(channel: &Channel, event: &Event) -> Result<PublisherConfirm, NotSent> {
    let routing_key = ShortString::try_new(event.r#type.as_str()).map_err(NotSent::Unfit)?;
    let properties = properties(event, SystemClock.now()).map_err(NotSent::Unfit)?;
    let exchange = match event.expires_at {
        Some(_) => topology::EXPIRING,
        None => topology::EVENTS,
    };
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    channel
        .basic_publish(
            exchange.into(),
            routing_key,
            options,
            &event.encode_to_vec(),
            properties,
        )
        .await
        .map_err(NotSent::Lost)
}

fn properties(event: &Event, now: DateTime<Utc>) -> Result<BasicProperties, ShortStringError> {
    let properties = BasicProperties::default()
        .with_content_type(CONTENT_TYPE.into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(ShortString::try_new(event.id.as_str())?)
        .with_type(ShortString::try_new(event.r#type.as_str())?)
        .with_app_id(ShortString::try_new(event.source.as_str())?);
    let properties = match event.expires_at {
        Some(_) => properties.with_expiration(time_to_live(event, now).to_string().as_str().into()),
        None => properties,
    };
    let seconds = event::time(event)
        .ok()
        .and_then(|time| u64::try_from(time.timestamp()).ok());
    Ok(match seconds {
        Some(seconds) => properties.with_timestamp(seconds),
        None => properties,
    })
}

/// What an event that expires has left, in milliseconds. With nothing left RabbitMQ drops it, unless a consumer takes it at once.
fn time_to_live(event: &Event, now: DateTime<Utc>) -> u32 {
    let left = match event::expires_at(event) {
        Ok(Some(at)) => (at - now).num_milliseconds().max(0),
        Ok(None) | Err(_) => 0,
    };
    // RabbitMQ takes no more.
    u32::try_from(left).unwrap_or(u32::MAX)
}

fn outcome(confirmation: Confirmation) -> Outcome {
    match confirmation {
        Confirmation::Ack(None) => Outcome::Published,
        Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
            Outcome::Retry(format!("RabbitMQ returned it: {}", returned.reply_text))
        }
        Confirmation::Nack(None) => Outcome::Retry("RabbitMQ refused it".to_owned()),
        Confirmation::NotRequested => Outcome::Retry("the channel does not confirm what it publishes".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use voltgate_proto::events::v1::PasswordResetRequested;

    use super::*;

    #[test]
    fn a_message_lives_as_long_as_its_event_has_left() {
        let noon = DateTime::UNIX_EPOCH + TimeDelta::hours(12);
        let ttl = |left: TimeDelta| {
            let event = event::expiring("test", noon, noon + left, &PasswordResetRequested::default());
            time_to_live(&event, noon)
        };
        assert_eq!(ttl(TimeDelta::minutes(10)), 600_000);
        assert_eq!(ttl(TimeDelta::microseconds(1)), 0);
        assert_eq!(ttl(-TimeDelta::minutes(10)), 0);
        assert_eq!(ttl(TimeDelta::days(365)), u32::MAX);
    }
}
