//! How fast a campaign goes: its waves, how many may fail, and how long each command may wait.

use service_kit::reason::FieldViolation;
use voltgate_proto::ocpp::v1::CreateCampaignRequest;

use crate::command::send::{DEFAULT_EXPIRY, EXPIRY};

/// Charge points in a wave.
const LARGEST_WAVE: i32 = 10_000;
const DEFAULT_WAVE: i32 = 100;

/// Charge points of a campaign.
pub const MOST_TARGETS: i32 = 50_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// Charge points in the first wave; 0 where it is like the others.
    pub canary_size: i32,
    pub pause_after_canary: bool,
    pub wave_size: i32,
    pub limit: Option<Limit>,
    pub scope: Scope,
    pub expires_in_seconds: i32,
}

/// Failures that are borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Number(i32),
    Percent(i32),
}

/// Whose failures are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of the present one.
    Wave,
    Campaign,
}

impl Scope {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wave => "wave",
            Self::Campaign => "campaign",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Wave, Self::Campaign]
            .into_iter()
            .find(|scope| scope.as_str() == text)
    }
}

impl Limit {
    /// As the database keeps it: a number or a percentage.
    pub fn kept(limit: Option<Self>) -> (Option<i32>, Option<i32>) {
        match limit {
            None => (None, None),
            Some(Self::Number(most)) => (Some(most), None),
            Some(Self::Percent(most)) => (None, Some(most)),
        }
    }

    /// What [`Self::kept`] made.
    pub fn read(number: Option<i32>, percent: Option<i32>) -> Option<Self> {
        number.map(Self::Number).or(percent.map(Self::Percent))
    }
}

impl Pace {
    /// Notes what is wrong with it.
    pub fn parse(request: &CreateCampaignRequest, violations: &mut Vec<FieldViolation>) -> Self {
        let mut refuse = |field: &str, problem: &str| violations.push(FieldViolation::new(field, problem));
        let canary_size = request.canary_size;
        if !(0..=LARGEST_WAVE).contains(&canary_size) {
            refuse("canarySize", "must be between 0 and 10000");
        }
        if request.pause_after_canary && canary_size == 0 {
            refuse("pauseAfterCanary", "has a use with a canary only");
        }
        let wave_size = request.wave_size.unwrap_or(DEFAULT_WAVE);
        if !(1..=LARGEST_WAVE).contains(&wave_size) {
            refuse("waveSize", "must be between 1 and 10000");
        }
        if request
            .max_failures
            .is_some_and(|most| !(0..=MOST_TARGETS).contains(&most))
        {
            refuse("maxFailures", "must be between 0 and 50000");
        }
        if request
            .max_failure_percent
            .is_some_and(|most| !(0..=100).contains(&most))
        {
            refuse("maxFailurePercent", "must be between 0 and 100");
        }
        if request.max_failures.is_some() && request.max_failure_percent.is_some() {
            refuse("maxFailurePercent", "must not be given with a number");
        }
        let scope = request.failures_of.as_deref().map(Scope::parse);
        if scope == Some(None) {
            refuse("failuresOf", "must be wave or campaign");
        }
        let expires_in_seconds = request.expires_in_seconds.unwrap_or(DEFAULT_EXPIRY);
        if !EXPIRY.contains(&expires_in_seconds) {
            refuse("expiresInSeconds", "must be between 1 and 604800");
        }
        Self {
            canary_size,
            pause_after_canary: request.pause_after_canary,
            wave_size,
            limit: Limit::read(request.max_failures, request.max_failure_percent),
            scope: scope.flatten().unwrap_or(Scope::Wave),
            expires_in_seconds,
        }
    }

    /// The wave of the charge point that comes at this place; both count from 1.
    pub fn wave_of(&self, place: i32) -> i32 {
        if place <= self.canary_size {
            return 1;
        }
        let after_canary = (place - self.canary_size - 1) / self.wave_size.max(1);
        after_canary + if self.canary_size > 0 { 2 } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canary_is_a_wave_of_its_own_and_waves_follow_that_are_full_but_for_the_last() {
        let waves = |canary_size, wave_size| {
            let request = CreateCampaignRequest {
                canary_size,
                wave_size: Some(wave_size),
                ..Default::default()
            };
            let pace = Pace::parse(&request, &mut Vec::new());
            (1..=7).map(|place| pace.wave_of(place)).collect::<Vec<_>>()
        };
        assert_eq!(waves(2, 3), [1, 1, 2, 2, 2, 3, 3]);
        assert_eq!(waves(0, 3), [1, 1, 1, 2, 2, 2, 3]);
        assert_eq!(waves(7, 1), [1; 7]);
        assert_eq!(waves(10, 1), [1; 7]);
        assert_eq!(waves(1, 1), [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let wrong = CreateCampaignRequest {
            canary_size: -1,
            wave_size: Some(0),
            max_failures: Some(-1),
            max_failure_percent: Some(101),
            failures_of: Some("all".to_owned()),
            expires_in_seconds: Some(0),
            ..Default::default()
        };
        let mut violations = Vec::new();
        Pace::parse(&wrong, &mut violations);
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(
            fields,
            [
                "canarySize",
                "waveSize",
                "maxFailures",
                "maxFailurePercent",
                "maxFailurePercent",
                "failuresOf",
                "expiresInSeconds"
            ]
        );
        let alone = CreateCampaignRequest {
            pause_after_canary: true,
            ..Default::default()
        };
        let mut violations = Vec::new();
        Pace::parse(&alone, &mut violations);
        assert_eq!(violations[0].field, "pauseAfterCanary");
    }
}
