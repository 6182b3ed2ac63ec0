//! Where a charge point stands, as events say it.

use uuid::Uuid;
use voltgate_proto::events::v1::Place;

use crate::site::DEFAULT_TIME_ZONE;

/// What a row says of the site; nothing where there is none.
pub(super) fn place(
    id: Option<Uuid>,
    name: Option<String>,
    groups: Option<Vec<String>>,
    time_zone: Option<String>,
) -> Place {
    Place {
        site_id: id.map(|id| id.to_string()),
        site_name: name.unwrap_or_default(),
        groups: groups.unwrap_or_default(),
        time_zone: time_zone.unwrap_or_else(|| DEFAULT_TIME_ZONE.to_owned()),
    }
}
