//! Reads what operators say of a template, by the rules that schedules obey at every charge point (OCPP 1.6, 3.13,
//! 5.16.4 and 7.8 to 7.14 with their errata). What else a charge point can do, such as how many periods it takes, it
//! says itself when it is asked.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive as _;
use service_kit::page;
use service_kit::reason::FieldViolation;
use voltgate_proto::ocpp::v1::{ChargingProfileTemplateContent, ChargingSchedule, ChargingSchedulePeriod};

use super::profile::{Kind, Period, Profile, Purpose, Recurrency};
use crate::label::is_label;
use crate::remote_control::verb::Unit;

const LONGEST_NAME: usize = 100;
/// As many as a schedule may have in OCPP 2.x; 1.6 leaves it to the charge point.
const MOST_PERIODS: usize = 1024;
const LARGEST_LIMIT: f64 = 1e8;
const NOT_A_RATE: &str = "must be between 0 and 100000000, with at most one digit after the point";
const NOT_POSITIVE: &str = "must be between 1 and 2147483647";

type Violations = Vec<FieldViolation>;

/// A template that breaks no rule.
#[derive(Debug)]
pub struct Content {
    pub name: String,
    pub profile: Profile,
}

impl Content {
    /// Collects what is wrong with every field before it refuses.
    pub fn parse(told: Option<ChargingProfileTemplateContent>) -> Result<Self, Violations> {
        let mut violations = Vec::new();
        let told = told.unwrap_or_default();
        if !is_label(&told.name, LONGEST_NAME) {
            let problem = format!("must have 1 to {LONGEST_NAME} printable characters, and no space at either end");
            violations.push(FieldViolation::new("name", problem));
        }
        let purpose = Purpose::parse(&told.purpose);
        if purpose.is_none() {
            let problem = "must be ChargePointMaxProfile or TxDefaultProfile";
            violations.push(FieldViolation::new("purpose", problem));
        }
        if told.stack_level < 0 {
            violations.push(FieldViolation::new("stackLevel", "must be between 0 and 2147483647"));
        }
        let valid_from = page::time("validFrom", told.valid_from, &mut violations);
        let valid_to = page::time("validTo", told.valid_to, &mut violations);
        if matches!((valid_from, valid_to), (Some(from), Some(to)) if to <= from) {
            violations.push(FieldViolation::new("validTo", "must be later than validFrom"));
        }
        let recurrency = recurrency(&told, &mut violations);
        let schedule = schedule(told.schedule, recurrency, &mut violations);
        let kind = kind(&told.kind, recurrency, schedule.starts_at, purpose, &mut violations);
        match (purpose, kind, schedule.unit) {
            (Some(purpose), Some(kind), Some(unit)) if violations.is_empty() => Ok(Self {
                name: told.name,
                profile: Profile {
                    purpose,
                    stack_level: told.stack_level,
                    kind,
                    valid_from,
                    valid_to,
                    unit,
                    periods: schedule.periods,
                    duration_seconds: schedule.duration_seconds,
                    minimum_rate: schedule.minimum_rate,
                },
            }),
            _ => Err(violations),
        }
    }
}

/// Whether it is needed, the kind says.
fn recurrency(told: &ChargingProfileTemplateContent, violations: &mut Violations) -> Option<Recurrency> {
    let read = told.recurrency_kind.as_deref().map(Recurrency::parse);
    let problem = match (told.kind == "Recurring", read) {
        (_, Some(None)) => "must be Daily or Weekly",
        (true, None) => "is required where the kind is Recurring",
        (false, Some(Some(_))) => "has a use where the kind is Recurring only",
        (true, Some(Some(_))) | (false, None) => return read.flatten(),
    };
    violations.push(FieldViolation::new("recurrencyKind", problem));
    None
}

fn kind(
    told: &str,
    recurrency: Option<Recurrency>,
    starts_at: Option<Start>,
    purpose: Option<Purpose>,
    violations: &mut Violations,
) -> Option<Kind> {
    let mut note = |field: &str, problem: &str| violations.push(FieldViolation::new(field, problem));
    // Of what is shared by all connectors, no single charge is the beginning.
    if told == "Relative" && purpose == Some(Purpose::ChargePointMaxProfile) {
        note(
            "kind",
            "must not be Relative where the purpose is ChargePointMaxProfile",
        );
    }
    match (told, starts_at) {
        ("Relative", Some(_)) => note("schedule.startsAt", "has no use where the kind is Relative"),
        ("Absolute" | "Recurring", None) => note("schedule.startsAt", "is required unless the kind is Relative"),
        ("Absolute" | "Recurring" | "Relative", _) => {}
        _ => note("kind", "must be Absolute, Recurring or Relative"),
    }
    match (told, starts_at) {
        ("Absolute", Some(Start(Some(starts_at)))) => Some(Kind::Absolute { starts_at }),
        ("Recurring", Some(Start(Some(starts_at)))) => {
            recurrency.map(|recurrency| Kind::Recurring { starts_at, recurrency })
        }
        ("Relative", None) => Some(Kind::Relative),
        _ => None,
    }
}

/// A beginning that is told; none where it is no time.
#[derive(Debug, Clone, Copy)]
struct Start(Option<DateTime<Utc>>);

#[derive(Debug, Default)]
struct Schedule {
    unit: Option<Unit>,
    starts_at: Option<Start>,
    duration_seconds: Option<i32>,
    periods: Vec<Period>,
    minimum_rate: Option<Decimal>,
}

fn schedule(told: Option<ChargingSchedule>, recurrency: Option<Recurrency>, violations: &mut Violations) -> Schedule {
    let Some(told) = told else {
        violations.push(FieldViolation::new("schedule", "is required"));
        // Its beginning is not missed besides.
        return Schedule {
            starts_at: Some(Start(None)),
            ..Schedule::default()
        };
    };
    let is_told = told.starts_at.is_some();
    let starts_at = page::time("schedule.startsAt", told.starts_at, violations);
    let mut note =
        |field: String, problem: String| violations.push(FieldViolation::new(format!("schedule.{field}"), problem));
    let unit = Unit::parse(&told.unit);
    if unit.is_none() {
        note("unit".to_owned(), "must be W or A".to_owned());
    }
    let turn = recurrency.map(Recurrency::seconds);
    match told.duration_seconds {
        Some(seconds) if seconds < 1 => note("durationSeconds".to_owned(), NOT_POSITIVE.to_owned()),
        // What is beyond is never reached (5.16.4).
        Some(seconds) if turn.is_some_and(|turn| seconds > turn) => {
            let problem = format!("must be at most {}, when it begins anew", turn.unwrap_or_default());
            note("durationSeconds".to_owned(), problem);
        }
        Some(_) | None => {}
    }
    let minimum_rate = told.minimum_rate.map(rate);
    if minimum_rate == Some(None) {
        note("minimumRate".to_owned(), NOT_A_RATE.to_owned());
    }
    if !(1..=MOST_PERIODS).contains(&told.periods.len()) {
        note("periods".to_owned(), format!("must be 1 to {MOST_PERIODS}"));
    }
    let over = told.duration_seconds.or(turn).filter(|seconds| *seconds > 0);
    Schedule {
        unit,
        starts_at: is_told.then_some(Start(starts_at)),
        duration_seconds: told.duration_seconds,
        periods: periods(&told.periods, over, note),
        minimum_rate: minimum_rate.flatten(),
    }
}

/// `over`: when the schedule is. What is wrong with many of them is told of the first few.
fn periods(told: &[ChargingSchedulePeriod], over: Option<i32>, mut note: impl FnMut(String, String)) -> Vec<Period> {
    let mut before = None;
    let mut read = Vec::with_capacity(told.len().min(MOST_PERIODS));
    for (index, period) in told.iter().take(MOST_PERIODS).enumerate() {
        let mut note = |field: &str, problem: &str| note(format!("periods[{index}].{field}"), problem.to_owned());
        let start = period.start_seconds;
        match before {
            None if start != 0 => note("startSeconds", "must be 0, as the first begins with the schedule"),
            Some(before) if start <= before => note("startSeconds", "must be later than that of the period before"),
            Some(_) if over.is_some_and(|over| start >= over) => {
                note("startSeconds", "must be before the schedule is over");
            }
            None | Some(_) => {}
        }
        before = Some(before.map_or(start, |before: i32| before.max(start)));
        let limit = period.limit.and_then(rate);
        if limit.is_none() {
            note("limit", NOT_A_RATE);
        }
        if period.phases.is_some_and(|phases| !(1..=3).contains(&phases)) {
            note("phases", "must be between 1 and 3");
        }
        read.push(Period {
            start_seconds: start,
            limit: limit.unwrap_or_default(),
            phases: period.phases,
        });
    }
    read
}

/// None for what is no limit, or has more digits than charge points take.
fn rate(told: f64) -> Option<Decimal> {
    if !(0.0..=LARGEST_LIMIT).contains(&told) {
        return None;
    }
    let rate = Decimal::from_f64(told)?.normalize();
    (rate.scale() <= 1).then_some(rate)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use prost_types::Timestamp;

    use super::*;

    fn period(start_seconds: i32, limit: f64) -> ChargingSchedulePeriod {
        ChargingSchedulePeriod {
            start_seconds,
            limit: Some(limit),
            phases: None,
        }
    }

    fn nights() -> ChargingProfileTemplateContent {
        ChargingProfileTemplateContent {
            name: "Nights".to_owned(),
            purpose: "TxDefaultProfile".to_owned(),
            stack_level: 1,
            kind: "Recurring".to_owned(),
            recurrency_kind: Some("Daily".to_owned()),
            schedule: Some(ChargingSchedule {
                unit: "A".to_owned(),
                starts_at: Some(Timestamp::default()),
                duration_seconds: Some(86_400),
                periods: vec![period(0, 32.0), period(28_800, 8.1)],
                minimum_rate: None,
            }),
            ..Default::default()
        }
    }

    fn told(change: impl FnOnce(&mut ChargingProfileTemplateContent, &mut ChargingSchedule)) -> Vec<String> {
        let mut content = nights();
        let mut schedule = content.schedule.take().unwrap();
        change(&mut content, &mut schedule);
        content.schedule = Some(schedule);
        match Content::parse(Some(content)) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        }
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let wrong = told(|content, schedule| {
            content.name = " ".to_owned();
            content.purpose = "TxProfile".to_owned();
            content.stack_level = -1;
            content.kind = "Daily".to_owned();
            content.valid_from = Some(Timestamp { seconds: 2, nanos: 0 });
            content.valid_to = Some(Timestamp { seconds: 1, nanos: 0 });
            schedule.unit = "kW".to_owned();
            schedule.duration_seconds = Some(0);
            schedule.minimum_rate = Some(-1.0);
            schedule.periods = vec![period(5, 0.25), period(5, f64::NAN)];
            schedule.periods[1].phases = Some(4);
        });
        assert_eq!(
            wrong,
            [
                "name",
                "purpose",
                "stackLevel",
                "validTo",
                "recurrencyKind",
                "schedule.unit",
                "schedule.durationSeconds",
                "schedule.minimumRate",
                "schedule.periods[0].startSeconds",
                "schedule.periods[0].limit",
                "schedule.periods[1].startSeconds",
                "schedule.periods[1].limit",
                "schedule.periods[1].phases",
                "kind",
            ]
        );
        let nothing: Vec<_> = Content::parse(None)
            .unwrap_err()
            .into_iter()
            .map(|violation| violation.field)
            .collect();
        assert_eq!(nothing, ["name", "purpose", "schedule", "kind"]);
    }

    #[test]
    fn each_kind_has_what_it_needs_and_no_more() {
        let is_fine: [String; 0] = [];
        assert_eq!(told(|_, _| {}), is_fine);
        assert_eq!(told(|content, _| content.recurrency_kind = None), ["recurrencyKind"]);
        assert_eq!(
            told(|content, _| content.recurrency_kind = Some("Monthly".to_owned())),
            ["recurrencyKind"]
        );
        assert_eq!(told(|_, schedule| schedule.starts_at = None), ["schedule.startsAt"]);
        let kinds = [
            ("Absolute", true, true),
            ("Relative", true, false),
            ("Absolute", false, false),
        ];
        for (kind, has_start, is_right) in kinds {
            let wrong = told(|content, schedule| {
                content.kind = kind.to_owned();
                content.recurrency_kind = None;
                if !has_start {
                    schedule.starts_at = None;
                }
            });
            assert_eq!(wrong.is_empty(), is_right, "{kind} {has_start}: {wrong:?}");
        }
        let relative = |content: &mut ChargingProfileTemplateContent, schedule: &mut ChargingSchedule| {
            content.kind = "Relative".to_owned();
            content.recurrency_kind = None;
            schedule.starts_at = None;
        };
        assert_eq!(told(relative), is_fine);
        let of_all = told(|content, schedule| {
            relative(content, schedule);
            content.purpose = "ChargePointMaxProfile".to_owned();
        });
        assert_eq!(of_all, ["kind"]);
        let not_recurring = told(|content, _| content.kind = "Absolute".to_owned());
        assert_eq!(not_recurring, ["recurrencyKind"]);
    }

    #[test]
    fn nothing_is_beyond_the_end_of_a_schedule() {
        assert_eq!(
            told(|_, schedule| schedule.duration_seconds = Some(86_401)),
            ["schedule.durationSeconds"]
        );
        let weekly = told(|content, schedule| {
            content.recurrency_kind = Some("Weekly".to_owned());
            schedule.duration_seconds = Some(604_800);
        });
        assert_eq!(weekly, [""; 0]);
        let late = |duration| {
            told(move |_, schedule| {
                schedule.duration_seconds = duration;
                schedule.periods[1].start_seconds = 86_400;
            })
        };
        assert_eq!(late(None), ["schedule.periods[1].startSeconds"]);
        assert_eq!(
            told(|_, schedule| schedule.duration_seconds = Some(28_800)),
            ["schedule.periods[1].startSeconds"]
        );
    }

    #[test]
    fn there_are_1_to_1024_periods() {
        for (count, is_right) in [(0, false), (1, true), (1024, true), (1025, false)] {
            let wrong = told(|_, schedule| schedule.periods = (0..count).map(|start| period(start, 1.0)).collect());
            assert_eq!(wrong.is_empty(), is_right, "{count}: {wrong:?}");
        }
    }

    proptest! {
        /// Whatever was taken is told as it came.
        #[test]
        fn a_rate_of_tenths_is_kept_to_the_digit(tenths in 0..=1_000_000_000_u32) {
            let told = f64::from(tenths) / 10.0;
            let kept = rate(told).unwrap();
            prop_assert_eq!(kept, Decimal::new(tenths.into(), 1).normalize());
        }

        #[test]
        fn a_schedule_is_taken_if_its_periods_go_up_from_0(starts in proptest::collection::vec(0..100_i32, 1..6)) {
            let is_right = starts[0] == 0 && starts.is_sorted_by(|before, after| before < after);
            let wrong = told(|_, schedule| schedule.periods = starts.iter().map(|start| period(*start, 6.0)).collect());
            prop_assert_eq!(wrong.is_empty(), is_right);
        }
    }
}
