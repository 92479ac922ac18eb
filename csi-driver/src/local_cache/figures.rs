//! How much the node's cache is of use, and how full it is: a handful of figures per node, whatever is read through it.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::protocol::{Space, Tended};
use super::stats::Stats;

/// The figures. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct CacheFigures {
    hits: Counter<u64, AtomicU64>,
    misses: Counter<u64, AtomicU64>,
    culled: Counter<u64, AtomicU64>,
    bound: Gauge<i64>,
    size: Gauge<i64>,
    used: Gauge<i64>,
}

impl CacheFigures {
    /// Figures that are in `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let figures = Self::default();
        registry.register(
            "fs_cache_hits",
            "Readings that the node's FS-Cache answered, as the kernel counts them since it was started; before Linux 6.4 the kernel counts a reading that the cache does not have among them, and they are all readings less what was stored",
            figures.hits.clone(),
        );
        registry.register(
            "fs_cache_misses",
            "Readings that came from a server and were stored in the FS-Cache, as the kernel counts them; rising as fast as the hits: it is too small for what is read",
            figures.misses.clone(),
        );
        registry.register(
            "fs_cache_culled_files",
            "Cached files that were thrown away for want of room",
            figures.culled.clone(),
        );
        registry.register(
            "fs_cache_bound",
            "1 while the FS-Cache is in use; alert on 0 where a LocalStorage asks for one: what is mounted meanwhile is not cached",
            figures.bound.clone(),
        );
        registry.register("fs_cache_size_bytes", "Size of the FS-Cache's file system", figures.size.clone());
        registry.register("fs_cache_used_bytes", "Taken in the FS-Cache", figures.used.clone());
        figures
    }

    /// Takes in what a pass did.
    pub fn tended(&self, tended: &Tended) {
        self.culled.inc_by(tended.culled);
        self.bound.set(1);
        self.space(tended.space);
    }

    /// No cache is bound.
    pub fn unbound(&self) {
        self.bound.set(0);
        self.space(Space::default());
    }

    /// Takes in what the kernel counts.
    pub fn counted(&self, stats: Stats) {
        // A difference of two of its counts may go down for a moment, which would be taken for a count that begins anew.
        let is_anew = stats.misses < self.misses.get();
        let hits = if is_anew { stats.hits } else { stats.hits.max(self.hits.get()) };
        self.hits.inner().store(hits, Ordering::Relaxed);
        self.misses.inner().store(stats.misses, Ordering::Relaxed);
    }

    fn space(&self, space: Space) {
        let number = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.size.set(number(space.bytes_total));
        self.used.set(number(space.bytes_used));
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn figures_are_those_of_the_latest_pass_and_thrown_away_files_add_up() {
        let mut registry = Registry::with_prefix("workspacefs");
        let figures = CacheFigures::new(&mut registry);
        let space = Space { bytes_total: 100, bytes_used: 7 };
        let tended = Tended { culled: 3, space, ..Tended::default() };
        figures.tended(&tended);
        figures.tended(&tended);
        figures.counted(Stats { hits: 5, misses: 2 });
        figures.counted(Stats { hits: 6, misses: 2 });
        let text = |registry: &Registry| {
            let mut text = String::new();
            encode(&mut text, registry).unwrap();
            text
        };
        let said = text(&registry);
        for line in [
            "workspacefs_fs_cache_hits_total 6",
            "workspacefs_fs_cache_misses_total 2",
            "workspacefs_fs_cache_culled_files_total 6",
            "workspacefs_fs_cache_bound 1",
            "workspacefs_fs_cache_size_bytes 100",
            "workspacefs_fs_cache_used_bytes 7",
        ] {
            assert!(said.lines().any(|found| found == line), "{line} in\n{said}");
        }
        figures.unbound();
        assert!(text(&registry).contains("workspacefs_fs_cache_bound 0\n"));
    }

    #[test]
    fn hits_go_down_only_when_the_kernel_counts_anew() {
        let figures = CacheFigures::default();
        for (hits, misses, told) in [(5, 2, 5), (4, 3, 5), (6, 3, 6), (1, 0, 1)] {
            figures.counted(Stats { hits, misses });
            assert_eq!((figures.hits.get(), figures.misses.get()), (told, misses));
        }
    }
}
