//! What the C library's allocator does with large blocks.

/// From now on a block of so many bytes or more is a mapping of its own, which goes back to the kernel when it is freed. Left alone,
/// glibc takes for this limit the largest such block that was ever freed: buffers then lie among small things, in heaps that
/// only grow (mallopt(3), `M_MMAP_THRESHOLD`). Other C libraries are left as they are.
#[allow(unsafe_code)]
pub fn map_blocks_from(bytes: u32) {
    #[cfg(target_env = "gnu")]
    // SAFETY: it sets a number, under the allocator's own lock. What it cannot set stays as it is.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX));
    }
    #[cfg(not(target_env = "gnu"))]
    let _ = bytes;
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    /// Bytes of memory that is here now.
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() << 12
    }

    #[test]
    fn what_large_blocks_took_is_given_back_though_small_ones_lie_between() {
        map_blocks_from(128 << 10);
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
