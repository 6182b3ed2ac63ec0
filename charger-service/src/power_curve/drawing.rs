//! A series as SVG that stands on its own, for a page or a letter.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use jiff::tz::TimeZone;

use super::series::Series;
use crate::tariff::window::wall_time;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;

/// Of the field that the curve is in.
const LEFT: f64 = 60.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = HEIGHT - 32.0;

/// Lines across at the most, and times below.
const LINES: f64 = 5.0;
const TIMES: i32 = 5;

pub(super) fn svg(series: &Series, zone: &TimeZone, transaction_id: i32) -> String {
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="title" font-family="sans-serif" font-size="12" fill="#57606a"><title id="title">Power of transaction {transaction_id}</title>"##
    );
    let ends = series.points.first().zip(series.points.last());
    match ends {
        Some(((from, _), (to, _))) if from < to => {
            draw(&mut svg, series, zone, (*from, *to));
        }
        _ => text(
            &mut svg,
            (WIDTH / 2.0, HEIGHT / 2.0),
            "middle",
            "The charge point has told no power",
        ),
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, series: &Series, zone: &TimeZone, (from, to): (DateTime<Utc>, DateTime<Utc>)) {
    let highest = series.points.iter().map(|(_, watts)| *watts).fold(0.0, f64::max);
    let step = step(highest);
    let top = step * (highest / step).ceil().max(1.0);
    let duration = (to - from).as_seconds_f64();
    let x = |at: DateTime<Utc>| LEFT + (RIGHT - LEFT) * (at - from).as_seconds_f64() / duration;
    let y = |watts: f64| BOTTOM - (BOTTOM - TOP) * watts.max(0.0) / top;

    let (unit, scale) = if top >= 1000.0 { ("kW", 1000.0) } else { ("W", 1.0) };
    let heading = if series.is_derived {
        format!("Power in {unit}, by the energy between two readings")
    } else {
        format!("Power in {unit}")
    };
    text(svg, (LEFT, TOP - 16.0), "start", &heading);
    let mut watts = 0.0;
    while watts <= top + step / 2.0 {
        let height = y(watts);
        // Writing to a text never fails.
        let _ = write!(
            svg,
            r##"<line x1="{LEFT}" x2="{RIGHT}" y1="{height:.1}" y2="{height:.1}" stroke="#d0d7de"/>"##
        );
        text(svg, (LEFT - 8.0, height + 4.0), "end", &number(watts / scale));
        watts += step;
    }
    for index in 0..TIMES {
        let at = from + (to - from) * index / (TIMES - 1);
        let anchor = match index {
            0 => "start",
            last if last == TIMES - 1 => "end",
            _ => "middle",
        };
        text(svg, (x(at), BOTTOM + 20.0), anchor, &time(at, zone, to - from));
    }
    let mut line = String::new();
    for (at, watts) in &series.points {
        let _ = write!(line, "{:.1},{:.1} ", x(*at), y(*watts));
    }
    let line = line.trim_end();
    let _ = write!(
        svg,
        r##"<polygon points="{LEFT},{BOTTOM} {line} {RIGHT},{BOTTOM}" fill="#1a7f37" fill-opacity="0.15"/><polyline points="{line}" fill="none" stroke="#1a7f37" stroke-width="2" stroke-linejoin="round"/>"##
    );
}

/// `content` is of our own words and numbers, none of which XML has a meaning for.
fn text(svg: &mut String, (x, y): (f64, f64), anchor: &str, content: &str) {
    let _ = write!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{content}</text>"#
    );
}

/// From one line across to the next, in watts: 1, 2 or 5 of a power of ten.
fn step(highest: f64) -> f64 {
    let least = (highest / LINES).max(1.0);
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power);
    step.into_iter().find(|step| *step >= least).unwrap_or(10.0 * power)
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn time(at: DateTime<Utc>, zone: &TimeZone, duration: TimeDelta) -> String {
    let format = match duration {
        short if short < TimeDelta::minutes(10) => "%H:%M:%S",
        day if day < TimeDelta::hours(20) => "%H:%M",
        _ => "%m-%d %H:%M",
    };
    wall_time(at, zone).strftime(format).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
    }

    #[test]
    fn a_curve_has_its_unit_its_scale_and_the_times_of_the_site() {
        let series = Series {
            points: vec![(at(0), 0.0), (at(30), 11_000.0), (at(60), 7400.0)],
            ..Series::default()
        };
        let drawn = svg(&series, &TimeZone::get("Europe/Berlin").unwrap(), 42);
        for expected in [
            "Power in kW<",
            ">0<",
            ">5<",
            ">10<",
            ">15<",
            ">13:00<",
            ">13:30<",
            ">14:00<",
            "transaction 42",
        ] {
            assert!(drawn.contains(expected), "{expected} is not in {drawn}");
        }
        assert!(
            drawn.contains(r#"points="60.0,268.0 382.0,97.9 704.0,153.5""#),
            "{drawn}"
        );
    }

    #[test]
    fn whatever_is_drawn_has_places_for_all_of_it() {
        let flat = |watts| Series {
            points: vec![(at(0), watts), (at(1), watts)],
            is_derived: true,
            highest: None,
        };
        for watts in [0.0, -5.0, 1e-9, 3.7, 999.9, 1e9] {
            let drawn = svg(&flat(watts), &TimeZone::UTC, 1);
            assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
            assert!(drawn.len() < 4000, "{}", drawn.len());
        }
        for none in [Vec::new(), vec![(at(0), 1.0)], vec![(at(0), 1.0), (at(0), 2.0)]] {
            let series = Series {
                points: none,
                ..Series::default()
            };
            assert!(svg(&series, &TimeZone::UTC, 1).contains("has told no power"));
        }
    }

    #[test]
    fn lines_across_are_as_many_as_can_be_read() {
        for (highest, expected) in [
            (0.0, 1.0),
            (4.0, 1.0),
            (11_000.0, 5000.0),
            (22_000.0, 5000.0),
            (50.0, 10.0),
        ] {
            assert!((step(highest) - expected).abs() < 1e-6, "{highest}: {}", step(highest));
        }
    }
}
