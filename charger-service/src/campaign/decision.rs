//! What a campaign does next, by how far its present wave is and how many have failed.

use super::pace::{Limit, Pace, Scope};

/// Where a campaign is.
#[derive(Debug, Clone, Copy)]
pub struct Position {
    pub wave: i32,
    pub waves: i32,
    /// Somebody has looked at the canary and resumed.
    pub canary_confirmed: bool,
    /// Failures that somebody has resumed in spite of.
    pub forgiven: i64,
}

/// How its targets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// In the present wave: those without a command yet, and those whose outcome is due.
    pub waiting: i64,
    pub outstanding: i64,
    /// Of the wave or of the campaign, whichever the limit is for.
    pub failures: i64,
    pub size: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// There are charge points in the wave that have no command yet.
    Queue,
    /// Outcomes are due.
    Wait,
    /// The wave is over; this one comes next.
    Begin(i32),
    PauseAfterCanary,
    /// Too many have failed; the words say how many.
    PauseForFailures(String),
    Complete,
}

pub fn next(pace: &Pace, position: Position, counts: Counts) -> Next {
    let is_wave_over = counts.waiting == 0 && counts.outstanding == 0;
    let is_last = position.wave >= position.waves;
    if is_wave_over && is_last {
        // There is nothing left to hold back.
        return Next::Complete;
    }
    if let Some(words) = pace
        .limit
        .and_then(|limit| exceeded(limit, pace.scope, position, counts))
    {
        return Next::PauseForFailures(words);
    }
    if counts.waiting > 0 {
        return Next::Queue;
    }
    if !is_wave_over {
        return Next::Wait;
    }
    let is_canary = pace.canary_size > 0 && position.wave == 1;
    if is_canary && pace.pause_after_canary && !position.canary_confirmed {
        return Next::PauseAfterCanary;
    }
    Next::Begin(position.wave + 1)
}

fn exceeded(limit: Limit, scope: Scope, position: Position, counts: Counts) -> Option<String> {
    let counted = counts.failures - position.forgiven;
    let (is_exceeded, may) = match limit {
        Limit::Number(most) => (counted > most.into(), most.to_string()),
        Limit::Percent(most) => (counted * 100 > counts.size * i64::from(most), format!("{most} %")),
    };
    let of = match scope {
        Scope::Wave => format!("of {} in wave {}", counts.size, position.wave),
        Scope::Campaign => format!("of {}", counts.size),
    };
    let forgiven = match position.forgiven {
        0 => String::new(),
        forgiven => format!(", not counting {forgiven} before it was resumed"),
    };
    is_exceeded.then(|| format!("{counted} {of} failed{forgiven}; {may} may"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pace() -> Pace {
        Pace {
            canary_size: 2,
            pause_after_canary: true,
            wave_size: 10,
            limit: None,
            scope: Scope::Wave,
            expires_in_seconds: 60,
        }
    }

    const FIRST: Position = Position {
        wave: 1,
        waves: 3,
        canary_confirmed: false,
        forgiven: 0,
    };

    fn counts(waiting: i64, outstanding: i64, failures: i64) -> Counts {
        Counts {
            waiting,
            outstanding,
            failures,
            size: 10,
        }
    }

    #[test]
    fn a_wave_is_queued_waited_for_and_followed_by_the_next() {
        let second = Position { wave: 2, ..FIRST };
        assert_eq!(next(&pace(), second, counts(3, 7, 0)), Next::Queue);
        assert_eq!(next(&pace(), second, counts(0, 1, 0)), Next::Wait);
        assert_eq!(next(&pace(), second, counts(0, 0, 10)), Next::Begin(3));
        let last = Position { wave: 3, ..FIRST };
        assert_eq!(next(&pace(), last, counts(0, 0, 10)), Next::Complete);
    }

    #[test]
    fn after_the_canary_somebody_looks_at_it_once() {
        assert_eq!(next(&pace(), FIRST, counts(0, 0, 0)), Next::PauseAfterCanary);
        let confirmed = Position {
            canary_confirmed: true,
            ..FIRST
        };
        assert_eq!(next(&pace(), confirmed, counts(0, 0, 0)), Next::Begin(2));
        let without = Pace {
            canary_size: 0,
            ..pace()
        };
        assert_eq!(next(&without, FIRST, counts(0, 0, 0)), Next::Begin(2));
    }

    #[test]
    fn one_failure_more_than_may_be_pauses_it_and_says_how_many() {
        let paused = |limit, scope, forgiven, failures| {
            let pace = Pace {
                limit: Some(limit),
                scope,
                ..pace()
            };
            let position = Position {
                wave: 2,
                forgiven,
                ..FIRST
            };
            match next(&pace, position, counts(3, 4, failures)) {
                Next::PauseForFailures(words) => Some(words),
                _ => None,
            }
        };
        assert_eq!(paused(Limit::Number(2), Scope::Wave, 0, 2), None);
        assert_eq!(
            paused(Limit::Number(2), Scope::Wave, 0, 3).as_deref(),
            Some("3 of 10 in wave 2 failed; 2 may")
        );
        assert_eq!(paused(Limit::Number(2), Scope::Wave, 3, 5), None);
        assert_eq!(
            paused(Limit::Number(0), Scope::Campaign, 3, 4).as_deref(),
            Some("1 of 10 failed, not counting 3 before it was resumed; 0 may")
        );
        assert_eq!(paused(Limit::Percent(20), Scope::Wave, 0, 2), None);
        assert_eq!(
            paused(Limit::Percent(20), Scope::Campaign, 0, 3).as_deref(),
            Some("3 of 10 failed; 20 % may")
        );
        assert_eq!(paused(Limit::Percent(100), Scope::Wave, 0, 10), None);
    }

    proptest! {
        /// Played to its end with any outcomes: no wave begins before the one before is over, each charge point gets one
        /// command, and nothing is queued after more have failed than may.
        #[test]
        fn waves_follow_each_other_and_nobody_is_left_out(
            sizes in prop::collection::vec(1_usize..6, 1..5),
            outcomes in prop::collection::vec(any::<bool>(), 20),
            most in prop::option::of(0_i32..4),
        ) {
            let pace = Pace { limit: most.map(Limit::Number), canary_size: 0, ..pace() };
            let mut outcomes = outcomes.into_iter();
            let (mut position, mut queued) = (Position { waves: i32::try_from(sizes.len()).unwrap_or_default(), ..FIRST }, 0);
            let size = |wave: i32| sizes[usize::try_from(wave - 1).unwrap_or_default()];
            let (mut waiting, mut outstanding, mut failures) = (size(1), 0, 0);
            for _ in 0..200 {
                let counts = Counts {
                    waiting: waiting as i64,
                    outstanding,
                    failures,
                    size: size(position.wave) as i64,
                };
                match next(&pace, position, counts) {
                    Next::Queue => {
                        prop_assert!(most.is_none_or(|most| failures - position.forgiven <= most.into()));
                        waiting -= 1;
                        outstanding += 1;
                        queued += 1;
                    }
                    Next::Wait => {
                        outstanding -= 1;
                        failures += i64::from(!outcomes.next().unwrap_or(true));
                    }
                    Next::Begin(wave) => {
                        prop_assert_eq!((waiting, outstanding, wave), (0, 0, position.wave + 1));
                        position = Position { wave, forgiven: 0, ..position };
                        (waiting, failures) = (size(wave), 0);
                    }
                    Next::PauseForFailures(_) => position.forgiven = failures,
                    Next::PauseAfterCanary => prop_assert!(false, "there is no canary"),
                    Next::Complete => {
                        prop_assert_eq!(queued, sizes.iter().sum::<usize>());
                        return Ok(());
                    }
                }
            }
            prop_assert!(false, "it comes to its end");
        }
    }
}
