//! The station's door: a charge point's WebSocket, carried to its service as a gRPC stream.
//!
//! An RPC of the right form (`routes::Kind::Door`) is all there is to know; nothing here knows OCPP. The service decides
//! before there is a socket: its refusal is an HTTP answer, its consent chooses the subprotocol. From then on text frames
//! go both ways unread, a few at a time, so that a slow side slows the other down instead of filling memory.
//!
//! The socket outlives the service. When a stream breaks, or its replica leaves, another one takes over, and frames that
//! were not acknowledged are sent again (`voltgate.ocpp.v1.SessionService` has the protocol).
//!
//! `door` answers the upgrade, `pump` carries frames, `socket` and `link` are the two ends it holds. `held` keeps what is
//! not acknowledged, and `session` is what it takes to resume.

mod compression;
mod door;
mod exchange;
mod frames;
mod handshake;
mod held;
mod link;
mod pump;
mod service_stream;
mod session;
mod socket;
mod sockets;
mod transport;

pub use door::admit;
pub use exchange::{door_for, exchange, wrong_method};
pub use sockets::Sockets;
