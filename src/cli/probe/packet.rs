//! The search for the largest packet. Pure.

/// So many sizes are tried at a time.
const AT_ONCE: usize = 16;

/// The largest size up to `most` that passes, where `least` does. `pass` tries several sizes, which are sorted, and
/// answers the largest one that passed.
///
/// A loss looks as if a size does not pass: `pass` has to try each size often enough.
pub fn largest(least: usize, most: usize, mut pass: impl FnMut(&[usize]) -> Option<usize>) -> usize {
    if pass(&[most]) == Some(most) {
        return most;
    }
    let (mut passed, mut lost) = (least.min(most), most);
    while lost - passed > 1 {
        let step = (lost - passed).div_ceil(AT_ONCE + 1);
        let sizes: Vec<usize> = (passed + step..lost).step_by(step).collect();
        match pass(&sizes) {
            Some(best) => {
                lost = sizes.into_iter().find(|size| *size > best).unwrap_or(lost);
                passed = best;
            }
            None => lost = sizes.first().copied().unwrap_or(passed + 1),
        }
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(least: usize, most: usize, limit: usize) -> (usize, usize) {
        let mut rounds = 0;
        let found = largest(least, most, |sizes| {
            rounds += 1;
            assert!(!sizes.is_empty() && sizes.len() <= AT_ONCE && sizes.is_sorted(), "{sizes:?}");
            sizes.iter().copied().filter(|size| *size <= limit).max()
        });
        (found, rounds)
    }

    #[test]
    fn every_limit_is_found_in_a_few_rounds() {
        assert_eq!(found(84, 1500, 1500), (1500, 1));
        for limit in 84..1500 {
            let (size, rounds) = found(84, 1500, limit);
            assert_eq!(size, limit);
            assert!(rounds <= 5, "{limit}: {rounds} rounds");
        }
        for limit in [84, 85, 1399, 1400, 1500, 8950, 8999] {
            assert_eq!(found(84, 9000, limit).0, limit);
        }
        assert_eq!(found(104, 65_535, 40_000).0, 40_000);
    }

    #[test]
    fn odd_bounds_end() {
        assert_eq!(found(84, 84, 84).0, 84);
        assert_eq!(found(84, 68, 60).0, 68);
        assert_eq!(found(84, 85, 84).0, 84);
    }
}
