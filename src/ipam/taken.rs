//! Which addresses are taken: found and counted without a look at each of them.

use super::spans::{Span, address, number};
use std::net::IpAddr;

/// A set of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    v4: Vec<u128>,
    v6: Vec<u128>,
}

impl FromIterator<IpAddr> for Taken {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let mut taken = Taken::default();
        for address in addresses {
            taken.numbers_mut(address.is_ipv4()).push(number(address));
        }
        for numbers in [&mut taken.v4, &mut taken.v6] {
            numbers.sort_unstable();
            numbers.dedup();
        }
        taken
    }
}

impl Taken {
    /// Whether `address` is taken.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.numbers(address.is_ipv4()).binary_search(&number(address)).is_ok()
    }

    /// `address` is taken from now on.
    pub fn insert(&mut self, address: IpAddr) {
        let numbers = self.numbers_mut(address.is_ipv4());
        if let Err(at) = numbers.binary_search(&number(address)) {
            numbers.insert(at, number(address));
        }
    }

    /// `address` is free from now on.
    pub fn remove(&mut self, address: IpAddr) {
        let numbers = self.numbers_mut(address.is_ipv4());
        if let Ok(at) = numbers.binary_search(&number(address)) {
            numbers.remove(at);
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = IpAddr> {
        let count = self.v4.len();
        (0..count + self.v6.len()).map(move |at| match at.checked_sub(count) {
            None => address(true, self.v4[at]),
            Some(at) => address(false, self.v6[at]),
        })
    }

    /// How many addresses of the family are taken in `span`.
    pub fn count_in(&self, is_v4: bool, span: Span) -> usize {
        let numbers = self.numbers(is_v4);
        numbers.partition_point(|number| *number <= span.last) - numbers.partition_point(|number| *number < span.first)
    }

    fn numbers(&self, is_v4: bool) -> &[u128] {
        if is_v4 { &self.v4 } else { &self.v6 }
    }

    fn numbers_mut(&mut self, is_v4: bool) -> &mut Vec<u128> {
        if is_v4 { &mut self.v4 } else { &mut self.v6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_counted_apart_and_an_address_once() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let all = ["10.0.0.9", "::a00:9", "10.0.0.3", "10.0.0.9", "fd00::1"];
        let mut taken: Taken = all.into_iter().map(address).collect();
        let span = |first: &str, last: &str| Span::new(number(address(first)), number(address(last))).unwrap();
        assert_eq!(taken.count_in(true, span("10.0.0.3", "10.0.0.9")), 2);
        assert_eq!(taken.count_in(true, span("10.0.0.4", "10.0.0.8")), 0);
        assert_eq!(taken.count_in(false, span("::", "ffff::")), 2);
        assert!(taken.contains(address("10.0.0.3")) && !taken.contains(address("::a00:3")));
        taken.insert(address("10.0.0.5"));
        taken.insert(address("10.0.0.5"));
        assert_eq!(taken.count_in(true, span("10.0.0.4", "10.0.0.9")), 2);
        assert!(taken.contains(address("10.0.0.5")));
        taken.remove(address("10.0.0.3"));
        taken.remove(address("10.0.0.4"));
        let left: Vec<String> = taken.iter().map(|address| address.to_string()).collect();
        assert_eq!(left, ["10.0.0.5", "10.0.0.9", "::a00:9", "fd00::1"]);
    }
}
