//! What a process that dies leaves of its memory.

/// Keeps this process out of core files, and of what debuggers of less privileged users see: its memory holds what
/// pods are annotated and configured with.
///
/// A program that it starts is as it would be without us: exec(2) makes it dumpable again, and no limit is changed,
/// for it would inherit that.
pub fn keep_out() {
    // prctl(2) knows no reason to refuse it; without it we are as any other program.
    let _ = nix::sys::prctl::set_dumpable(false);
}
