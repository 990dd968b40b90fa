//! Words that are probably meant where others are written.

/// Longer words are compared with none.
const LONGEST: usize = 120;

/// What a message has after a name that means nothing, where another one is probably `meant`.
pub fn hint(meant: Option<impl std::fmt::Display>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean {meant}?"))
}

/// The word of `known` that is probably meant by `word`: it has the same letters and digits, or differs in one or two
/// of them and is not short.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = letters(word);
    let near = known.into_iter().filter_map(|candidate| {
        let other = letters(candidate);
        if plain.len().max(other.len()) > LONGEST || plain.len().abs_diff(other.len()) > 2 {
            return None;
        }
        let distance = distance(&plain, &other);
        (distance <= 2 && distance * 3 < other.len()).then_some((distance, candidate))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Whether two words have more letters and digits in common than not.
pub fn is_near(one: &str, other: &str) -> bool {
    let (one, other) = (letters(one), letters(other));
    let shorter = one.len().min(other.len());
    one.len().max(other.len()) <= LONGEST && distance(&one, &other) * 2 < shorter
}

fn letters(word: &str) -> Vec<char> {
    word.chars().filter(|c| c.is_alphanumeric()).map(|c| c.to_ascii_lowercase()).collect()
}

/// How many letters have to be put in, left out or replaced, or two neighbours swapped (optimal string alignment).
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let is_swapped = i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b;
            let swapped = if is_swapped { before[j - 1] + 1 } else { usize::MAX };
            let replaced = last[j] + usize::from(a != b);
            row.push(replaced.min(row[j] + 1).min(last[j + 1] + 1).min(swapped));
        }
        before = std::mem::replace(&mut last, row);
    }
    last[other.len()]
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
            ("tpye", "type"),
            ("subent", "subnet"),
        ] {
            assert_eq!(nearest(word, known), Some(meant), "{word}");
        }
        for other in ["pools", "cidr", "ip", "mtu", "exclude", "", "x"] {
            assert_eq!(nearest(other, known), None, "{other}");
        }
        // What differs behind many letters differs.
        let long = "x".repeat(50);
        assert_eq!(nearest(&format!("{long}/storage"), [format!("{long}/vlan").as_str()]), None);
        assert_eq!(nearest(&"x".repeat(LONGEST + 1), ["x".repeat(LONGEST).as_str()]), None);
    }

    #[test]
    fn only_what_is_meant_is_asked() {
        assert_eq!(hint(Some("lan")), "; did you mean lan?");
        assert_eq!(hint(None::<&str>), "");
    }
}
