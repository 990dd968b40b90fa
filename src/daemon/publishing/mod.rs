//! Network statuses on their way to the pods: the to-do list, the order of one pod's statuses, and the tries.

mod todo;
mod turns;
pub(super) mod unpublished;
