//! What the C library's allocator does with large blocks.

/// With which glibc begins, bytes.
#[cfg(target_env = "gnu")]
const LARGE_BYTES: libc::c_int = 128 << 10;

/// From now on a block of 128 KiB or more is a mapping of its own, which goes back to the kernel when it is freed. Left alone,
/// glibc takes for this limit the largest such block that was ever freed: buffers then lie among small things, in heaps that
/// only grow (mallopt(3), `M_MMAP_THRESHOLD`). Other C libraries are left as they are.
#[allow(unsafe_code)]
pub fn give_back_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number, under the allocator's own lock. What it cannot set stays as it is.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES);
    }
}

#[cfg(test)]
#[cfg(target_env = "gnu")]
mod tests {
    use super::*;

    /// Bytes of memory that is here now.
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() << 12
    }

    #[test]
    fn what_large_blocks_took_is_given_back_though_small_ones_lie_between() {
        give_back_large_blocks();
        // By which the limit would rise.
        drop(std::hint::black_box(vec![1_u8; 8 << 20]));
        let before = resident();
        let both: Vec<_> = (0..64).map(|n| (vec![n; 1 << 20], vec![n; 100])).collect();
        let most = resident();
        let small: Vec<_> = both.into_iter().map(|(_, small)| small).collect();
        assert!(most - before >= 60 << 20, "{most} {before}");
        assert!(resident() < before + (8 << 20), "{} {before}", resident());
        assert_eq!(small.len(), 64);
    }
}
