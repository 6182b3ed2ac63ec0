//! What the gateway sends, read a little ahead of what is dealt with: what has come in before an answer left is told from
//! what came in after it.

use std::collections::VecDeque;
use std::future::pending;

use tonic::{Status, Streaming};
use voltgate_proto::ocpp::v1::{FromStation, from_station};

/// As many messages are read ahead at most. A gateway sends no more than it may hold unacknowledged, and waits when nobody
/// reads.
const MOST_WAITING: usize = 16;

pub struct Inbox {
    stream: Streaming<FromStation>,
    waiting: VecDeque<FromStation>,
    end: Option<Result<(), Status>>,
}

impl Inbox {
    pub fn new(stream: Streaming<FromStation>) -> Self {
        Self {
            stream,
            waiting: VecDeque::new(),
            end: None,
        }
    }

    /// The next message, or how the stream ended. Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Result<Option<FromStation>, Status> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Ok(Some(message));
            }
            match &self.end {
                Some(end) => return end.clone().map(|()| None),
                None => self.gather().await,
            }
        }
    }

    /// The first message of its kind, before others that wait. Nothing is lost when it is dropped.
    pub async fn overtaking(&mut self, is_meant: impl Fn(&FromStation) -> bool) -> FromStation {
        let mut seen = 0;
        loop {
            let meant = self.waiting.iter().skip(seen).position(&is_meant);
            if let Some(message) = meant.and_then(|index| self.waiting.remove(seen + index)) {
                return message;
            }
            seen = self.waiting.len();
            self.gather().await;
        }
    }

    /// Waits until there is something for [`Self::next`], and leaves it there.
    pub async fn filled(&mut self) {
        while self.waiting.is_empty() && self.end.is_none() {
            self.gather().await;
        }
    }

    /// Whether the next message is a frame.
    pub fn has_frame(&self) -> bool {
        matches!(
            self.waiting.front().and_then(|message| message.event.as_ref()),
            Some(from_station::Event::Frame(_))
        )
    }

    /// Reads one message more, where there is room for one. Waits for ever where there is not. Nothing is lost when it is
    /// dropped.
    pub async fn gather(&mut self) {
        if self.waiting.len() >= MOST_WAITING || self.end.is_some() {
            return pending().await;
        }
        match self.stream.message().await {
            Ok(Some(message)) => self.waiting.push_back(message),
            Ok(None) => self.end = Some(Ok(())),
            Err(status) => self.end = Some(Err(status)),
        }
    }

    /// The number of the last frame that has come in and was not dealt with; 0 where there is none.
    pub fn last_number(&self) -> u64 {
        self.waiting.iter().map(|message| message.number).max().unwrap_or(0)
    }
}
