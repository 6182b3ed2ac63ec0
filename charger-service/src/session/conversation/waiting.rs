//! A connection that has not taken over yet. It is not read beyond its first frame.

use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout};
use tonic::Status;
use voltgate_proto::ocpp::v1::{Leaving, ToStation, to_station};

use super::{FAREWELL, HANDING_OVER, RETRY, unnumbered};
use crate::State;
use crate::registry::Handle;
use crate::session::inbox::Inbox;
use crate::session::takeover::{self, Candidate};

/// Waits for the first frame, or long enough, and takes over then. None where the socket closes before, or goes on on another
/// stream.
pub(super) async fn take_over(
    state: &State,
    candidate: Candidate,
    inbox: &mut Inbox,
    outbound: &mpsc::Sender<Result<ToStation, Status>>,
) -> Option<Handle> {
    let via = candidate.via;
    let turn_has_come = tokio::select! {
        () = inbox.filled() => inbox.has_frame(),
        () = sleep_until(candidate.until) => true,
        () = state.shutdown.cancelled() => {
            hand_over(inbox, outbound).await;
            return None;
        }
    };
    if !turn_has_come {
        tracing::info!("A new connection ended before it took over");
        // Where it was the stream that broke, the socket may be there still.
        if matches!(inbox.next().await, Ok(Some(_)))
            && let Err(error) = takeover::withdraw(&state.database, via).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "A connection that is gone could not be forgotten; that is done later"
            );
        }
        return None;
    }
    let taken = takeover::take_over(&state.database, &state.sessions, via, state.instance, state.clock.now());
    match taken.await {
        Ok(handle) => Some(handle),
        Err(error) => {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "A connection cannot take over, because the database failed"
            );
            sleep(RETRY).await;
            let last = Err(Status::unavailable("The database is away"));
            // Where the gateway does not take it, it learns from the end of the stream.
            let _ = timeout(FAREWELL, outbound.send(last)).await;
            None
        }
    }
}

/// Another replica goes on with it.
async fn hand_over(inbox: &mut Inbox, outbound: &mpsc::Sender<Result<ToStation, Status>>) {
    let leaving = unnumbered(to_station::Event::Leaving(Leaving {}));
    let handed_over = async {
        if outbound.send(Ok(leaving)).await.is_ok() {
            // What still comes in is not acknowledged, so the other replica has it too.
            while let Ok(Some(_)) = inbox.next().await {}
        }
    };
    if timeout(HANDING_OVER, handed_over).await.is_err() {
        tracing::warn!("A gateway did not take a new connection elsewhere in time");
    }
}
