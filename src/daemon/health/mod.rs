//! Whether the daemon is ready, and what keeps it from it.

pub(super) mod installation;
pub(super) mod policy;
pub(super) mod readiness;
