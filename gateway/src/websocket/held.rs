//! Frames from the station that the service has not acknowledged. They are sent again when another stream takes over.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message as _;
use voltgate_proto::ocpp::v1::{FromStation, from_station};

/// No more frames are read while so many are held, or so many bytes. A charge point sends a CALL and waits for its answer, so
/// it comes near neither; one that does not is held back by TCP.
const MOST_FRAMES: usize = 16;
const MOST_BYTES: usize = 1024 * 1024;

/// Frames that are held, in their order, encoded as they go to the service.
#[derive(Debug, Default)]
pub struct Held {
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// Every frame up to this number is acknowledged.
    acknowledged: u64,
    /// How many of `frames` the present stream has been given.
    given: usize,
    /// The number of the last frame that any stream was given.
    last_given: u64,
}

impl Held {
    /// Takes a frame, and gives it the next number.
    pub fn push(&mut self, text: String) {
        let number = self.acknowledged + self.frames.len() as u64 + 1;
        let message = FromStation {
            event: Some(from_station::Event::Frame(text)),
            number,
        };
        let encoded = Bytes::from(message.encode_to_vec());
        self.bytes += encoded.len();
        self.frames.push_back(encoded);
    }

    /// Whether no more should be read.
    pub fn is_full(&self) -> bool {
        self.frames.len() >= MOST_FRAMES || self.bytes >= MOST_BYTES
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether the present stream has not been given everything.
    pub fn has_more(&self) -> bool {
        self.given < self.frames.len()
    }

    /// The next frame for the present stream.
    pub fn give(&mut self) -> Option<Bytes> {
        let frame = self.frames.get(self.given).cloned()?;
        self.given += 1;
        self.last_given = self.last_given.max(self.acknowledged + self.given as u64);
        Some(frame)
    }

    /// Lets go of every frame up to `number`. What no stream was given cannot have been acknowledged.
    pub fn acknowledge(&mut self, number: u64) {
        while self.acknowledged < number.min(self.last_given) {
            let Some(frame) = self.frames.pop_front() else {
                return;
            };
            self.bytes -= frame.len();
            self.acknowledged += 1;
            self.given = self.given.saturating_sub(1);
        }
    }

    /// Another stream takes over, and is to be given everything. The number of the last frame that one before it was given.
    pub fn start_over(&mut self) -> u64 {
        self.given = 0;
        self.last_given
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number_of(frame: &Bytes) -> u64 {
        FromStation::decode(frame.clone()).expect("what was encoded").number
    }

    fn give_all(held: &mut Held) -> Vec<u64> {
        std::iter::from_fn(|| held.give())
            .map(|frame| number_of(&frame))
            .collect()
    }

    #[test]
    fn another_stream_is_given_what_was_not_acknowledged_under_its_old_numbers() {
        let mut held = Held::default();
        (0..4).for_each(|turn| held.push(turn.to_string()));
        assert_eq!(give_all(&mut held), [1, 2, 3, 4]);
        held.acknowledge(2);
        held.push("5".into());
        assert_eq!(held.start_over(), 4);
        assert_eq!(give_all(&mut held), [3, 4, 5]);
        held.acknowledge(5);
        assert!(held.is_empty() && !held.has_more());
    }

    #[test]
    fn what_no_stream_was_given_cannot_be_acknowledged() {
        let mut held = Held::default();
        held.push("1".into());
        held.acknowledge(7);
        assert_eq!(give_all(&mut held), [1]);
    }

    #[test]
    fn it_is_full_by_number_or_by_size() {
        let mut held = Held::default();
        (0..MOST_FRAMES).for_each(|_| held.push(String::new()));
        assert!(held.is_full());
        let mut held = Held::default();
        held.push("x".repeat(MOST_BYTES));
        assert!(held.is_full());
        give_all(&mut held);
        held.acknowledge(1);
        assert!(!held.is_full());
    }

    proptest! {
        /// Whatever streams come and go: each is given frames without a gap, from the first that is not acknowledged.
        #[test]
        fn nothing_is_lost_and_the_order_is_kept(steps in prop::collection::vec(0..4u8, 1..200)) {
            let mut held = Held::default();
            let (mut pushed, mut acknowledged, mut given) = (0, 0, 0);
            for step in steps {
                match step {
                    0 => {
                        held.push(String::new());
                        pushed += 1;
                    }
                    1 => if let Some(frame) = held.give() {
                        given += 1;
                        prop_assert_eq!(number_of(&frame), given);
                    },
                    2 if acknowledged < given => {
                        acknowledged += 1;
                        held.acknowledge(acknowledged);
                    }
                    2 => {}
                    _ => {
                        held.start_over();
                        given = acknowledged;
                    }
                }
                prop_assert_eq!(held.is_empty(), acknowledged == pushed);
                prop_assert_eq!(held.has_more(), given < pushed);
            }
        }
    }
}
