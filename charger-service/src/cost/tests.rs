use std::collections::BTreeSet;

use chrono::TimeDelta;
use iso_currency::Currency;
use proptest::prelude::*;

use super::*;
use crate::tariff::terms::{Element, Tax};
use crate::tariff::window::{Day, TimeOfDay, Window};

fn decimal(text: &str) -> Decimal {
    text.parse().expect("a decimal number")
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("a date and time")
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a time zone")
}

fn window(from: &str, until: &str) -> Option<Window> {
    Some(Window {
        from: TimeOfDay::parse(from).expect("a time"),
        until: TimeOfDay::parse(until).expect("a time"),
        days: BTreeSet::new(),
    })
}

fn terms(elements: Vec<Element>) -> Terms {
    Terms {
        currency: Currency::EUR,
        taxes: Vec::new(),
        idle_free_minutes: 0,
        elements,
    }
}

fn charge(started: &str, ended: &str, wh: i64) -> Charge {
    Charge {
        started: at(started),
        ended: at(ended),
        energy: Some(Energy {
            total: wh.into(),
            readings: Vec::new(),
        }),
        idle: Vec::new(),
    }
}

/// Each line in short: its part and element, quantity and amount.
fn lines(cost: &Cost) -> Vec<String> {
    let line = |line: &Line| match line {
        Line::Part {
            part,
            element,
            quantity,
            amount,
            ..
        } => format!("{}[{element}] {quantity} {} = {amount}", part.as_str(), part.unit()),
        Line::Tax { name, amount, .. } => format!("{name} = {amount}"),
        Line::Rounding { amount } => format!("rounding = {amount}"),
    };
    cost.lines.iter().map(line).collect()
}

#[test]
fn each_part_has_its_line_and_taxes_come_on_top() {
    let all = Element {
        energy_price: Some(decimal("0.39")),
        time_price: Some(decimal("1.20")),
        idle_price: Some(decimal("6")),
        session_price: Some(decimal("0.50")),
        window: None,
    };
    let terms = Terms {
        taxes: vec![Tax {
            name: "VAT".to_owned(),
            percent: decimal("19"),
        }],
        idle_free_minutes: 10,
        ..terms(vec![all])
    };
    let charge = Charge {
        idle: vec![(at("2026-03-02T11:00:00Z"), at("2026-03-02T11:30:00Z"))],
        ..charge("2026-03-02T10:00:00Z", "2026-03-02T11:30:00Z", 12_345)
    };
    let cost = cost(&terms, &charge, &zone("Etc/UTC"));
    assert_eq!(
        lines(&cost),
        [
            "energy[0] 12.345 kWh = 4.81455",
            "time[0] 1 h = 1.2",
            "idle[0] 0.333333 h = 2",
            "session[0] 1 session = 0.5",
            "VAT = 1.617765",
            "rounding = -0.002315",
        ]
    );
    assert_eq!(cost.total, decimal("10.13"));
    assert_eq!(cost.remarks, []);
}

#[test]
fn the_first_element_that_has_a_price_for_a_part_at_the_time_decides() {
    let night = Element {
        window: window("22:00", "06:00"),
        energy_price: Some(decimal("0.20")),
        ..Element::default()
    };
    let day = Element {
        energy_price: Some(decimal("0.40")),
        session_price: Some(decimal("1")),
        ..Element::default()
    };
    // An hour before ten in the evening in Berlin, and three after it.
    let charge = charge("2026-01-15T20:00:00Z", "2026-01-16T00:00:00Z", 40_000);
    let cost = cost(&terms(vec![night, day]), &charge, &zone("Europe/Berlin"));
    assert_eq!(
        lines(&cost),
        [
            "energy[0] 30 kWh = 6",
            "energy[1] 10 kWh = 4",
            "session[1] 1 session = 1"
        ]
    );
}

#[test]
fn energy_is_told_apart_by_the_readings_of_the_meter() {
    let night = Element {
        window: window("22:00", "06:00"),
        energy_price: Some(decimal("0.20")),
        ..Element::default()
    };
    let day = Element {
        energy_price: Some(decimal("0.40")),
        ..Element::default()
    };
    let mut charge = charge("2026-01-15T20:00:00Z", "2026-01-15T22:00:00Z", 10_000);
    let readings = vec![
        (at("2026-01-15T21:00:00Z"), decimal("9000")),
        // A register that falls, or tells more than there is in the end, is not believed.
        (at("2026-01-15T21:10:00Z"), decimal("8000")),
        (at("2026-01-15T21:20:00Z"), decimal("99999999999999999999999999")),
    ];
    charge.energy = Some(Energy {
        total: 10_000.into(),
        readings,
    });
    let cost = cost(&terms(vec![night, day]), &charge, &zone("Europe/Berlin"));
    assert_eq!(lines(&cost), ["energy[0] 1 kWh = 0.2", "energy[1] 9 kWh = 3.6"]);
}

#[test]
fn the_hour_that_is_skipped_is_not_billed_and_the_one_that_comes_twice_is_billed_twice() {
    let second_hour = Element {
        window: window("02:00", "03:00"),
        time_price: Some(decimal("1")),
        ..Element::default()
    };
    let night = |started, ended| {
        lines(&cost(
            &terms(vec![second_hour.clone()]),
            &charge(started, ended, 0),
            &zone("Europe/Berlin"),
        ))
    };
    assert_eq!(
        night("2026-03-27T23:00:00Z", "2026-03-28T05:00:00Z"),
        ["time[0] 1 h = 1"]
    );
    assert_eq!(night("2026-03-28T23:00:00Z", "2026-03-29T05:00:00Z"), [""; 0]);
    assert_eq!(
        night("2026-10-24T22:00:00Z", "2026-10-25T05:00:00Z"),
        ["time[0] 2 h = 2"]
    );
}

#[test]
fn a_day_of_the_week_is_as_long_as_it_is_there() {
    let sunday = Element {
        window: Some(Window {
            from: TimeOfDay::MIDNIGHT,
            until: TimeOfDay::MIDNIGHT,
            days: BTreeSet::from([Day::Sunday]),
        }),
        time_price: Some(decimal("1")),
        ..Element::default()
    };
    let weekend = |started, ended, name| {
        lines(&cost(
            &terms(vec![sunday.clone()]),
            &charge(started, ended, 0),
            &zone(name),
        ))
    };
    assert_eq!(
        weekend("2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z", "Europe/Berlin"),
        ["time[0] 23 h = 23"]
    );
    assert_eq!(
        weekend("2026-10-24T00:00:00Z", "2026-10-26T12:00:00Z", "Europe/Berlin"),
        ["time[0] 25 h = 25"]
    );
    // There the clock is put forward at midnight, so that the day begins at one.
    assert_eq!(
        weekend("2026-09-05T00:00:00Z", "2026-09-07T12:00:00Z", "America/Santiago"),
        ["time[0] 23 h = 23"]
    );
}

#[test]
fn what_cannot_be_told_or_true_is_left_out_and_remarked_where_it_has_a_price() {
    let all = Element {
        energy_price: Some(decimal("1")),
        time_price: Some(decimal("1")),
        session_price: Some(decimal("2")),
        ..Element::default()
    };
    let terms_of_all = terms(vec![all]);
    let day = charge("2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z", 0);
    let mut unknown = day.clone();
    unknown.energy = None;
    let cases = [
        (unknown.clone(), Remark::EnergyUnknown, "3"),
        (
            charge("2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z", -1),
            Remark::EnergyUnknown,
            "3",
        ),
        (
            charge("2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z", 1_000_000_001),
            Remark::EnergyImplausible,
            "3",
        ),
        (
            charge("2026-03-02T10:00:00Z", "2026-03-02T09:00:00Z", 1000),
            Remark::EndsBeforeItStarts,
            "3",
        ),
        (
            charge("2016-03-02T10:00:00Z", "2026-03-02T10:00:00Z", 1000),
            Remark::DurationImplausible,
            "3",
        ),
    ];
    for (charge, remark, total) in cases {
        let cost = cost(&terms_of_all, &charge, &zone("Etc/UTC"));
        assert_eq!((cost.remarks, cost.total), (vec![remark], decimal(total)), "{charge:?}");
    }
    let only_session = Element {
        session_price: Some(decimal("2")),
        ..Element::default()
    };
    assert_eq!(cost(&terms(vec![only_session]), &unknown, &zone("Etc/UTC")).remarks, []);
}

#[test]
fn a_currency_is_rounded_to_what_can_be_paid_in_it() {
    let session = |price: &str, currency| {
        let element = Element {
            session_price: Some(decimal(price)),
            ..Element::default()
        };
        let terms = Terms {
            currency,
            ..terms(vec![element])
        };
        cost(
            &terms,
            &charge("2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z", 0),
            &zone("Etc/UTC"),
        )
        .total
    };
    assert_eq!(session("0.005", Currency::EUR), decimal("0.01"));
    assert_eq!(session("10.5", Currency::JPY), decimal("11"));
    assert_eq!(session("0.0005", Currency::KWD), decimal("0.001"));
}

fn price() -> impl Strategy<Value = Option<Decimal>> {
    proptest::option::of((0..=1_000_000_i64, 0..=4_u32).prop_map(|(price, scale)| Decimal::new(price, scale)))
}

fn some_window() -> impl Strategy<Value = Option<Window>> {
    let time = || (0..24_u16, 0..60_u16).prop_map(|(hours, minutes)| format!("{hours:02}:{minutes:02}"));
    let days = proptest::sample::subsequence(Day::ALL.to_vec(), 0..=7);
    proptest::option::of((time(), time(), days).prop_map(|(from, until, days)| Window {
        from: TimeOfDay::parse(&from).expect("a time"),
        until: TimeOfDay::parse(&until).expect("a time"),
        days: days.into_iter().collect(),
    }))
}

fn some_terms() -> impl Strategy<Value = Terms> {
    let element =
        (some_window(), price(), price(), price(), price()).prop_map(|(window, energy, time, idle, session)| Element {
            window,
            energy_price: energy,
            time_price: time,
            idle_price: idle,
            session_price: session,
        });
    let tax = (0..=30_000_i64).prop_map(|percent| Tax {
        name: "Tax".to_owned(),
        percent: Decimal::new(percent, 3),
    });
    let currency = proptest::sample::select(vec![Currency::EUR, Currency::JPY, Currency::KWD]);
    let elements = proptest::collection::vec(element, 1..5);
    (elements, proptest::collection::vec(tax, 0..3), 0..=60_u32, currency).prop_map(
        |(elements, taxes, idle_free_minutes, currency)| Terms {
            currency,
            taxes,
            idle_free_minutes,
            elements,
        },
    )
}

/// Of up to four days, about the changes of the clock as well.
fn some_charge() -> impl Strategy<Value = Charge> {
    let start = proptest::sample::select(vec![
        "2026-03-27T12:00:00Z",
        "2026-10-23T12:00:00Z",
        "2026-06-01T00:00:00Z",
    ]);
    let seconds = 0..345_600_i64;
    let readings = proptest::collection::vec((seconds.clone(), 0..200_000_i64), 0..20);
    let idle = proptest::collection::vec(seconds.clone(), 0..8);
    (start, seconds, 0..200_000_i64, readings, idle).prop_map(|(start, lasts, wh, mut readings, mut idle)| {
        let started = at(start);
        let after = |seconds: i64| started + TimeDelta::seconds(seconds);
        readings.sort_unstable();
        idle.sort_unstable();
        let readings = readings
            .into_iter()
            .map(|(seconds, wh)| (after(seconds), Decimal::from(wh)));
        let idle = idle
            .as_chunks::<2>()
            .0
            .iter()
            .map(|&[from, until]| (after(from), after(until)));
        Charge {
            started,
            ended: after(lasts),
            energy: Some(Energy {
                total: wh.into(),
                readings: readings.collect(),
            }),
            idle: idle.collect(),
        }
    })
}

fn some_zone() -> impl Strategy<Value = TimeZone> {
    proptest::sample::select(vec![
        "Etc/UTC",
        "Europe/Berlin",
        "America/Santiago",
        "Australia/Lord_Howe",
        "Asia/Kathmandu",
    ])
    .prop_map(zone)
}

/// Of one part, over all elements.
fn sum(cost: &Cost, of: Part) -> (Decimal, Decimal) {
    cost.lines
        .iter()
        .fold((Decimal::ZERO, Decimal::ZERO), |(units, money), line| match line {
            Line::Part {
                part, quantity, amount, ..
            } if *part == of => (units + quantity, money + amount),
            _ => (units, money),
        })
}

proptest! {
    #[test]
    fn the_lines_add_up_to_the_total_which_is_off_by_half_a_coin_at_most(
        terms in some_terms(), charge in some_charge(), zone in some_zone(),
    ) {
        let cost = cost(&terms, &charge, &zone);
        prop_assert_eq!(cost.lines.iter().map(Line::amount).sum::<Decimal>(), cost.total);
        prop_assert_eq!(cost.total.round_dp(terms.minor_digits()), cost.total);
        let slack = decimal("0.0001");
        let half_a_coin = Decimal::new(5, terms.minor_digits() + 1) + slack;
        for line in &cost.lines {
            if let Line::Rounding { amount } = line {
                prop_assert!(amount.abs() <= half_a_coin, "{amount}");
            }
        }
        prop_assert_eq!(cost.remarks, vec![]);
    }

    #[test]
    fn readings_and_moments_at_which_nothing_changes_change_nothing(
        terms in some_terms(), charge in some_charge(), zone in some_zone(), cut in 0..345_600_i64,
    ) {
        // What the meter would have shown then, had it been read.
        let cut = charge.started + TimeDelta::seconds(cut);
        let before = cost(&terms, &charge, &zone);
        let mut read_once_more = charge.clone();
        let energy = read_once_more.energy.as_mut().expect("it has");
        if let Some(last) = energy.readings.iter().filter(|reading| reading.0 <= cut).map(|reading| reading.1).max() {
            let at = energy.readings.partition_point(|reading| reading.0 <= cut);
            let same = energy.readings[at - 1].0;
            energy.readings.insert(at, (same, last));
        }
        prop_assert_eq!(&cost(&terms, &read_once_more, &zone), &before);
    }

    #[test]
    fn whatever_the_readings_all_energy_at_one_price_costs_the_same(
        charge in some_charge(), zone in some_zone(), price in 0..=1_000_000_i64, from in 0..24_u16, until in 0..24_u16,
    ) {
        let price = Some(Decimal::new(price, 4));
        let always = Element { energy_price: price, ..Element::default() };
        let sometimes = Element { window: window(&format!("{from:02}:00"), &format!("{until:02}:00")), ..always.clone() };
        let whole = cost(&terms(vec![always.clone()]), &charge, &zone);
        let split = cost(&terms(vec![sometimes, always]), &charge, &zone);
        let ((units, money), (all_units, all_money)) = (sum(&split, Part::Energy), sum(&whole, Part::Energy));
        prop_assert_eq!(units, all_units);
        // Each of two lines is rounded at its sixth digit, and the total is not reckoned from them.
        prop_assert!((money - all_money).abs() <= decimal("0.000001"), "{money} {all_money}");
        prop_assert_eq!(split.total, whole.total);
    }

    #[test]
    fn two_halves_of_a_charge_have_its_energy_and_its_time_between_them(
        terms in some_terms(), charge in some_charge(), zone in some_zone(), share in 1..100_i64,
    ) {
        let terms = Terms { idle_free_minutes: 0, ..terms };
        let energy = charge.energy.clone().expect("it has");
        // The station reads its meter there and starts anew.
        let cut = charge.started + TimeDelta::seconds((charge.ended - charge.started).num_seconds() * share / 100);
        prop_assume!(charge.started < cut && cut < charge.ended);
        let shown = energy.readings.iter().filter(|reading| reading.0 <= cut).map(|reading| reading.1).max();
        let shown = shown.unwrap_or_default().min(energy.total);
        let readings: Vec<_> = energy.readings.iter().filter(|reading| reading.0 != cut).copied().collect();
        let at_the_cut = readings.partition_point(|reading| reading.0 < cut);
        let mut with_the_cut = readings.clone();
        with_the_cut.insert(at_the_cut, (cut, shown));
        let whole = Charge { energy: Some(Energy { total: energy.total, readings: with_the_cut }), ..charge.clone() };
        let first = Charge {
            ended: cut,
            energy: Some(Energy { total: shown, readings: readings.clone() }),
            ..charge.clone()
        };
        let rest = readings.iter().skip(at_the_cut).map(|&(at, wh)| (at, wh - shown)).collect();
        let second = Charge {
            started: cut,
            energy: Some(Energy { total: energy.total - shown, readings: rest }),
            ..charge.clone()
        };
        let [whole, first, second] = [whole, first, second].map(|charge| cost(&terms, &charge, &zone));
        // A line is rounded at its sixth digit.
        let slack = decimal("0.00002");
        for part in [Part::Energy, Part::Time, Part::Idle] {
            let (units, money) = sum(&whole, part);
            let both = (sum(&first, part).0 + sum(&second, part).0, sum(&first, part).1 + sum(&second, part).1);
            prop_assert!((units - both.0).abs() <= slack && (money - both.1).abs() <= slack, "{part:?}: {units} {both:?}");
        }
    }
}
