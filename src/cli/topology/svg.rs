//! The tree as a picture: a column for each kind of box, a row for each interface, and a line to what it hangs on.
//! Written by hand: it needs no program, no font and no network. Pure.

use crate::cli::topology::model::{Branch, Kind};
use crate::sys::printable;

/// The height of a row.
const ROW: usize = 34;
/// The height of a box.
const BOX: usize = 26;
/// Above the first row is the heading.
const TOP: usize = 44;
/// The width of a character of 12 pixels, generously.
const CHARACTER: usize = 7;
/// Between two columns.
const GAP: usize = 56;
/// Between a name and its detail, in characters.
const BETWEEN: usize = 2;
/// Around everything.
const MARGIN: usize = 16;
/// The longest text of a box, in characters.
const LONGEST: usize = 64;
/// So much of a name is left at least, where addresses are long.
const SHORTEST_NAME: usize = 24;

/// A box with its place.
struct Placed<'a> {
    branch: &'a Branch,
    /// Its middle, in half rows.
    middle: usize,
    children: Vec<Placed<'a>>,
}

/// The picture.
pub fn svg(nodes: &[Branch]) -> String {
    let mut next = 0;
    let placed: Vec<Placed<'_>> = nodes.iter().map(|node| place(node, &mut next)).collect();
    let widths = Kind::COLUMNS.map(|kind| width(nodes, kind));
    let lefts = lefts(&widths);
    let right = lefts[3] + widths[3] + MARGIN;
    let height = TOP + next.max(1) * ROW + MARGIN;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{right}\" height=\"{height}\" viewBox=\"0 0 {right} {height}\" font-family=\"ui-sans-serif, system-ui, sans-serif\" font-size=\"12\">\n<title>Networks of pods</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (kind, left) in Kind::COLUMNS.iter().zip(lefts) {
        text.push_str(&format!(
            "<text x=\"{left}\" y=\"24\" fill=\"#57606a\" font-weight=\"600\">{}</text>\n",
            kind.heading()
        ));
    }
    let picture = Picture { lefts, widths };
    placed.iter().for_each(|node| picture.lines(node, &mut text));
    placed.iter().for_each(|node| picture.boxes(node, &mut text));
    text.push_str("</svg>\n");
    text
}

/// Interfaces have the rows one after the other; the others are beside the first of what hangs on them, so that in a
/// picture of many screens each group begins with its names.
fn place<'a>(branch: &'a Branch, next: &mut usize) -> Placed<'a> {
    let children: Vec<Placed<'a>> = branch.children.iter().map(|child| place(child, next)).collect();
    let middle = children.first().map_or_else(
        || {
            *next += 1;
            (*next - 1) * 2
        },
        |first| first.middle,
    );
    Placed { branch, middle, children }
}

fn width(nodes: &[Branch], kind: Kind) -> usize {
    let length = |branch: &Branch| {
        let (name, detail) = label(branch);
        name.chars().count() + if detail.is_empty() { 0 } else { BETWEEN + detail.chars().count() }
    };
    let own = |branch: &Branch| if branch.kind.column() == kind.column() { length(branch) } else { 0 };
    fn longest(branches: &[Branch], own: &dyn Fn(&Branch) -> usize) -> usize {
        branches.iter().map(|branch| own(branch).max(longest(&branch.children, own))).max().unwrap_or_default()
    }
    longest(nodes, &own).max(kind.heading().len()) * CHARACTER + 20
}

fn lefts(widths: &[usize; 4]) -> [usize; 4] {
    let mut left = MARGIN;
    widths.map(|width| {
        let this = left;
        left += width + GAP;
        this
    })
}

/// Name and detail of a box. Of a long name the middle is left out, because pods of one Deployment differ at the end.
fn label(branch: &Branch) -> (String, String) {
    let (name, detail) = (printable::line(&branch.name), printable::line(&branch.told()));
    let name = shortened(&name, LONGEST.saturating_sub(detail.chars().count() + BETWEEN).max(SHORTEST_NAME));
    let rest = LONGEST.saturating_sub(name.chars().count() + BETWEEN);
    (name, shortened(&detail, rest))
}

/// `text` with at most `longest` characters.
fn shortened(text: &str, longest: usize) -> String {
    let count = text.chars().count();
    if count <= longest {
        return text.to_owned();
    }
    let head = longest / 2;
    let tail = longest.saturating_sub(head + 1);
    text.chars().take(head).chain(['…']).chain(text.chars().skip(count - tail)).collect()
}

/// `text` as XML has it.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

struct Picture {
    lefts: [usize; 4],
    widths: [usize; 4],
}

impl Picture {
    fn middle(placed: &Placed<'_>) -> usize {
        TOP + placed.middle * ROW / 2 + ROW / 2
    }

    fn lines(&self, placed: &Placed<'_>, text: &mut String) {
        let column = placed.branch.kind.column();
        let (from, y) = (self.lefts[column] + self.widths[column], Self::middle(placed));
        for child in &placed.children {
            let (to, end) = (self.lefts[child.branch.kind.column()], Self::middle(child));
            let half = usize::midpoint(from, to);
            text.push_str(&format!(
                "<path d=\"M{from} {y} H{half} V{end} H{to}\" fill=\"none\" stroke=\"#8c959f\"/>\n"
            ));
            self.lines(child, text);
        }
    }

    fn boxes(&self, placed: &Placed<'_>, text: &mut String) {
        let column = placed.branch.kind.column();
        let (fill, stroke) = match placed.branch.kind {
            Kind::Node => ("#ddf4ff", "#0969da"),
            Kind::Link => ("#fff8c5", "#9a6700"),
            Kind::Network => ("#dafbe1", "#1a7f37"),
            Kind::Interface | Kind::Pod => ("#f6f8fa", "#57606a"),
        };
        let (left, middle) = (self.lefts[column], Self::middle(placed));
        let (name, detail) = label(placed.branch);
        let detail = match detail.as_str() {
            "" => detail,
            detail => format!("<tspan dx=\"10\" fill=\"#57606a\">{}</tspan>", escaped(detail)),
        };
        let whole = match placed.branch.told().as_str() {
            "" => placed.branch.name.clone(),
            detail => format!("{} · {detail}", placed.branch.name),
        };
        text.push_str(&format!(
            "<g><title>{}</title><rect x=\"{left}\" y=\"{}\" width=\"{}\" height=\"{BOX}\" rx=\"5\" fill=\"{fill}\" stroke=\"{stroke}\"/><text x=\"{}\" y=\"{}\" fill=\"#1f2328\">{}{detail}</text></g>\n",
            escaped(&printable::line(&whole)),
            middle - BOX / 2,
            self.widths[column],
            left + 10,
            middle + 4,
            escaped(&name)
        ));
        placed.children.iter().for_each(|child| self.boxes(child, text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::topology::model::{Leaf, tree};

    #[test]
    fn no_two_boxes_overlap_and_no_text_is_markup() {
        let leaf = |number: usize| Leaf {
            node: format!("n{}", number % 3),
            link: "bridge <br>".into(),
            network: format!("x/{}", number % 5),
            pod: format!("x/pod-{number}"),
            interface: "net1".into(),
            addresses: vec!["fd00::1".repeat(12)],
            ..Leaf::default()
        };
        let leaves: Vec<Leaf> = (0..50).map(leaf).collect();
        let text = svg(&tree(&leaves));
        assert!(!text.contains("<br>") && text.contains("&lt;br&gt;") && text.contains('…'), "{text}");
        let number = |line: &str, key: &str| -> usize {
            let rest = line.split_once("<rect ").unwrap().1.split_once(&format!("{key}=\"")).unwrap().1;
            rest.split_once('"').unwrap().0.parse().unwrap()
        };
        let mut boxes: Vec<(usize, usize)> = text
            .lines()
            .filter(|line| line.starts_with("<g>"))
            .map(|line| (number(line, "x"), number(line, " y")))
            .collect();
        boxes.sort_unstable();
        assert!(boxes.len() > 50);
        for two in boxes.windows(2) {
            assert!(two[0].0 != two[1].0 || two[0].1 + BOX < two[1].1, "{two:?}");
        }
    }

    #[test]
    fn long_names_keep_their_ends_and_their_addresses() {
        let branch = |name: &str, detail: &str| Branch {
            kind: Kind::Interface,
            name: name.into(),
            detail: detail.into(),
            note: String::new(),
            children: Vec::new(),
        };
        let (name, detail) = label(&branch(&format!("x/{}-17 net1", "a".repeat(60)), "10.0.0.1, fd00::1"));
        assert!(name.starts_with("x/aaa") && name.ends_with("-17 net1") && name.contains('…'), "{name}");
        assert_eq!(detail, "10.0.0.1, fd00::1");
        let (name, detail) = label(&branch(&"a".repeat(80), &"b".repeat(80)));
        assert_eq!(name.chars().count() + BETWEEN + detail.chars().count(), LONGEST);
    }

    #[test]
    fn an_empty_picture_is_one() {
        assert!(svg(&[]).ends_with("</svg>\n"));
    }
}
