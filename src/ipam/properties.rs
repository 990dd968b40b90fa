//! Pools and stocks, compared with what a loop over all addresses finds.

use super::grant::{Confirmed, Grant, Granted};
use super::holder::{Effect, Event, Holder};
use super::name::PoolName;
use super::pool::{Block, BlockSize, Pool, PoolSpec, Range, Warm};
use super::probe::Probe;
use super::report::{Low, Released, Report};
use super::spans::{Span, Spans};
use super::stock::Stock;
use super::taken::Taken;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

fn spec(ranges: &[(&str, Option<&str>, &[&str])], v4: u32, v6: u32) -> PoolSpec {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let range = |(range, gateway, exclude): &(&str, Option<&str>, &[&str])| Range {
        range: (*range).to_owned(),
        gateway: gateway.map(str::to_owned),
        exclude: texts(exclude),
        ..Range::default()
    };
    PoolSpec {
        block_size: BlockSize { v4, v6 },
        ranges: ranges.iter().map(range).collect(),
        authority_seconds: 100,
        retain_seconds: 100,
        ..PoolSpec::default()
    }
}

fn all_of(spec: &PoolSpec, is_v4: bool) -> Vec<IpAddr> {
    let pool = Pool::new(spec).unwrap();
    let mut taken = BTreeSet::new();
    let mut all = Vec::new();
    while let Some(block) = pool.next_block(is_v4, 7, &taken) {
        assert!(taken.insert(block.first) && taken.len() < 2000);
        let usable = pool.usable_in(&block);
        all.extend(usable.iter().flat_map(|span| span.first..=span.last).map(|n| super::spans::address(is_v4, n)));
    }
    all.sort();
    all
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_range_gives() {
    let of = |range, gateway, exclude: &[&str]| {
        texts(&all_of(&spec(&[(range, gateway, exclude)], 2, 2), !str::contains(range, ":")))
    };
    assert_eq!(of("10.0.0.0/29", Some("10.0.0.1"), &["10.0.0.5-10.0.0.6"]), ["10.0.0.2", "10.0.0.3", "10.0.0.4"]);
    // RFC 3021
    assert_eq!(of("10.0.0.4/31", None, &[]), ["10.0.0.4", "10.0.0.5"]);
    assert_eq!(of("10.0.0.7/32", None, &[]), ["10.0.0.7"]);
    assert_eq!(of("fd00::/126", None, &[]), ["fd00::1", "fd00::2", "fd00::3"]);
    assert_eq!(of("fd00::4/127", None, &["fd00::5"]), ["fd00::4"]);
    assert_eq!(of("fd00::9/128", None, &[]), ["fd00::9"]);
    assert_eq!(of("10.0.0.0/28", None, &["10.0.0.0/29"]).first().unwrap(), "10.0.0.8");
}

#[test]
fn what_is_no_pool() {
    for (range, gateway, exclude, why) in [
        ("10.0.0.1/24", None, "10.0.0.2", "host bits"),
        ("x", None, "10.0.0.2", "not a subnet"),
        ("224.0.0.0/24", None, "224.0.0.1", "no interface"),
        ("::ffff:10.0.0.0/120", None, "fd00::1", "no interface"),
        ("10.0.0.0/24", Some("10.0.1.1"), "10.0.0.2", "not in range"),
        ("10.0.0.0/24", None, "fd00::1", "another family"),
        ("10.0.0.0/24", None, "10.0.0.9-10.0.0.2", "first-last"),
    ] {
        let error = Pool::new(&spec(&[(range, gateway, &[exclude])], 16, 16)).unwrap_err().to_string();
        assert!(error.contains(why), "{range}: {error}");
    }
    assert!(Pool::new(&spec(&[], 3, 16)).unwrap_err().to_string().contains("power of two"));
    assert!(Pool::new(&spec(&[], 512, 16)).is_err());
}

#[test]
fn a_huge_range_costs_no_more_than_a_small_one() {
    // Case 48: a /64, and a /9 of which nine tenths are excluded.
    let began = std::time::Instant::now();
    let pool =
        Pool::new(&spec(&[("fd00::/64", None, &[]), ("10.0.0.0/9", None, &["10.0.0.0-10.115.255.255"])], 64, 64))
            .unwrap();
    let mut taken = BTreeSet::new();
    for is_v4 in [true, false] {
        for _ in 0..500 {
            let block = pool.next_block(is_v4, u64::MAX, &taken).unwrap();
            assert!(taken.insert(block.first) && !pool.usable_in(&block).is_empty());
        }
    }
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    // Others have all blocks of the /112 that is not excluded: the search ends, without a look at each address.
    let excluded = &["fd00::1:0-fd00::ffff:ffff:ffff:ffff"][..];
    let pool = Pool::new(&spec(&[("fd00::/64", None, excluded)], 64, 256)).unwrap();
    let mut taken = BTreeSet::new();
    while let Some(block) = pool.next_block(false, 7, &taken) {
        assert!(taken.insert(block.first));
    }
    assert_eq!(taken.len(), 256);
    let began = std::time::Instant::now();
    (0..100).for_each(|seed| assert_eq!(pool.next_block(false, seed, &taken), None));
    assert!(began.elapsed().as_millis() < 500, "{:?} for 100 searches", began.elapsed());
}

#[test]
fn ranges_may_change_and_blocks_stay_where_they_are() {
    let small = Pool::new(&spec(&[("10.0.0.0/28", None, &[])], 4, 4)).unwrap();
    let large = Pool::new(&spec(&[("10.0.0.0/24", None, &[]), ("10.0.0.0/27", None, &[])], 4, 4)).unwrap();
    let address = "10.0.0.6".parse().unwrap();
    assert_eq!(small.block_of(address), large.block_of(address));
    assert_eq!(small.block_of(address).hex(), "0a000004");
}

fn grant(spec: &PoolSpec, blocks: &[(&str, &str)]) -> Grant {
    let size = |first: &IpAddr| if first.is_ipv4() { spec.block_size.v4 } else { spec.block_size.v6 };
    let granted = |(first, lease): &(&str, &str)| {
        let first = first.parse().unwrap();
        Granted { first, size: size(&first), lease: (*lease).to_owned() }
    };
    let confirmed = Confirmed { boot: "b".to_owned(), since_boot: 1000, clock: 5000 };
    let grant = Grant::new(PoolName::new("lan").unwrap(), spec, confirmed, blocks.iter().map(granted).collect());
    // As the plugin has it.
    assert_eq!(Grant::parse(&grant.to_text()).as_ref(), Ok(&grant));
    grant
}

#[test]
fn files_that_are_none_are_refused_by_line() {
    let spec = spec(&[("10.0.0.0/24", Some("10.0.0.1"), &["10.0.0.10"]), ("fd00::/64", None, &[])], 4, 4);
    let text = grant(&spec, &[("10.0.0.8", "a"), ("fd00::4", "b")]).to_text();
    assert!(text.contains("\nblock 10.0.0.8 4 a 10.0.0.8 10.0.0.9 10.0.0.11 10.0.0.11\n"), "{text}");
    assert!(Grant::parse(&format!("{text}later words\n")).is_ok());
    // A former release passes over it, and without it nobody is asked.
    assert!(!text.contains("probe") && Grant::parse(&text).unwrap().probe.is_off());
    let probing = Grant { probe: Probe::Refuse, ..Grant::parse(&text).unwrap() };
    assert_eq!(Grant::parse(&probing.to_text()), Ok(probing));
    for bad in
        ["block 10.0.0.8 4", "block 10.0.0.8 512 a", "block 10.0.0.8 4 a 10.0.0.8 10.0.0.12", "subnet x", "warm 1"]
    {
        assert_eq!(Grant::parse(&format!("{text}{bad}\n")).unwrap_err(), "line 11 cannot be read", "{bad}");
    }
    assert!(Grant::parse("").is_err() && Grant::parse("pool ../x\n").is_err());
    let released = Released { first: "10.0.0.8".parse().unwrap(), lease: "a".to_owned() };
    let low = [Low { family: 4, blocks: None }, Low { family: 6, blocks: Some(3) }];
    let report = Report { low: low.to_vec(), released: vec![released] };
    assert_eq!(Report::parse(&report.to_text()), Ok(report));
    assert!(Report::parse("released 10.0.0.8").is_err());
}

#[test]
fn both_clocks_and_the_boot_count() {
    // U4, case 22
    let grant = grant(&spec(&[("10.0.0.0/24", None, &[])], 4, 4), &[]);
    let stock = Stock::new(&grant, &Report::default());
    let at = |boot: &str, since_boot, clock| stock.authorised(&Confirmed { boot: boot.to_owned(), since_boot, clock });
    assert!(at("b", 1100, 5100).is_ok());
    assert!(at("b", 1100, 4000).is_ok(), "a clock that was set back");
    for refused in [at("c", 1, 5001), at("b", 1101, 4000), at("b", 1001, 5101)] {
        assert!(refused.is_err());
    }
}

#[test]
fn what_was_given_back_is_not_taken_until_it_is_leased_again() {
    let spec = spec(&[("10.0.0.0/24", None, &[])], 4, 4);
    let given_back = Report {
        low: Vec::new(),
        released: vec![Released { first: "10.0.0.8".parse().unwrap(), lease: "a".to_owned() }],
    };
    let free = |lease| {
        let grant = grant(&spec, &[("10.0.0.8", lease), ("10.0.0.12", "x")]);
        let stock = Stock::new(&grant, &given_back);
        assert_eq!(stock.offers("10.0.0.9".parse().unwrap()), lease != "a");
        assert_eq!(stock.report(&Taken::default()).released.len(), usize::from(lease == "a"));
        stock.candidates(true, None, &Taken::default()).count()
    };
    assert_eq!((free("a"), free("b")), (4, 8));
}

#[test]
fn a_block_goes_back_while_the_others_keep_enough() {
    let mut spec = spec(&[("10.0.0.0/24", None, &[])], 4, 4);
    spec.warm = Warm { min: 2, max: 4 };
    let grant = grant(&spec, &[("10.0.0.8", "a"), ("10.0.0.12", "b"), ("10.0.0.16", "c")]);
    let stock = Stock::new(&grant, &Report::default());
    let report = |taken: &[&str]| {
        let report = stock.report(&taken.iter().map(|ip| ip.parse().unwrap()).collect());
        let first: Vec<String> = report.released.iter().map(|released| released.first.to_string()).collect();
        (first, report.low.iter().map(|low| low.family).collect::<Vec<_>>())
    };
    assert_eq!(report(&["10.0.0.8", "10.0.0.13"]), (vec!["10.0.0.16".to_owned()], vec![]));
    assert_eq!(report(&["10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.13", "10.0.0.14"]), (vec![], vec![]));
    assert_eq!(report(&[]).0.len(), 2, "one of three empty blocks is kept");
    let all: Vec<String> = (8..19).map(|n| format!("10.0.0.{n}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(report(&all), (vec![], vec![4]));
}

#[test]
fn a_node_that_runs_low_leases_what_is_enough_and_no_more() {
    // The report stays as it is until the next call, and the daemon looks at it every second.
    let mut spec = spec(&[("10.0.0.0/24", None, &[])], 4, 4);
    spec.warm = Warm { min: 6, max: 9 };
    let blocks = [("10.0.0.8", "a"), ("10.0.0.12", "b"), ("10.0.0.16", "c"), ("10.0.0.20", "d")];
    let held = |count: usize| -> Vec<Granted> {
        grant(&spec, &blocks[..count]).offers.into_iter().map(|offer| offer.granted).collect()
    };
    let taken = ["10.0.0.8", "10.0.0.9", "10.0.0.10"].iter().map(|ip| ip.parse().unwrap()).collect();
    let granted = grant(&spec, &blocks[..1]);
    let report = Stock::new(&granted, &Report::default()).report(&taken);
    let report = Report::parse(&report.to_text()).unwrap();
    assert_eq!([1, 2, 3].map(|count| report.wants(&held(count))), [vec![4], vec![4], vec![]]);
    // A plugin of a former release says less.
    assert_eq!(Report::parse("low 4\n").unwrap().wants(&held(4)), [4]);
    // What is given back does not count.
    let text = format!("{}released 10.0.0.16 c\n", report.to_text());
    assert_eq!(Report::parse(&text).unwrap().wants(&held(3)), [4]);
    // Without a block there is one to begin with.
    let empty = grant(&spec, &[]);
    let first = Stock::new(&empty, &Report::default()).report(&Taken::default());
    assert_eq!((first.wants(&[]), first.wants(&held(1))), (vec![4], vec![]));
}

#[test]
fn a_daemon_that_starts_again_looks_for_a_block_that_was_this_nodes() {
    let block = Block { first: "10.0.0.8".parse().unwrap(), size: 8 };
    let granted = grant(&spec(&[("10.0.0.0/24", None, &[])], 8, 8), &[("10.0.0.8", "a")]);
    let published: Vec<Granted> = granted.offers.iter().map(|offer| offer.granted.clone()).collect();
    let creates = |effects: &[Effect]| effects.iter().any(|one| matches!(one, Effect::Create(it, _) if *it == block));
    // etcd has forgotten it. The daemon is killed after it has withdrawn it, and before somebody says who has it now.
    let mut holder = Holder::new("one".to_owned(), &published, &[]);
    assert!(creates(&holder.step(Event::Listed(Vec::new()))));
    assert_eq!((holder.held(), holder.former()), (Vec::new(), vec![block]));
    let written = Grant { offers: Vec::new(), ..granted.clone() }.looking_for(holder.former());
    let read = Grant::parse(&written.to_text()).unwrap().taken_over("b").unwrap();
    let mut holder = Holder::new("two".to_owned(), &[], &read.former);
    assert!(creates(&holder.step(Event::Listed(Vec::new()))));
    assert_eq!(holder.step(Event::Conflict(block.first)), [Effect::Look(block)]);
    assert_eq!(holder.step(Event::Others(block.first)), [Effect::Publish]);
    assert!(holder.lost().eq([&block.first]));
    // The next one finds that out again, and says it again.
    assert_eq!(holder.former(), [block]);
    // So it is with a grant that was withdrawn; one of another boot counts for nothing.
    let withdrawn = Grant { confirmed: Confirmed::default(), ..granted.clone() };
    assert_eq!(withdrawn.taken_over("b").unwrap().former, [block]);
    assert_eq!(granted.taken_over("another"), None);
}

fn spans() -> impl Strategy<Value = Vec<(u8, u8)>> {
    prop::collection::vec((any::<u8>(), any::<u8>()), 0..8)
}

fn of(ends: &[(u8, u8)]) -> Spans {
    ends.iter().filter_map(|(first, last)| Span::new((*first).into(), (*last).into())).collect()
}

proptest! {
    #[test]
    fn intervals_are_sets(one in spans(), other in spans(), window in any::<(u8, u8)>()) {
        let (left, right) = (of(&one), of(&other));
        let window = Span::new(window.0.min(window.1).into(), window.0.max(window.1).into()).unwrap();
        let (difference, part) = (left.without(&right), left.within(window));
        let mut count = 0;
        for number in 0..300_u128 {
            let within = (window.first..=window.last).contains(&number);
            prop_assert_eq!(difference.contains(number), left.contains(number) && !right.contains(number));
            prop_assert_eq!(part.contains(number), left.contains(number) && within);
            count += u128::from(left.contains(number));
        }
        prop_assert_eq!(left.count(), count);
    }

    #[test]
    fn blocks_cover_the_usable_addresses_once(bits in 24_u8..=32, size in 0_u32..5, holes in spans(), gateway in any::<u8>()) {
        let range = format!("10.0.0.0/{bits}");
        let exclude: Vec<String> = holes
            .iter()
            .filter(|(first, last)| first <= last)
            .map(|(first, last)| format!("10.0.0.{first}-10.0.0.{last}"))
            .collect();
        let exclude: Vec<&str> = exclude.iter().map(String::as_str).collect();
        let addresses = 1_u32 << (32 - bits);
        let gateway = u32::from(gateway) % addresses;
        let text = format!("10.0.0.{gateway}");
        let spec = spec(&[(&range, Some(&text), &exclude)], 1 << size, 16);
        let is_end = |n: u32| bits < 31 && (n == 0 || n == addresses - 1);
        let is_hole = |n: u32| holes.iter().any(|(first, last)| (u32::from(*first)..=u32::from(*last)).contains(&n));
        let expected: Vec<IpAddr> = (0..addresses)
            .filter(|n| !is_end(*n) && !is_hole(*n) && *n != gateway)
            .map(|n| Ipv4Addr::from(0x0a00_0000 + n).into())
            .collect();
        prop_assert_eq!(all_of(&spec, true), expected);
    }

    #[test]
    fn candidates_are_the_free_addresses_once_around(taken in prop::collection::btree_set(0_u8..32, 0..20), last in prop::option::of(0_u8..40)) {
        let grant = grant(&spec(&[("10.0.0.0/27", None, &[])], 8, 8), &[("10.0.0.0", "a"), ("10.0.0.16", "b")]);
        let stock = Stock::new(&grant, &Report::default());
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let used: Taken = taken.iter().copied().map(address).collect();
        let found: Vec<IpAddr> = stock.candidates(true, last.map(address), &used).collect();
        let expected: Vec<IpAddr> = (1..8).chain(16..24).map(address).filter(|ip| !used.contains(*ip)).collect();
        let mut sorted = found.clone();
        sorted.sort();
        prop_assert_eq!(&sorted, &expected);
        if let (Some(last), Some(first)) = (last, found.first()) {
            let next = expected.iter().find(|ip| **ip > address(last)).or(expected.first());
            prop_assert_eq!(Some(first), next);
        }
    }
}
