//! What may reach a terminal or a log. A plugin's message, a record or a daemon's answer may hold escape sequences,
//! which would act in the name of the person who reads them; and characters that change the order of what is read.

/// Formatting characters (Unicode Cf) and the two separators that end a line, which `char::is_control` does not know.
const FORMATTING: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// Whether a terminal acts on `c` instead of showing it: C0, DEL, C1 and formatting characters.
pub fn acts(c: char) -> bool {
    c.is_control() || (!c.is_ascii() && FORMATTING.iter().any(|(first, last)| (*first..=*last).contains(&c)))
}

/// `text` on one line, a space in the place of every character that a terminal acts on.
pub fn line(text: &str) -> String {
    text.chars().map(|c| if acts(c) { ' ' } else { c }).collect()
}

/// As [`line`], the lines of `text` as they are, each with its end.
pub fn lines(text: &str) -> String {
    text.lines().map(|one| line(one) + "\n").collect()
}

/// The JSON document `text` with such characters escaped as JSON does it: it means the same. serde_json escapes C0
/// only. Outside of strings a document has none but line feeds.
pub fn json(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\n' || !acts(c) {
            printable.push(c);
        } else {
            let mut units = [0; 2];
            printable.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_acts_on_a_terminal() {
        let hostile = "a\u{1b}]0;x\u{7}b\u{9b}2Jc\u{202e}d\ne\u{7f}f\u{e0041}";
        assert_eq!(line(hostile), "a ]0;x b 2Jc d e f ");
        assert_eq!(line("é 漢 👍 ä"), "é 漢 👍 ä");
        assert_eq!(lines("a\u{1b}[2J\r\n\nb"), "a [2J\n\nb\n");
    }

    #[test]
    fn a_document_means_the_same() {
        let value = serde_json::json!({"a\u{9b}": "\u{1b}[2J \u{202e} \u{e0041} \u{7f}\n", "b": ["é"]});
        let printed = json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!printed.chars().any(|c| c != '\n' && acts(c)), "{printed:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), value);
    }
}
