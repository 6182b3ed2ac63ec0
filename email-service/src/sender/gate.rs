//! The moment before a mail may be out.

use async_trait::async_trait;
use sqlx::PgPool;
use uuid::Uuid;

use crate::message::{self, Lease};
use crate::transport::{Gate, SendError, Verdict};

/// Lets a mail out while its message is still this sender's, and notes that it may be out from then on.
pub(super) struct LeaseGate<'a> {
    pub database: &'a PgPool,
    pub message: Uuid,
    pub lease: Lease,
}

#[async_trait]
impl Gate for LeaseGate<'_> {
    async fn pass(&self) -> Result<(), SendError> {
        match message::begin_handing_over(self.database, self.message, self.lease).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(SendError::new(Verdict::Later, "another sender has it")),
            Err(_) => Err(SendError::new(Verdict::Later, "the database does not answer")),
        }
    }
}
