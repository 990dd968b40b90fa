//! Calls of the plugin, as it reports them: received, judged, counted.
//!
//! Only root can send to the socket. What arrives is judged all the same as if anybody could.

mod labels;
mod metrics;
mod pace;
mod socket;

pub(super) use metrics::CallMetrics;
pub(super) use socket::CallsSocket;

use crate::api::calls::{CallReport, MAX_BYTES};
use crate::sys::datagram::Received;
use pace::Pace;
use std::time::{Duration, Instant};

/// What a flood waits for: meanwhile the kernel refuses what does not fit into the socket's queue.
const BREATHE: Duration = Duration::from_millis(50);

/// Counts what is reported, for ever.
pub(super) async fn follow(socket: CallsSocket, metrics: CallMetrics) {
    // One byte more than the longest report: a longer one is seen to be longer.
    let mut buffer = vec![0; MAX_BYTES + 1];
    let mut pace = Pace::new(Instant::now());
    loop {
        match socket.receive(&mut buffer).await {
            Ok(received) if pace.has_room(Instant::now()) => {
                match judge(received, buffer.get(..received.length).unwrap_or_default()) {
                    Ok(report) => metrics.count(report),
                    Err(reason) => metrics.refuse(reason),
                }
            }
            Ok(_) => {
                metrics.refuse("flood");
                socket.drain(|| metrics.refuse("flood"));
                tokio::time::sleep(BREATHE).await;
            }
            Err(error) => {
                tracing::debug!(%error, "cannot receive a report of a call");
                tokio::time::sleep(BREATHE).await;
            }
        }
    }
}

/// The report, or why it is none.
fn judge(received: Received, bytes: &[u8]) -> Result<CallReport, &'static str> {
    let own = nix::unistd::geteuid().as_raw();
    if received.uid.is_none_or(|uid| uid != 0 && uid != own) {
        return Err("sender");
    }
    if !received.is_whole {
        return Err(labels::of_refusal(crate::api::calls::Refusal::Long));
    }
    CallReport::from_bytes(bytes).map_err(labels::of_refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_of_root_is_refused() {
        let good = br#"{"version":1,"verb":"ADD"}"#;
        let received = |uid, is_whole| Received { length: good.len(), is_whole, uid };
        assert!(judge(received(Some(0), true), good).is_ok());
        assert_eq!(judge(received(Some(u32::MAX), true), good), Err("sender"));
        assert_eq!(judge(received(None, true), good), Err("sender"));
        assert_eq!(judge(received(Some(0), false), good), Err("long"));
        assert_eq!(judge(received(Some(0), true), b"{"), Err("unreadable"));
        assert_eq!(judge(received(Some(0), true), br#"{"version":7,"verb":"ADD"}"#), Err("version"));
    }
}
