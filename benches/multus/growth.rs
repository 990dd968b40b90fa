//! How ADD and DEL of both sides grow with what a node has: medians, and how they are printed.

/// Of Multus and Plexus, of ADD and DEL: the median and the 95th percentile, in milliseconds.
pub type Measured = [[[f64; 2]; 2]; 2];

/// Prints a row of growth.
pub fn factors(what: &str, without: Measured, with: Measured) {
    let cell = |side: usize, verb: usize| {
        let ([median, p95], [before, _]) = (with[side][verb], without[side][verb]);
        format!("{:.2}: {median:.1}, {p95:.1}", median / before)
    };
    println!("| {what} | {} | {} | {} | {} |", cell(0, 0), cell(0, 1), cell(1, 0), cell(1, 1));
}

/// The mean of each number.
pub fn mean(all: &[Measured]) -> Measured {
    let of = |side: usize, verb: usize, number: usize| {
        all.iter().map(|one| one[side][verb][number]).sum::<f64>() / all.len() as f64
    };
    [0, 1].map(|side| [0, 1].map(|verb| [0, 1].map(|number| of(side, verb, number))))
}

/// The medians as a line.
pub fn told([[add, del], [own_add, own_del]]: &Measured) -> String {
    let [add, del, own_add, own_del] = [add, del, own_add, own_del].map(|times| times[0]);
    format!("Multus {add:.1} and {del:.1} ms, Plexus {own_add:.2} and {own_del:.2} ms")
}
