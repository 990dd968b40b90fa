//! ADD, DEL, CHECK, STATUS and GC. Each reads as a list of named steps.

pub mod add;
pub mod check;
pub mod del;
pub mod gc;
pub mod status;
