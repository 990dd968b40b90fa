//! Numbers of things.

/// `1 network`, `3 networks`, `2 copies`: `one` is the singular.
pub fn counted(number: usize, one: &str) -> String {
    let stem = one.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    match (number, stem) {
        (1, _) => format!("1 {one}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) if one.ends_with(['s', 'x', 'h']) => format!("{number} {one}es"),
        (_, None) => format!("{number} {one}s"),
    }
}

/// The same with the verb `verb` of it, as of one thing: `1 network waits`, `3 networks wait`.
pub fn counted_with(number: usize, one: &str, verb: &str) -> String {
    let of_many = match verb {
        "is" => "are",
        "has" => "have",
        "was" => "were",
        other => other.strip_suffix('s').unwrap_or(other),
    };
    format!("{} {}", counted(number, one), if number == 1 { verb } else { of_many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_not_several() {
        assert_eq!(
            ["network", "copy", "network-status", "key"].map(|one| counted(1, one)),
            ["1 network", "1 copy", "1 network-status", "1 key"]
        );
        assert_eq!(
            ["network", "copy", "network-status", "key"].map(|one| counted(2, one)),
            ["2 networks", "2 copies", "2 network-statuses", "2 keys"]
        );
        assert_eq!(counted_with(1, "network", "waits"), "1 network waits");
        assert_eq!(counted_with(0, "network", "is"), "0 networks are");
        assert_eq!(counted_with(2, "pod", "has"), "2 pods have");
        assert_eq!(counted_with(2, "pod", "lacks"), "2 pods lack");
    }
}
