//! Whether figures stay flat over time.

use std::time::Duration;

/// A figure, and what it may differ by over the whole time.
pub struct Figure {
    name: &'static str,
    tolerance: f64,
}

impl Figure {
    pub const fn new(name: &'static str, tolerance: f64) -> Self {
        Figure { name, tolerance }
    }
}

/// What was measured, and when.
#[derive(Default)]
pub struct Samples(Vec<(f64, Vec<f64>)>);

impl Samples {
    pub fn push(&mut self, at: Duration, figures: Vec<f64>) {
        self.0.push((at.as_secs_f64(), figures));
    }

    /// Prints a line for each figure. The first third of the time is not judged: caches and pools fill.
    /// Whether all are flat.
    pub fn report(&self, figures: &[Figure]) -> bool {
        let judged = &self.0[self.0.len() / 3..];
        let (Some(first), Some(last)) = (judged.first(), judged.last()) else { return false };
        let time = last.0 - first.0;
        println!("{:<32} {:>10} {:>10} {:>14} {:>10}", "", "first", "last", "slope per hour", "allowed");
        let mut all = judged.len() > 2;
        for (place, figure) in figures.iter().enumerate() {
            let points: Vec<(f64, f64)> = judged.iter().map(|(at, values)| (*at, values[place])).collect();
            let slope = slope(&points);
            // A whole hour of this slope would be too much to ask of a short run's noise: the time itself is judged.
            let flat = slope * time <= figure.tolerance;
            all &= flat;
            println!(
                "{:<32} {:>10.1} {:>10.1} {:>14.2} {:>10.2}{}",
                figure.name,
                first.1[place],
                last.1[place],
                slope * 3600.0,
                figure.tolerance * 3600.0 / time.max(1.0),
                if flat { "" } else { "  grows" }
            );
        }
        all
    }
}

/// The slope of the line through `points` with the least squares, per second.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (at, value) = (mean(|point| point.0), mean(|point| point.1));
    let together: f64 = points.iter().map(|point| (point.0 - at) * (point.1 - value)).sum();
    let spread: f64 = points.iter().map(|point| (point.0 - at).powi(2)).sum();
    if spread == 0.0 { 0.0 } else { together / spread }
}
