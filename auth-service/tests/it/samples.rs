//! Whether two kinds of calls take the same time, on a machine that does other things too.

/// Seconds that calls took, made in turn.
#[derive(Debug, Default)]
pub struct Samples {
    pub known: Vec<f64>,
    pub unknown: Vec<f64>,
}

impl Samples {
    /// A rank test (Mann and Whitney): of a call of one kind and a call of the other, picked at random, either is the slower
    /// one about as often. A tenth of the median is no difference that anybody measures over a network. With forty of each,
    /// noise alone leaves these bounds about once in ten thousand times.
    pub fn assert_alike(&self) {
        let (known, unknown) = self.slower();
        assert!(
            Self::is_chance(known) && Self::is_chance(unknown),
            "known ones are slower in {known:.2} of all pairs, unknown ones in {unknown:.2}; medians {} and {}",
            median(&self.known),
            median(&self.unknown)
        );
    }

    fn is_chance(share: f64) -> bool {
        share < 0.75
    }

    /// Of all pairs, the share in which the known one is slower, and that in which the unknown one is.
    fn slower(&self) -> (f64, f64) {
        let tolerance = median(&self.known) / 10.0;
        let slower = |ones: &[f64], others: &[f64]| {
            let pairs = ones.iter().flat_map(|one| others.iter().map(move |other| (one, other)));
            let slower = pairs.filter(|(one, other)| **one > **other + tolerance).count();
            slower as f64 / (ones.len() * others.len()) as f64
        };
        (slower(&self.known, &self.unknown), slower(&self.unknown, &self.known))
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

#[test]
fn a_difference_is_found_and_noise_is_not() {
    let samples = |known: f64, unknown: f64| {
        let noisy = |base: f64| (0..40).map(|number| base + f64::from(number % 7)).collect();
        Samples {
            known: noisy(known),
            unknown: noisy(unknown),
        }
    };
    samples(30.0, 30.0).assert_alike();
    samples(30.0, 31.0).assert_alike();
    assert!(!Samples::is_chance(samples(30.0, 1.0).slower().0));
    assert!(!Samples::is_chance(samples(1.0, 30.0).slower().1));
    assert!(!Samples::is_chance(samples(30.0, 45.0).slower().1));
}
