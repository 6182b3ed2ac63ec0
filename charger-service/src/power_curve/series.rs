//! Power over time: as the charge point told it, or else as its register of energy tells it between two readings.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::meter_values::ENERGY_REGISTER;

/// One a second for a day.
const MOST: i64 = 86_400;

/// More points than that, nobody can tell apart.
const MOST_DRAWN: usize = 480;

/// A moment and a number, such as watts.
pub(super) type Point = (DateTime<Utc>, f64);

/// In watts, in the order of time.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Series {
    pub points: Vec<Point>,
    /// It follows from the energy.
    pub is_derived: bool,
    /// Of all that was told, of which the points may be means.
    pub highest: Option<f64>,
}

impl Series {
    pub async fn read(connection: &mut PgConnection, transaction_id: i32) -> Result<Self, sqlx::Error> {
        let power = power(&mut *connection, transaction_id).await?;
        if power.len() > 1 {
            return Ok(Self {
                highest: highest(&power),
                points: thinned(power, MOST_DRAWN),
                is_derived: false,
            });
        }
        let energy = energy(connection, transaction_id).await?;
        let points = between(&thinned(energy, MOST_DRAWN));
        Ok(Self {
            highest: highest(&points),
            points,
            is_derived: true,
        })
    }

    /// Where there are more, every so many are their mean.
    pub fn thinned_to(self, most: usize) -> Vec<Point> {
        thinned(self.points, most)
    }
}

/// That of all phases together, or else the sum of each: once, however often one was told for a moment.
async fn power(connection: &mut PgConnection, transaction_id: i32) -> Result<Vec<Point>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT sampled_at, coalesce(max(watts) FILTER (WHERE conductor = ''), sum(watts))::double precision AS "watts!"
           FROM (
               SELECT sampled_at, left(coalesce(phase, ''), 2) AS conductor, max(normalized_value) AS watts
               FROM ocpp.meter_value
               WHERE transaction_id = $1 AND measurand = 'Power.Active.Import' AND location = 'Outlet'
                 AND normalized_unit = 'W' AND normalized_value BETWEEN -1e9 AND 1e9
                 AND (phase IS NULL OR phase IN ('L1', 'L2', 'L3', 'L1-N', 'L2-N', 'L3-N'))
               GROUP BY sampled_at, conductor) AS told
           GROUP BY sampled_at ORDER BY sampled_at LIMIT $2"#,
        transaction_id,
        MOST,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.sampled_at, row.watts)).collect())
}

fn highest(points: &[Point]) -> Option<f64> {
    points.iter().map(|(_, watts)| *watts).reduce(f64::max)
}

/// How the register stood, in Wh.
async fn energy(connection: &mut PgConnection, transaction_id: i32) -> Result<Vec<Point>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT sampled_at, max(normalized_value)::double precision AS "wh!" FROM ocpp.meter_value
           WHERE transaction_id = $1 AND measurand = $2 AND phase IS NULL AND location = 'Outlet'
             AND normalized_unit = 'Wh' AND normalized_value BETWEEN 0 AND 1e12
           GROUP BY sampled_at ORDER BY sampled_at LIMIT $3"#,
        transaction_id,
        ENERGY_REGISTER,
        MOST,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.sampled_at, row.wh)).collect())
}

/// Every so many points their mean at their middle, where there are too many.
fn thinned(points: Vec<Point>, most: usize) -> Vec<Point> {
    let many = points.len().div_ceil(most);
    if many <= 1 {
        return points;
    }
    points
        .chunks(many)
        .filter_map(|chunk| {
            let (at, _) = chunk.get(chunk.len() / 2)?;
            let sum: f64 = chunk.iter().map(|(_, value)| value).sum();
            Some((*at, sum / chunk.len() as f64))
        })
        .collect()
}

/// The mean power between two readings: two points for each. A register that falls tells nothing.
fn between(readings: &[Point]) -> Vec<Point> {
    readings
        .windows(2)
        .filter_map(|pair| {
            let [(from, before), (to, after)] = pair else {
                return None;
            };
            let seconds = (*to - *from).as_seconds_f64();
            let watts = (after - before) * 3600.0 / seconds;
            (watts >= 0.0 && watts.is_finite()).then_some([(*from, watts), (*to, watts)])
        })
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    #[test]
    fn between_two_readings_the_power_is_their_difference_by_the_time_between() {
        let readings = [
            (at(0), 1000.0),
            (at(900), 2000.0),
            (at(1800), 1500.0),
            (at(3600), 1500.0),
        ];
        let expected = [(at(0), 4000.0), (at(900), 4000.0), (at(1800), 0.0), (at(3600), 0.0)];
        assert_eq!(between(&readings), expected);
        assert_eq!(between(&readings[..1]), []);
        assert_eq!(between(&[(at(0), 1.0), (at(0), 2.0)]), []);
    }

    #[test]
    fn of_many_points_few_are_left_and_none_of_few_is_lost() {
        let many: Vec<_> = (0..10_000).map(|second| (at(second), 7.0)).collect();
        let few = thinned(many, MOST_DRAWN);
        assert!(few.len() <= MOST_DRAWN && few.len() > MOST_DRAWN / 2, "{}", few.len());
        assert!(few.iter().all(|(_, value)| (value - 7.0).abs() < 1e-9));
        assert!(few.is_sorted());
        let some = vec![(at(1), 2.0), (at(2), 3.0)];
        assert_eq!(thinned(some.clone(), MOST_DRAWN), some);
    }
}
