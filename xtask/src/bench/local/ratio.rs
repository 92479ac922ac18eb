//! One way against another, measured in rounds of both.

use super::super::quartiles::Quartiles;

/// How one way compares with the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The median of its rounds against the median of the other's.
    pub of_medians: f64,
    /// The ratio within each round: what slows the machine down for longer than a round is not in it.
    pub rounds: Quartiles,
}

/// What a ratio says of what it was designed for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is so.
    Met,
    /// It is not, and yet a quarter of the rounds or more are so.
    Unsure,
    /// It is not.
    Missed,
}

impl Ratio {
    /// Of figures of the same rounds in the same order. None of no round.
    pub fn of(figures: &[f64], others: &[f64]) -> Option<Self> {
        let within = figures.iter().zip(others).map(|(figure, other)| figure / other);
        Some(Self {
            of_medians: Quartiles::of(figures.to_vec())?.median / Quartiles::of(others.to_vec())?.median,
            rounds: Quartiles::of(within.collect())?,
        })
    }

    /// Whether it is at least so much.
    pub fn at_least(&self, wished: f64) -> Verdict {
        if self.of_medians >= wished {
            Verdict::Met
        } else if self.rounds.high >= wished {
            Verdict::Unsure
        } else {
            Verdict::Missed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slows_both_down_is_not_in_the_ratio_of_the_rounds() {
        let others = [100.0, 50.0, 200.0, 100.0];
        let ratio = Ratio::of(&others.map(|figure| figure * 0.9), &others).unwrap();
        assert_eq!(ratio.of_medians, 0.9);
        let near = |figure: f64| (figure - 0.9).abs() < 1e-9;
        assert!(near(ratio.rounds.low) && near(ratio.rounds.high), "{ratio:?}");
        assert_eq!(Ratio::of(&[], &[]), None);
    }

    #[test]
    fn a_ratio_below_the_wish_is_missed_only_if_the_rounds_agree() {
        let ratio =
            |of_medians, low, high| Ratio { of_medians, rounds: Quartiles { low, median: of_medians, high } };
        for (ratio, verdict) in [
            (ratio(0.99, 0.5, 1.5), Verdict::Met),
            (ratio(1.2, 1.1, 1.3), Verdict::Met),
            (ratio(0.98, 0.97, 0.985), Verdict::Missed),
            (ratio(0.98, 0.97, 0.99), Verdict::Unsure),
            (ratio(0.98, 0.9, 1.1), Verdict::Unsure),
            // The medians are of other rounds than the pairs.
            (ratio(0.98, 0.995, 1.01), Verdict::Unsure),
        ] {
            assert_eq!(ratio.at_least(0.99), verdict, "{ratio:?}");
        }
    }
}
