//! The middle half of some figures: how much they vary, beside what they say.

/// Three of the figures, in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quartiles {
    /// A quarter is no more than this.
    pub low: f64,
    /// Half is no more than this.
    pub median: f64,
    /// Three quarters are no more than this.
    pub high: f64,
}

impl Quartiles {
    /// By nearest rank, as [`workspacefs_bench::Summary`] does it. None of none.
    pub fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let rank = |quarters: usize| {
            let at = (figures.len() * quarters).div_ceil(4).max(1) - 1;
            figures.get(at).copied()
        };
        Some(Self { low: rank(1)?, median: rank(2)?, high: rank(3)? })
    }

    /// Whether the figures cannot be told from this one: it is within their middle half.
    pub fn spans(&self, figure: f64) -> bool {
        self.low <= figure && self.high >= figure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_figures_that_were_measured() {
        let quartiles = Quartiles::of(vec![4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(quartiles, Quartiles { low: 1.0, median: 2.0, high: 3.0 });
        assert!(quartiles.spans(1.0) && quartiles.spans(3.0));
        assert!(!quartiles.spans(0.9) && !quartiles.spans(3.1));
        assert_eq!(Quartiles::of(vec![7.0]), Some(Quartiles { low: 7.0, median: 7.0, high: 7.0 }));
        assert_eq!(Quartiles::of(Vec::new()), None);
    }
}
