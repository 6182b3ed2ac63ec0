//! The charge points that stand at a site.

use service_kit::database;
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use voltgate_proto::ocpp::v1::{ListChargePointsRequest, ListChargePointsResponse, ListSiteChargePointsRequest};

use super::list::{GetError, parse_id, read};
use crate::charge_point::list;

#[derive(Debug)]
pub struct Page {
    site: String,
    page: list::Page,
}

impl TryFrom<ListSiteChargePointsRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListSiteChargePointsRequest) -> Result<Self, Self::Error> {
        let page = ListChargePointsRequest {
            page_size: request.page_size,
            page_token: request.page_token,
        };
        Ok(Self {
            site: request.id,
            page: page.try_into()?,
        })
    }
}

/// By identity.
pub async fn list(database: &PgPool, page: Page) -> Result<ListChargePointsResponse, GetError> {
    let site = parse_id(&page.site)?;
    let mut connection = database::begin(database).await?;
    read(&mut connection, site).await?;
    Ok(list::list_of_site(&mut connection, site, page.page).await?)
}
