//! Memory for contents on their way, of all uploads and downloads together: many of them at once take no more than few, and where
//! all of it is taken nobody waits for others who are slow. A transfer goes on then with what its connection holds anyway, in
//! smaller pieces.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// All of it. Beside it there may be the parts of imports, and what connections hold.
const BYTES: usize = 16 << 20;
/// What is counted.
const UNIT: usize = 1 << 10;

/// See the module. Clones share it.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Semaphore>);

/// A part of it, until this is dropped.
#[derive(Debug)]
pub struct Lease {
    /// How much.
    pub bytes: usize,
    _units: OwnedSemaphorePermit,
}

impl Default for Memory {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BYTES / UNIT)))
    }
}

impl Memory {
    /// `most` bytes, or what is there after it was halved as often as need be; None where that would be less than `least`.
    pub fn lease(&self, most: usize, least: usize) -> Option<Lease> {
        let mut bytes = most;
        while bytes >= least {
            let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
            if let Ok(units) = Arc::clone(&self.0).try_acquire_many_owned(units) {
                return Some(Lease { bytes, _units: units });
            }
            bytes /= 2;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_finds_little_gets_less_and_at_last_nothing_until_others_are_done() {
        let memory = Memory::default();
        let large: Vec<Lease> = std::iter::from_fn(|| memory.lease(1 << 20, 1 << 20)).collect();
        assert_eq!(large.len(), BYTES >> 20);
        assert!(memory.lease(UNIT, UNIT).is_none());
        drop(large);
        let _most = memory.lease(BYTES - (300 << 10), UNIT).unwrap();
        let small = memory.lease(1 << 20, 64 << 10).unwrap();
        assert_eq!(small.bytes, 256 << 10);
        assert!(memory.lease(1 << 20, 64 << 10).is_none());
    }
}
