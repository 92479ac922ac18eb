//! Which paths are left out to hold the limit of capacity.

/// Whether each path is taken, by its bytes. In the spec's order each is taken that still fits: a path is never left
/// out for one that comes after it.
pub(crate) fn taken(sizes: &[u64], capacity: u64) -> Vec<bool> {
    let mut left = capacity;
    let mut fits = |size: &u64| {
        let rest = left.checked_sub(*size);
        left = rest.unwrap_or(left);
        rest.is_some()
    };
    sizes.iter().map(&mut fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_beyond_the_limit_is_left_out_and_what_comes_first_is_taken_first() {
        for (sizes, capacity, expected) in [
            (&[10, 10, 10][..], 30, &[true, true, true][..]),
            (&[10, 10, 10], 29, &[true, true, false]),
            (&[10, 100, 5], 20, &[true, false, true]),
            (&[100, 5], 20, &[false, true]),
            (&[1, 0], 0, &[false, true]),
            (&[u64::MAX, u64::MAX], u64::MAX, &[true, false]),
        ] {
            assert_eq!(taken(sizes, capacity), expected, "{sizes:?} {capacity}");
        }
    }
}
