//! What is said of how much a disk can still promise. It moves with every file that a share without a limit gets, and who
//! hears of it writes it down for the whole cluster: so a figure stands until a promise was made or taken back, or until it is
//! clearly another.

use workspacefs_api::level;

use crate::folders::types::Overview;
use crate::sizes::BLOCK;

/// What was said last.
#[derive(Debug, Default)]
pub struct Told(Option<(Promised, u64)>);

/// What only making and removing changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Promised {
    bytes: u64,
    folders: u64,
    trash_folders: u64,
}

impl Told {
    /// The largest volume that can still be made, in whole blocks.
    pub fn available(&mut self, disk: &Overview) -> u64 {
        let promised = Promised {
            bytes: disk.bytes_promised,
            folders: disk.file_systems + disk.claims,
            trash_folders: disk.trash_folders,
        };
        let now = disk.bytes_unpromised / BLOCK * BLOCK;
        match self.0 {
            Some((before, told)) if before == promised && !level::has_moved(told, now, disk.bytes_total) => {
                told
            }
            _ => {
                self.0 = Some((promised, now));
                now
            }
        }
    }

    /// The next figure is what there is then.
    pub fn forget(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn a_figure_stands_until_a_promise_changes_or_it_is_clearly_another() {
        let first = Overview {
            bytes_total: 100 * GIB,
            bytes_unpromised: 50 * GIB + 5,
            bytes_promised: 10 * GIB,
            file_systems: 2,
            ..Overview::default()
        };
        let later = |less: u64| Overview { bytes_unpromised: first.bytes_unpromised - less, ..first };
        for (change, now, said) in [
            ("nothing", first, 50 * GIB),
            ("a file in a share without a limit", later(GIB / 2), 50 * GIB),
            ("many", later(GIB + BLOCK), 49 * GIB - BLOCK),
            (
                "a small volume made",
                Overview { bytes_promised: first.bytes_promised + BLOCK, file_systems: 3, ..later(BLOCK) },
                50 * GIB - BLOCK,
            ),
            ("a share made", Overview { file_systems: 3, ..later(BLOCK) }, 50 * GIB - BLOCK),
            ("a folder of the trash gone", Overview { trash_folders: 1, ..later(BLOCK) }, 50 * GIB - BLOCK),
            ("no room any more", Overview { bytes_unpromised: 1, ..first }, 0),
        ] {
            let mut told = Told::default();
            assert_eq!(told.available(&first), 50 * GIB);
            assert_eq!(told.available(&now), said, "{change}");
            assert_eq!(told.available(&now), said, "{change}, and nothing more");
        }
        let mut told = Told::default();
        told.available(&first);
        told.forget();
        assert_eq!(told.available(&later(BLOCK)), 50 * GIB - BLOCK);
    }
}
