//! What the kernel answers when links, addresses and routes are listed.

use plexus::sys::netlink::{Listed, listed};

/// A datagram of such a listing.
pub fn run(data: &[u8]) {
    let Ok(objects) = listed(data) else { return };
    // Each takes a header at least, and each next hop its own.
    let count: usize =
        objects.iter().map(|object| if let Listed::Routes(hops) = object { hops.len() } else { 1 }).sum();
    assert!(count <= data.len() / 8, "{count} objects in {} bytes", data.len());
}
