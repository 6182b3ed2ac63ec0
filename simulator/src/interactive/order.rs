//! What can be typed.

use clap::ValueEnum as _;

use crate::saying::Status;

pub const HELP: &str = "\
plug [CONNECTOR]                     put the cable in
unplug [CONNECTOR]                   pull it, which ends a charge
start TAG [CONNECTOR]                hold a card to the reader
stop [CONNECTOR]                     end the charge
status STATUS [CONNECTOR] [ERROR]    be Faulted, Unavailable, …; connector 0 is the charge point as a whole
meter [CONNECTOR]                    send a meter value now
heartbeat, boot                      send one now
offline, online                      lose the connection; what is charged meanwhile is told later
show                                 how the connectors are
quit";

/// One of them. The connector is the first one where none is named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    Plug(u32),
    Unplug(u32),
    Start {
        id_token: String,
        connector: u32,
    },
    Stop(u32),
    Status {
        status: Status,
        connector: u32,
        error: String,
    },
    Meter(u32),
    Heartbeat,
    Boot,
    Offline,
    Online,
    Show,
    Help,
    Quit,
}

impl Order {
    /// None of an empty line.
    ///
    /// # Errors
    /// It cannot be understood; what to tell the person.
    pub fn parse(line: &str) -> Result<Option<Self>, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        let Some((&verb, rest)) = words.split_first() else {
            return Ok(None);
        };
        Ok(Some(match (verb.to_ascii_lowercase().as_str(), rest) {
            ("plug", rest) => Self::Plug(only_connector(rest)?),
            ("unplug", rest) => Self::Unplug(only_connector(rest)?),
            ("start", [id_token, rest @ ..]) => Self::Start {
                id_token: (*id_token).to_owned(),
                connector: only_connector(rest)?,
            },
            ("stop", rest) => Self::Stop(only_connector(rest)?),
            ("status", [status, rest @ ..]) => Self::status(status, rest)?,
            ("meter", rest) => Self::Meter(only_connector(rest)?),
            ("heartbeat", []) => Self::Heartbeat,
            ("boot", []) => Self::Boot,
            ("offline", []) => Self::Offline,
            ("online", []) => Self::Online,
            ("show", []) => Self::Show,
            ("help" | "?", []) => Self::Help,
            ("quit" | "exit", []) => Self::Quit,
            _ => return Err(format!("`{line}` is not understood; `help` lists what is")),
        }))
    }

    fn status(status: &str, rest: &[&str]) -> Result<Self, String> {
        let status = Status::from_str(status, true).map_err(|_| {
            let all: Vec<_> = Status::value_variants()
                .iter()
                .map(|status| format!("{status:?}"))
                .collect();
            format!("`{status}` is no status: {}", all.join(", "))
        })?;
        let (connector, error) = match rest {
            [] => (1, None),
            [number] => match number.parse() {
                Ok(connector) => (connector, None),
                Err(_) => (1, Some(*number)),
            },
            [number, error] => (only_connector(&[number])?, Some(*error)),
            _ => return Err("a status is followed by a connector and an error code at the most".to_owned()),
        };
        // What a fault is called where nobody says.
        let usual = if status == Status::Faulted {
            "InternalError"
        } else {
            "NoError"
        };
        Ok(Self::Status {
            status,
            connector,
            error: error.unwrap_or(usual).to_owned(),
        })
    }
}

fn only_connector(rest: &[&str]) -> Result<u32, String> {
    match rest {
        [] => Ok(1),
        [number] => number.parse().map_err(|_| format!("`{number}` is no connector")),
        _ => Err("one connector at a time".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_understood() {
        let order = |line| Order::parse(line).expect("it is understood");
        assert_eq!(order("plug"), Some(Order::Plug(1)));
        assert_eq!(order(" Unplug 2 "), Some(Order::Unplug(2)));
        let start = Order::Start {
            id_token: "CARD1".into(),
            connector: 2,
        };
        assert_eq!(order("start CARD1 2"), Some(start));
        let faulted = |connector, error: &str| {
            Some(Order::Status {
                status: Status::Faulted,
                connector,
                error: error.into(),
            })
        };
        assert_eq!(order("status Faulted"), faulted(1, "InternalError"));
        assert_eq!(order("status faulted 0 GroundFailure"), faulted(0, "GroundFailure"));
        assert_eq!(order("status Faulted GroundFailure"), faulted(1, "GroundFailure"));
        assert!(matches!(
            order("status suspendedev 1"),
            Some(Order::Status {
                status: Status::SuspendedEv,
                ..
            })
        ));
        assert_eq!(order("  "), None);
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for line in ["start", "plug one", "status Broken", "plug 1 2", "fly", "stop -1"] {
            assert!(Order::parse(line).is_err(), "{line}");
        }
    }
}
