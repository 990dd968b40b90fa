//! Words that are probably meant where others are written.

/// The word of `known` that is probably meant by `word`: it has the same letters and digits, or differs in one or two
/// of them and is not short.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = letters(word);
    let near = known.into_iter().filter_map(|candidate| {
        let other = letters(candidate);
        let distance = distance(&plain, &other);
        (distance <= 2 && distance * 3 < other.len()).then_some((distance, candidate))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

fn letters(word: &str) -> Vec<char> {
    word.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).take(40).collect()
}

/// How many letters have to be put in, left out or replaced (Levenshtein).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised() {
        let known = ["subnet", "ranges", "rangeStart", "default-route", "mac", "ips", "dst", "gw", "type"];
        for (word, meant) in [
            ("subnt", "subnet"),
            ("subnets", "subnet"),
            ("range", "ranges"),
            ("range_start", "rangeStart"),
            ("rangStart", "rangeStart"),
            ("defaultroute", "default-route"),
            ("default_routes", "default-route"),
            ("typ", "type"),
        ] {
            assert_eq!(nearest(word, known), Some(meant), "{word}");
        }
        for other in ["pools", "cidr", "ip", "mtu", "exclude", "", "x"] {
            assert_eq!(nearest(other, known), None, "{other}");
        }
    }
}
