//! The station's door: a charge point's WebSocket, carried to its service as a gRPC stream.
//!
//! An RPC of the right form (`routes::Kind::Door`) is all there is to know; nothing here knows OCPP. The service decides
//! before there is a socket: its refusal is an HTTP answer, its consent chooses the subprotocol. From then on text frames
//! go both ways unread, one at a time, so that a slow side slows the other down instead of filling memory.
//!
//! `door` answers the upgrade, `pump` carries frames, `socket` and `service_stream` are the two ends it holds.

mod compression;
mod door;
mod frames;
mod handshake;
mod pump;
mod service_stream;
mod socket;
mod sockets;
mod transport;

pub use door::admit;
pub use sockets::Sockets;
