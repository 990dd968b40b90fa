//! Arithmetic with intervals of addresses: no step depends on how many addresses an interval has.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address as a number.
pub fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address with that number, which fits its family.
pub fn address(is_v4: bool, number: u128) -> IpAddr {
    match u32::try_from(number) {
        Ok(number) if is_v4 => Ipv4Addr::from(number).into(),
        _ => Ipv6Addr::from(number).into(),
    }
}

/// An interval; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first number.
    pub first: u128,
    /// The last number.
    pub last: u128,
}

impl Span {
    /// From `first` to `last`; none where that is empty.
    pub fn new(first: u128, last: u128) -> Option<Self> {
        (first <= last).then_some(Span { first, last })
    }

    /// What both have.
    fn meet(self, other: Span) -> Option<Span> {
        Span::new(self.first.max(other.first), self.last.min(other.last))
    }

    /// How many numbers it has; the whole space counts one less.
    pub fn count(self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }
}

/// Disjoint intervals, ascending, that do not touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans(Vec<Span>);

impl FromIterator<Span> for Spans {
    fn from_iter<I: IntoIterator<Item = Span>>(spans: I) -> Self {
        let mut all: Vec<Span> = spans.into_iter().collect();
        all.sort_unstable();
        let mut merged: Vec<Span> = Vec::new();
        for span in all {
            match merged.last_mut() {
                Some(before) if span.first <= before.last.saturating_add(1) => before.last = before.last.max(span.last),
                _ => merged.push(span),
            }
        }
        Spans(merged)
    }
}

impl Spans {
    /// What is not in `other`.
    #[must_use]
    pub fn without(&self, other: &Spans) -> Spans {
        let mut left = Vec::new();
        for span in &self.0 {
            let mut next = Some(span.first);
            for hole in other.0.iter().filter_map(|hole| hole.meet(*span)) {
                let before = next.and_then(|first| Span::new(first, hole.first.checked_sub(1)?));
                left.extend(before);
                next = hole.last.checked_add(1);
            }
            left.extend(next.and_then(|first| Span::new(first, span.last)));
        }
        Spans(left)
    }

    /// What is in `span`.
    #[must_use]
    pub fn within(&self, span: Span) -> Spans {
        Spans(self.0.iter().filter_map(|own| own.meet(span)).collect())
    }

    /// The first interval that is in both.
    pub fn first_shared(&self, other: &Spans) -> Option<Span> {
        let (mut own, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        while let (Some(one), Some(another)) = (own.peek(), theirs.peek()) {
            if let Some(shared) = one.meet(**another) {
                return Some(shared);
            }
            if one.last < another.last {
                own.next()
            } else {
                theirs.next()
            };
        }
        None
    }

    /// The intervals.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Span> + Clone {
        self.0.iter().copied()
    }

    /// The number at `position`.
    pub fn nth(&self, mut position: u128) -> Option<u128> {
        for span in &self.0 {
            if position < span.count() {
                return Some(span.first + position);
            }
            position -= span.count();
        }
        None
    }

    /// How many numbers there are.
    pub fn count(&self) -> u128 {
        self.0.iter().fold(0_u128, |sum, span| sum.saturating_add(span.count()))
    }

    /// Whether there is no number.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `number` is in one of them.
    pub fn contains(&self, number: u128) -> bool {
        self.0.iter().any(|span| (span.first..=span.last).contains(&number))
    }
}
