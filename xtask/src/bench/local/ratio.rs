//! One way against another, measured in rounds of both.

/// Of the normal distribution: what leaves 5 % outside, on both sides together.
const TWO_SIDED_95: f64 = 1.96;

/// How one way compares with the other: within each round, so what slows the machine down for longer than one is not in it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The median of the rounds' ratios.
    pub median: f64,
    /// Where that median lies with 95 % confidence, by the ranks of the rounds (a sign test turned round): nothing is
    /// assumed of how they are distributed.
    pub low: f64,
    /// See there.
    pub high: f64,
}

/// What a ratio says of what it was designed for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It is so.
    Met,
    /// It is not, but it may be: what was wished for lies within the confidence.
    Unsure,
    /// It is not.
    Missed,
}

impl Ratio {
    /// Of figures of the same rounds in the same order. None of no round.
    pub fn of(figures: &[f64], others: &[f64]) -> Option<Self> {
        let mut within: Vec<f64> = figures.iter().zip(others).map(|(figure, other)| figure / other).collect();
        within.sort_by(f64::total_cmp);
        let rounds = within.len();
        let half = rounds as f64 / 2.0;
        let width = TWO_SIDED_95 * (rounds as f64).sqrt() / 2.0;
        // Ranks count from one.
        let rank = |rank: f64| within.get((rank.max(1.0) as usize).min(rounds).checked_sub(1)?).copied();
        Some(Self {
            median: rank(half.ceil())?,
            low: rank((half - width).floor())?,
            high: rank((half + width + 1.0).ceil())?,
        })
    }

    /// Whether it is at least so much.
    pub fn at_least(&self, wished: f64) -> Verdict {
        if self.median >= wished {
            Verdict::Met
        } else if self.high >= wished {
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
    fn what_slows_both_down_is_not_in_the_ratio() {
        let others = [100.0, 50.0, 200.0, 100.0];
        let ratio = Ratio::of(&others.map(|figure| figure * 0.9), &others).unwrap();
        let near = |figure: f64| (figure - 0.9).abs() < 1e-9;
        assert!(near(ratio.median) && near(ratio.low) && near(ratio.high), "{ratio:?}");
        assert_eq!(Ratio::of(&[], &[]), None);
    }

    /// The 40th and 61st of a hundred: binomial(100, 1/2) lies between 40 and 60 in 96.5 of a hundred cases.
    #[test]
    fn the_median_s_confidence_is_taken_from_the_rounds_ranks() {
        let figures: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let ratio = Ratio::of(&figures, &[1.0; 100]).unwrap();
        assert_eq!(ratio, Ratio { median: 50.0, low: 40.0, high: 61.0 });
        // Too few to say anything: all of them.
        assert_eq!(Ratio::of(&[1.0, 2.0, 3.0], &[1.0; 3]), Some(Ratio { median: 2.0, low: 1.0, high: 3.0 }));
    }

    #[test]
    fn a_ratio_below_the_wish_is_missed_only_if_no_noise_explains_it() {
        for (median, low, high, verdict) in [
            (0.99, 0.5, 1.5, Verdict::Met),
            (1.2, 1.1, 1.3, Verdict::Met),
            (0.98, 0.97, 0.985, Verdict::Missed),
            (0.98, 0.97, 0.99, Verdict::Unsure),
        ] {
            let ratio = Ratio { median, low, high };
            assert_eq!(ratio.at_least(0.99), verdict, "{ratio:?}");
        }
    }
}
