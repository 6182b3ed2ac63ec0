//! The versions of OCPP: the one place that knows which there are.
//!
//! Another one is a variant here and a module beside `v1_6`, which has the same functions: it writes what a charge point says
//! ([`Saying`]), reads what it is answered ([`Answer`]) and asked for ([`Wish`]), and writes what it answers ([`Reply`]).

use clap::ValueEnum;
use serde_json::value::RawValue;

use crate::saying::{Answer, Kind, Reply, Saying, Wish};
use crate::v1_6;

/// A version of OCPP.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Version {
    #[default]
    #[value(name = "1.6")]
    V1_6,
}

impl Version {
    /// Its name in the WebSocket's handshake.
    pub fn subprotocol(self) -> &'static str {
        match self {
            Self::V1_6 => "ocpp1.6",
        }
    }

    /// What it calls something that is said.
    pub fn action(self, kind: Kind) -> &'static str {
        match self {
            Self::V1_6 => v1_6::action(kind),
        }
    }

    /// Appends the CALL that says it.
    pub fn write_call(self, id: u64, saying: &Saying<'_>, frame: &mut String) {
        match self {
            Self::V1_6 => v1_6::write_call(id, saying, frame),
        }
    }

    /// What the payload of a CALLRESULT means.
    ///
    /// # Errors
    /// It has not what the version says it has.
    pub fn read_answer(self, kind: Kind, payload: &RawValue) -> Result<Answer, serde_json::Error> {
        match self {
            Self::V1_6 => v1_6::read_answer(kind, payload.get()),
        }
    }

    /// What a CALL of the central system wants.
    pub fn read_wish(self, action: &str, payload: &RawValue) -> Wish {
        match self {
            Self::V1_6 => v1_6::read_wish(action, payload.get()),
        }
    }

    /// The frame that answers it.
    pub fn write_reply(self, id: &str, wish: &Wish, reply: &Reply) -> String {
        match self {
            Self::V1_6 => v1_6::write_reply(id, wish, reply),
        }
    }
}
