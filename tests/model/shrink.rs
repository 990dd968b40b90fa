//! Leaving operations out of a run that fails, for as long as it still fails.

use crate::op::Op;
use std::time::Instant;

/// The shortest list that is found before `until`, and why it fails.
pub fn shrink(
    mut ops: Vec<Op>,
    mut why: String,
    until: Instant,
    fails: impl Fn(&[Op]) -> Option<String>,
) -> (Vec<Op>, String) {
    let mut size = ops.len().div_ceil(2);
    while size > 0 {
        let (mut at, mut shorter) = (0, false);
        while at < ops.len() {
            if Instant::now() > until {
                return (ops, why);
            }
            let end = ops.len().min(at + size);
            let rest: Vec<Op> = ops[..at].iter().chain(&ops[end..]).cloned().collect();
            match fails(&rest) {
                Some(reason) => (ops, why, shorter) = (rest, reason, true),
                None => at = end,
            }
        }
        if !shorter || size > 1 {
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }
    (ops, why)
}
