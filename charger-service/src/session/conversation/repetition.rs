//! CALLs that a charge point sends again on the same socket.
//!
//! One that comes in while its answer is due is served by that answer. One about a transaction that comes in just after it
//! was answered is given the same answer again: the first was not heard. Others are never taken for repetitions then, since
//! a counter of message ids may have started anew, and a heartbeat looks like every other.

use std::collections::VecDeque;

use ocpp::frame::Call;
use sha2::{Digest, Sha256};

/// As many answers are remembered; more than any charge point can have in mind.
const MOST: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Answers(VecDeque<Remembered>);

#[derive(Debug)]
struct Remembered {
    call: Fingerprint,
    /// The number of the last frame that had come in when the answer left.
    in_time: u64,
    reply: String,
    /// Whether the answer may be given again.
    is_for_good: bool,
}

/// Message id, action and payload, the latter to the letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

/// What a CALL repeats.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Repetition<'a> {
    /// It came in before the answer had left, which serves both.
    Served { by: &'a str },
    /// Its answer is given again.
    Again { reply: &'a str },
}

impl Fingerprint {
    pub(super) fn of(call: &Call<'_>) -> Self {
        let mut digest = Sha256::new();
        for part in [call.id.as_ref(), call.action.as_ref(), call.payload.get()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        Self(digest.finalize().into())
    }
}

impl Answers {
    /// Whether the CALL in the frame of this number repeats another one.
    pub(super) fn repetition(&self, call: Fingerprint, number: u64) -> Option<Repetition<'_>> {
        let known = self.0.iter().rev().find(|known| known.call == call)?;
        if number <= known.in_time {
            Some(Repetition::Served { by: &known.reply })
        } else if known.is_for_good {
            Some(Repetition::Again { reply: &known.reply })
        } else {
            None
        }
    }

    /// An answer leaves, when the frames up to `in_time` have come in.
    pub(super) fn remember(&mut self, call: Fingerprint, reply: &str, in_time: u64, is_for_good: bool) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Remembered {
            call,
            in_time,
            reply: reply.to_owned(),
            is_for_good,
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ocpp::frame::Frame;

    use super::*;

    fn fingerprint(frame: &str) -> Fingerprint {
        match Frame::parse(frame).unwrap() {
            Frame::Call(call) => Fingerprint::of(&call),
            other => panic!("{other:?} is no CALL"),
        }
    }

    #[test]
    fn what_came_in_before_the_answer_left_is_served_by_it_whatever_it_asks() {
        let call = fingerprint(r#"[2,"1","Heartbeat",{}]"#);
        let mut answers = Answers::default();
        answers.remember(call, "now", 7, false);
        assert_eq!(answers.repetition(call, 7), Some(Repetition::Served { by: "now" }));
        assert_eq!(answers.repetition(call, 8), None);
    }

    #[test]
    fn the_same_answer_is_given_again_where_it_holds_for_good() {
        let call = fingerprint(r#"[2,"1","StopTransaction",{"transactionId":1}]"#);
        let mut answers = Answers::default();
        answers.remember(call, "stopped", 7, true);
        assert_eq!(
            answers.repetition(call, 8),
            Some(Repetition::Again { reply: "stopped" })
        );
        for other in [
            r#"[2,"1","StopTransaction",{"transactionId":2}]"#,
            r#"[2,"2","StopTransaction",{"transactionId":1}]"#,
        ] {
            assert_eq!(answers.repetition(fingerprint(other), 8), None, "{other}");
        }
    }

    #[test]
    fn only_the_latest_answers_are_remembered() {
        let mut answers = Answers::default();
        let call = |id: usize| fingerprint(&format!(r#"[2,"{id}","StopTransaction",{{}}]"#));
        for id in 0..=MOST {
            answers.remember(call(id), "", 0, true);
        }
        assert_eq!(answers.repetition(call(0), 99), None);
        assert!(answers.repetition(call(MOST), 99).is_some());
    }
}
