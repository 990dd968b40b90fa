//! The table as a picture: a bar for each row, as long as the part of Multus' figure that Plexus needs.

use super::Row;
use std::fmt::Write;

const WIDTH: usize = 910;
const LABELS: usize = 370;
const BAR: usize = 400;
const LINE: usize = 30;
/// So many letters of a label have room.
const LONGEST: usize = 50;
const TOP: usize = 74;

/// An SVG of `rows`; `origin` is its last line.
pub fn svg(rows: &[Row], origin: &str) -> String {
    let height = TOP + rows.len() * LINE + 40;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\" aria-labelledby=\"title\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"14\" fill=\"#1f2933\">\n\
         <title id=\"title\">What Plexus needs of what Multus needs</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\"/>\n\
         <text x=\"16\" y=\"28\" font-size=\"17\" font-weight=\"bold\">Plexus compared with Multus 4.3 (thick)</text>\n\
         <text x=\"16\" y=\"50\" fill=\"#52606d\">Grey: Multus. Green: Plexus. Shorter is better. Right: Multus' value divided by Plexus'.</text>\n"
    );
    for (number, row) in rows.iter().enumerate() {
        line(&mut svg, TOP + number * LINE, row);
    }
    let _ = writeln!(
        svg,
        "<text x=\"16\" y=\"{}\" font-size=\"12\" fill=\"#52606d\">{}; repeat it with make bench-multus</text>\n</svg>",
        height - 14,
        escaped(origin)
    );
    svg
}

/// Two bars on one scale, the longer as long as [`BAR`].
fn line(svg: &mut String, y: usize, row: &Row) {
    assert!(row.what.len() <= LONGEST, "the picture would cut {:?} off", row.what);
    let longer = row.sides[0].value.max(row.sides[1].value);
    let [multus, plexus] = row.sides.map(|figure| (figure.value / longer * BAR as f64).max(2.0));
    let middle = y + 15;
    let ratio = row.ratio();
    let verdict = if ratio >= 9.95 { format!("{ratio:.0} ×") } else { format!("{ratio:.1} ×") };
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\n\
         <rect x=\"{LABELS}\" y=\"{y}\" width=\"{multus:.0}\" height=\"9\" fill=\"#9aa5b1\"/>\n\
         <rect x=\"{LABELS}\" y=\"{}\" width=\"{plexus:.0}\" height=\"9\" fill=\"#3f9760\"/>\n\
         <text x=\"{}\" y=\"{middle}\" font-weight=\"bold\">{verdict}</text>\n",
        LABELS - 10,
        escaped(&row.what),
        y + 10,
        LABELS + BAR + 14,
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
