//! How long a written file lives.

/// When a replaced file has to be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Before the call returns: it survives a power loss.
    Synced,
    /// When the kernel gets to it: it survives the death of this process.
    Cached,
}
