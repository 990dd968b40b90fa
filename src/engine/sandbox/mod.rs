//! One sandbox: its lock, what is attached there, what is undone, and what its pod is shown.

pub(super) mod attach;
pub mod device_info;
pub(super) mod drift;
pub(super) mod lock;
pub(super) mod namespace;
pub(super) mod publish;
pub(super) mod recalled;
pub mod trust;
pub(super) mod undo;
pub(super) mod withdraw;
