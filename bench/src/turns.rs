//! The same calls on one file by several paths, in turns, call by call: what slows the computer down for longer than one call slows
//! all paths down alike, so that a difference of a part in a hundred is seen where turns of half a second show noise.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::fs::OFlags;

/// What O_DIRECT wants of a buffer, at most: a page.
const ALIGNMENT: usize = 4096;

/// What is called.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    /// Bytes of a call.
    pub block: usize,
    /// Whether it writes.
    pub write: bool,
    /// Whether it goes all over the file; otherwise from start to end, again and again.
    pub random: bool,
}

/// Calls for so long past the page cache; per path, bytes per second of each batch of so many rounds.
///
/// # Errors
/// A path, or a call, failed; or the file has not one block.
pub fn measure(paths: &[PathBuf], calls: Calls, time: Duration, batch: usize) -> Result<Vec<Vec<f64>>> {
    let open = |path: &PathBuf| {
        let mut options = OpenOptions::new();
        options.read(true).write(calls.write).custom_flags(OFlags::DIRECT.bits().cast_signed());
        options.open(path).with_context(|| path.display().to_string())
    };
    let files: Vec<File> = paths.iter().map(open).collect::<Result<_>>()?;
    let length = files.first().context("no file")?.metadata()?.len();
    let blocks = usize::try_from(length)? / calls.block;
    ensure!(blocks > 0, "the file has no block");
    let mut memory = vec![7; calls.block + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    let buffer = memory.get_mut(start..start + calls.block).context("no memory is aligned")?;

    let began = Instant::now();
    let mut reached = vec![Vec::new(); files.len()];
    let mut round = 0;
    while began.elapsed() < time {
        let mut took = vec![Duration::ZERO; files.len()];
        for _ in 0..batch {
            let block = if calls.random { round * 7_368_787 % blocks } else { round % blocks };
            let place = (block * calls.block) as u64;
            for index in turns(round, files.len()) {
                let called = Instant::now();
                match calls.write {
                    true => files[index].write_all_at(buffer, place)?,
                    false => files[index].read_exact_at(buffer, place)?,
                }
                took[index] += called.elapsed();
            }
            round += 1;
        }
        let bytes = (batch * calls.block) as f64;
        reached.iter_mut().zip(took).for_each(|(reached, took)| reached.push(bytes / took.as_secs_f64()));
    }
    Ok(reached)
}

/// Who is called in a round. Each begins as often as the others, and is followed by each as often: what comes first may be slower.
fn turns(round: usize, paths: usize) -> impl Iterator<Item = usize> {
    let backwards = (round / paths) % 2 == 1;
    (0..paths).map(move |turn| (round + if backwards { paths - turn } else { turn }) % paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_called_once_a_round_first_equally_often_and_after_each_other_one_equally_often() {
        let rounds: Vec<Vec<usize>> = (0..6).map(|round| turns(round, 3).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [1, 0, 2], [2, 1, 0]]);
    }

    #[test]
    fn each_batch_has_a_figure_for_each_path_and_writes_are_where_they_should_be() {
        let folder = tempfile::tempdir_in(".").unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, vec![0; 64 << 10]).unwrap();
        let calls = Calls { block: 4096, write: true, random: true };
        let paths = [path.clone(), path.clone()];
        let reached = measure(&paths, calls, Duration::from_millis(50), 16).unwrap();
        assert!(reached.len() == 2 && reached[0].len() == reached[1].len() && !reached[0].is_empty());
        assert!(reached.iter().flatten().all(|figure| figure.is_finite() && *figure > 0.0));
        // All sixteen blocks are met by a batch, since the step is odd.
        assert_eq!(std::fs::read(&path).unwrap(), vec![7; 64 << 10]);
        let calls = Calls { block: 128 << 10, ..calls };
        assert!(measure(&paths, calls, Duration::ZERO, 1).is_err(), "the file has no such block");
    }
}
