//! What the kernel answers when links, addresses and routes are listed, and what it tells of deleted links.

use plexus::sys::netlink::{Listed, listed, told};

/// A datagram of such a listing, or of such a notification.
pub fn run(data: &[u8]) {
    // A message takes a header, and that of a link another one.
    let deleted = told(data).count();
    assert!(deleted <= data.len() / 32, "{deleted} links in {} bytes", data.len());
    let Ok(objects) = listed(data) else { return };
    // Each takes a header at least, and each next hop its own.
    let count: usize =
        objects.iter().map(|object| if let Listed::Routes(hops) = object { hops.len() } else { 1 }).sum();
    assert!(count <= data.len() / 8, "{count} objects in {} bytes", data.len());
}
