//! Whether two pools can give one address. Of two that share addresses the older one has them.

use super::pool::{Pool, PoolSpec, Range};
use super::spans::address;
use std::net::IpAddr;

/// An AddressPool, as far as it matters whose an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// Its name.
    pub name: String,
    /// When it was created, in seconds of Unix time.
    pub created: i64,
    /// What people wrote.
    pub spec: PoolSpec,
}

/// Addresses that two pools can give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The name of the other pool.
    pub other: String,
    /// The first addresses that both have: from this one,
    pub first: IpAddr,
    /// to this one.
    pub last: IpAddr,
    /// They are the other pool's, because it is older.
    pub yields: bool,
}

/// The pools among `others` that share addresses with `pool`, in the order of their age. A pool of its own name is `pool`.
pub fn overlaps(pool: &Claimant, others: &[Claimant]) -> Vec<Overlap> {
    let Some(own) = addresses(&pool.spec) else { return Vec::new() };
    let is_concerned = |other: &&Claimant| other.name != pool.name && !(other.spec.separate && pool.spec.separate);
    let mut others: Vec<&Claimant> = others.iter().filter(is_concerned).collect();
    others.sort_by(|one, other| age(one).cmp(&age(other)));
    let shared = |other: &&Claimant| {
        let theirs = addresses(&other.spec)?;
        let (is_v4, span) = [true, false].into_iter().find_map(|is_v4| {
            let span = own.usable(is_v4).first_shared(theirs.usable(is_v4))?;
            Some((is_v4, span))
        })?;
        let (first, last) = (address(is_v4, span.first), address(is_v4, span.last));
        Some(Overlap { other: other.name.clone(), first, last, yields: age(other) < age(pool) })
    };
    others.iter().filter_map(shared).collect()
}

/// The older pool comes first. Of two of one second the name decides, so that all nodes decide alike.
fn age(pool: &Claimant) -> (i64, &str) {
    (pool.created, &pool.name)
}

/// What pods can have of the pool. Pods keep the addresses of a range that is draining, and may request reserved ones.
fn addresses(spec: &PoolSpec) -> Option<Pool> {
    let open = |range: &Range| Range { draining: false, reserved: Vec::new(), ..range.clone() };
    let ranges = spec.ranges.iter().map(open).collect();
    Pool::new(&PoolSpec { ranges, ..spec.clone() }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, created: i64, ranges: &[&str], exclude: &[&str]) -> Claimant {
        let range = |range: &&str| Range {
            range: (*range).to_owned(),
            exclude: exclude.iter().map(|text| (*text).to_owned()).collect(),
            ..Range::default()
        };
        let spec = PoolSpec { ranges: ranges.iter().map(range).collect(), ..PoolSpec::implied() };
        Claimant { name: name.to_owned(), created, spec }
    }

    fn told(pool: &Claimant, others: &[Claimant]) -> Vec<(String, String, bool)> {
        let of = |one: Overlap| (one.other, format!("{}-{}", one.first, one.last), one.yields);
        overlaps(pool, others).into_iter().map(of).collect()
    }

    #[test]
    fn of_two_pools_that_share_addresses_the_older_one_has_them() {
        let (old, new) = (pool("b", 1, &["10.0.0.0/24"], &[]), pool("a", 2, &["10.0.0.128/25", "fd00::/64"], &[]));
        let both = [old.clone(), new.clone()];
        let shared = "10.0.0.129-10.0.0.254".to_owned();
        assert_eq!(told(&new, &both), [("b".to_owned(), shared.clone(), true)]);
        assert_eq!(told(&old, &both), [("a".to_owned(), shared, false)]);
        // Of one second.
        let twin = pool("c", 1, &["10.0.0.0/24"], &[]);
        assert!(told(&twin, &both)[0].2 && !told(&old, std::slice::from_ref(&twin))[0].2);
        // The oldest one is named first.
        let names: Vec<String> = told(&twin, &both).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["b", "a"]);
        let v6 = pool("d", 3, &["fd00::/120"], &[]);
        assert_eq!(told(&v6, &both), [("a".to_owned(), "fd00::1-fd00::ff".to_owned(), true)]);
    }

    #[test]
    fn what_no_pod_gets_is_not_shared() {
        let old = pool("a", 1, &["10.0.0.0/24"], &["10.0.0.128/25"]);
        for (other, why) in [
            (pool("b", 2, &["10.0.0.0/24"], &["10.0.0.0/25"]), "each has its half of one subnet"),
            (pool("b", 2, &["10.0.1.0/24"], &[]), "another subnet"),
            (pool("b", 2, &["10.0.0.0/1"], &[]), "no range: it has host bits"),
            (pool("b", 2, &["nonsense"], &[]), "nothing is given of it"),
            (pool("a", 2, &["10.0.0.0/24"], &[]), "itself"),
        ] {
            assert_eq!(told(&other, std::slice::from_ref(&old)), [], "{why}");
        }
    }

    #[test]
    fn pods_keep_addresses_of_a_range_that_is_draining() {
        let old = pool("a", 1, &["10.0.0.0/24"], &[]);
        let mut draining = pool("b", 2, &["10.0.0.0/24"], &[]);
        draining.spec.ranges[0].draining = true;
        assert_eq!(told(&old, std::slice::from_ref(&draining)).len(), 1);
        draining.spec.ranges[0].reserved = vec!["10.0.0.0/25".to_owned()];
        assert!(told(&old, std::slice::from_ref(&draining))[0].1.starts_with("10.0.0.1-"), "and may request these");
        // Two networks that do not reach each other, if both pools say so.
        let separate =
            |pool: &Claimant| Claimant { spec: PoolSpec { separate: true, ..pool.spec.clone() }, ..pool.clone() };
        assert_eq!(told(&separate(&old), std::slice::from_ref(&draining)).len(), 1);
        assert_eq!(told(&separate(&old), &[separate(&draining)]), []);
    }
}
