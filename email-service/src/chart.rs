//! The power of a charge over time, as SVG that stands inside a mail. It is made of numbers alone, so nothing in it is anybody's text.

use std::fmt::Write as _;

use serde_json::Value;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 176.0;

/// Of the field that the curve is in.
const TOP: f64 = 12.0;
const BOTTOM: f64 = HEIGHT - 28.0;
/// Of the line of text below it.
const BASE: f64 = HEIGHT - 8.0;

/// `power` has pairs of seconds since the start and watts, in the order of time. None where there is nothing to draw.
pub(crate) fn svg(power: &Value) -> Option<String> {
    let points: Vec<(f64, f64)> = power
        .as_array()?
        .iter()
        .filter_map(|point| {
            let at = point.get(0)?.as_i64()?;
            let watts = point.get(1)?.as_i64()?;
            Some((at as f64, watts.max(0) as f64))
        })
        .collect();
    let (from, to) = (points.first()?.0, points.last()?.0);
    let highest = points.iter().map(|(_, watts)| *watts).fold(0.0, f64::max);
    if from >= to || highest <= 0.0 {
        return None;
    }
    let x = |at: f64| WIDTH * (at - from) / (to - from);
    let y = |watts: f64| BOTTOM - (BOTTOM - TOP) * watts / highest;
    let mut curve = String::new();
    for (at, watts) in &points {
        let _ = write!(curve, "{:.1},{:.1} ", x(*at), y(*watts));
    }
    let (start, end) = (clock(from), clock(to));
    let label = r##"font-family="sans-serif" font-size="12" fill="#5b6a63""##;
    Some(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="100%" role="img"><title>kW, {start}–{end}</title><polygon points="0,{BOTTOM} {curve}{WIDTH},{BOTTOM}" fill="#e9f3ee"/><polyline points="{curve}" fill="none" stroke="#1d6b4a" stroke-width="2"/><line x1="0" y1="{BOTTOM}" x2="{WIDTH}" y2="{BOTTOM}" stroke="#5b6a63"/><text x="0" y="{BASE}" {label}>{start}</text><text x="{WIDTH}" y="{BASE}" text-anchor="end" {label}>{end}</text></svg>"##
    ))
}

/// Hours and minutes since the start.
fn clock(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as i64;
    format!("{}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_curve_fills_its_field() {
        let drawn = svg(&json!([[0, 0], [1800, 11_000], [3600, 5500]])).unwrap_or_default();
        assert!(
            drawn.contains(r#"points="0.0,148.0 240.0,12.0 480.0,80.0 ""#),
            "{drawn}"
        );
        assert!(drawn.contains("<title>kW, 0:00–1:00</title>"), "{drawn}");
        assert!(
            drawn.contains(">0:00</text>") && drawn.contains(">1:00</text>"),
            "{drawn}"
        );
    }

    #[test]
    fn what_has_no_power_or_no_time_is_not_drawn() {
        for nothing in [
            json!(null),
            json!([]),
            json!([[0, 5]]),
            json!([[0, 5], [0, 7]]),
            json!([[0, 0], [9, -4]]),
            json!(["a", {}]),
        ] {
            assert_eq!(svg(&nothing), None, "{nothing}");
        }
    }
}
