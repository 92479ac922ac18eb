//! Whether the slow file system serves many at once, which all that is measured on it rests on.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::client::{Settings, SlowFs};
use crate::operation::Operation;

const NAMES: usize = 2000;
const THREADS: usize = 32;

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct SelfCheck {
    /// How long 32 threads took to look at 2,000 names in one directory, 1 ms each: 0.1 s, or 2.3 s if one waits for the
    /// other.
    pub elapsed: Duration,
    /// The most of them that waited at the same time.
    pub at_once: u64,
    /// How many names were asked for.
    pub lookups: u64,
}

/// Mounts it in this folder, which is empty, and looks.
///
/// # Errors
/// It cannot be mounted, or a name is missing.
pub fn self_check(program: &Path, folder: &Path) -> io::Result<SelfCheck> {
    let (lower, mountpoint) = (folder.join("lower"), folder.join("slow"));
    std::fs::create_dir(&lower)?;
    std::fs::create_dir(&mountpoint)?;
    let name = |number: usize| format!("name-{number:04}");
    (0..NAMES).try_for_each(|number| std::fs::write(lower.join(name(number)), ""))?;

    let settings = Settings { delay: Duration::from_millis(1), plus: false, read_only: true };
    let mut slow = SlowFs::start(program, &lower, &mountpoint, settings)?;
    let look = |thread: usize| {
        let mut numbers = (thread..NAMES).step_by(THREADS);
        numbers.try_for_each(|number| mountpoint.join(name(number)).symlink_metadata().map(drop))
    };
    let started = Instant::now();
    std::thread::scope(|scope| -> io::Result<()> {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || look(thread))).collect();
        let mut ends = threads.into_iter().map(|thread| thread.join());
        ends.try_for_each(|end| end.map_err(|_| io::Error::other("a thread panicked"))?)
    })?;
    let elapsed = started.elapsed();
    let counters = slow.counters()?;
    slow.stop()?;
    Ok(SelfCheck { elapsed, at_once: counters.at_once, lookups: counters.of(Operation::Lookup) })
}
