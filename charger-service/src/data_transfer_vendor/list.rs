//! Vendors, one or a page of them. Their names are compared without case, in the look-up and in the order.

use service_kit::database;
use service_kit::page::{self, PageSize};
use service_kit::reason::{FieldViolation, Reason};
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{DataTransferVendor, ListDataTransferVendorsRequest, ListDataTransferVendorsResponse};

use super::Row;

#[derive(Debug)]
pub(super) struct Page {
    size: PageSize,
    /// The last name seen, in lower case.
    after: Option<String>,
}

impl TryFrom<ListDataTransferVendorsRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListDataTransferVendorsRequest) -> Result<Self, Self::Error> {
        let (size, after) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self { size, after })
    }
}

#[derive(Debug, Error)]
pub(super) enum GetError {
    #[error("there is no such vendor")]
    NotFound,
    #[error("the vendor could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<GetError> for Status {
    fn from(error: GetError) -> Self {
        match error {
            GetError::NotFound => Reason::NotFound.status("There is no such vendor"),
            GetError::Database(error) => database::failed(&error),
        }
    }
}

#[derive(Debug, Error)]
#[error("the vendors could not be read")]
pub(super) struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

/// By name.
pub(super) async fn list(database: &PgPool, page: Page) -> Result<ListDataTransferVendorsResponse, ListError> {
    let mut connection = database::begin(database).await?;
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT vendor_id, url, message_ids, timeout_seconds, created_at, updated_at, revision
           FROM ocpp.data_transfer_vendor
           WHERE lower(vendor_id) > $1 COLLATE "C" ORDER BY lower(vendor_id) LIMIT $2"#,
        page.after.unwrap_or_default(),
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    // In collation "C" lower() changes ASCII letters only.
    let next_page_token = page.size.cut(&mut rows, |row| row.vendor_id.to_ascii_lowercase());
    Ok(ListDataTransferVendorsResponse {
        vendors: rows.into_iter().map(DataTransferVendor::from).collect(),
        next_page_token,
    })
}

pub(super) async fn get(database: &PgPool, vendor_id: &str) -> Result<Row, GetError> {
    read(&mut *database::begin(database).await?, vendor_id).await
}

/// As the transaction sees it that the connection is in.
pub(super) async fn read(connection: &mut PgConnection, vendor_id: &str) -> Result<Row, GetError> {
    sqlx::query_as!(
        Row,
        r#"SELECT vendor_id, url, message_ids, timeout_seconds, created_at, updated_at, revision
           FROM ocpp.data_transfer_vendor WHERE lower(vendor_id) = lower($1 COLLATE "C")"#,
        vendor_id,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(GetError::NotFound)
}
