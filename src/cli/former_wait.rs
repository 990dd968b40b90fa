//! `--wait <SECONDS>`, the former name of `--timeout`: `uninstall --wait` takes no value.

use super::output::Output;
use clap::Args;

/// The former name of a command's `--timeout`.
#[derive(Debug, Args)]
pub struct FormerWait {
    /// Former name of --timeout
    #[arg(long, hide = true, conflicts_with = "timeout", value_name = "SECONDS")]
    wait: Option<u64>,
}

impl FormerWait {
    /// `timeout`, or the value of the former name, with a warning.
    pub fn or(&self, timeout: u64, output: &Output) -> u64 {
        let Some(wait) = self.wait else { return timeout };
        output.remark("warning: the option --wait <SECONDS> is now called --timeout; the former name still works");
        wait
    }
}
