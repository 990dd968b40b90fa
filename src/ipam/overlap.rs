//! Two pools with an address in common would give it twice: only the older one is used. Daemons and the controller apply
//! the same rule to what they read; it is no part of the proof that blocks rest on.

use super::pool::{Pool, PoolSpec};

/// A pool as it is compared with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aged<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was created, in seconds of Unix time.
    pub created: i64,
    /// What it has.
    pub spec: &'a PoolSpec,
}

/// Whether two pools have an address in common that both may give. A pool whose specification is none has no address. Pools
/// that both say that they are `separate` have none in common.
pub fn is_shared(one: &PoolSpec, other: &PoolSpec) -> bool {
    if one.separate && other.separate {
        return false;
    }
    let (one, other) = (Pool::new(one), Pool::new(other));
    one.is_ok_and(|one| other.is_ok_and(|other| one.meets(&other)))
}

/// Of `others`, the oldest that `pool` gives way to: one with an address in common that was created before it, or in the
/// same second and with the smaller name.
pub fn gives_way_to<'a>(pool: Aged<'_>, others: impl IntoIterator<Item = Aged<'a>>) -> Option<Aged<'a>> {
    let age = |pool: &Aged<'a>| (pool.created, pool.name);
    let is_older = |other: &Aged<'a>| age(other) < (pool.created, pool.name);
    others.into_iter().filter(|other| is_older(other) && is_shared(pool.spec, other.spec)).min_by_key(age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipam::pool::Range;

    fn spec(range: &str, exclude: &[&str]) -> PoolSpec {
        let exclude = exclude.iter().map(|text| (*text).to_owned()).collect();
        let range = Range { range: range.to_owned(), exclude, ..Range::default() };
        PoolSpec { ranges: vec![range], ..PoolSpec::default() }
    }

    /// The name of the pool that `own`, created at 10 as `m`, gives way to.
    fn of<'a>(own: &PoolSpec, others: &'a [(&'a str, i64, PoolSpec)]) -> Option<&'a str> {
        let aged = others.iter().map(|(name, created, spec)| Aged { name, created: *created, spec });
        gives_way_to(Aged { name: "m", created: 10, spec: own }, aged).map(|pool| pool.name)
    }

    #[test]
    fn of_two_pools_with_one_address_the_older_one_is_used() {
        let own = spec("10.0.0.0/24", &[]);
        let inside = || spec("10.0.0.128/25", &[]);
        // Two nodes that compare the same pools agree: of each pair exactly one gives way.
        assert_eq!(of(&own, &[("z", 9, inside())]), Some("z"));
        assert_eq!(of(&own, &[("a", 11, inside())]), None);
        assert_eq!(of(&own, &[("a", 10, inside())]), Some("a"));
        assert_eq!(of(&own, &[("z", 10, inside())]), None);
        assert_eq!(of(&own, &[("m", 10, own.clone())]), None, "itself");
        assert_eq!(of(&own, &[("y", 9, inside()), ("a", 9, inside()), ("x", 8, inside())]), Some("x"));
    }

    #[test]
    fn pools_of_one_subnet_with_other_addresses_do_not_meet() {
        let (low, high) = (spec("10.0.0.0/24", &["10.0.0.128/25"]), spec("10.0.0.0/24", &["10.0.0.0/25"]));
        assert_eq!(of(&low, &[("a", 1, high.clone())]), None);
        assert_eq!(of(&low, &[("a", 1, spec("10.0.1.0/24", &[])), ("b", 1, spec("fd00::/64", &[]))]), None);
        let mut other = high;
        other.ranges[0].exclude = vec!["10.0.0.0/26".to_owned()];
        assert_eq!(of(&low, &[("a", 1, other.clone())]), Some("a"));
        // What drains, and what may only be asked for, is in use all the same.
        other.ranges[0].draining = true;
        assert_eq!(of(&low, &[("a", 1, other.clone())]), Some("a"));
        other.ranges[0] = Range { reserved: vec!["10.0.0.64/26".to_owned()], ..other.ranges[0].clone() };
        assert_eq!(of(&low, &[("a", 1, other.clone())]), Some("a"));
        // One that is none has no address.
        other.ranges[0].range = "10.0.0.1/24".to_owned();
        assert_eq!(of(&low, &[("a", 1, other)]), None);
    }

    #[test]
    fn pools_of_other_networks_may_have_the_same_addresses() {
        let own = PoolSpec { separate: true, ..spec("10.0.0.0/24", &[]) };
        assert_eq!(of(&own, &[("a", 1, own.clone())]), None);
        assert_eq!(
            of(&own, &[("a", 1, PoolSpec { separate: false, ..own.clone() })]),
            Some("a"),
            "both have to say so"
        );
    }
}
