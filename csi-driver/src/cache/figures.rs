//! How often a copy was shown, and how often its path fell through to the source.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counts copies that volumes were to get. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct CopyFigures(Family<Labels, Counter>);

#[derive(Clone, Debug, Eq, EncodeLabelSet, Hash, PartialEq)]
struct Labels {
    outcome: &'static str,
}

impl CopyFigures {
    /// Figures that are in `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let figures = Self::default();
        registry.register(
            "cache_copies",
            "Cached paths of published volumes; alert on outcome source: the copy was missing or silent",
            figures.0.clone(),
        );
        figures
    }

    /// Counts one; `is_shown` or else read from the source.
    pub fn count(&self, is_shown: bool) {
        let outcome = if is_shown { "copy" } else { "source" };
        self.0.get_or_create(&Labels { outcome }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_counted_by_whether_they_were_shown_and_by_nothing_that_grows() {
        let mut registry = Registry::with_prefix("workspacefs");
        let figures = CopyFigures::new(&mut registry);
        for is_shown in [true, false, true] {
            figures.clone().count(is_shown);
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        lines.sort_unstable();
        let expected = [
            r#"workspacefs_cache_copies_total{outcome="copy"} 2"#,
            r#"workspacefs_cache_copies_total{outcome="source"} 1"#,
        ];
        assert_eq!(lines, expected);
    }
}
