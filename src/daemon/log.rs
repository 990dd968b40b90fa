//! Log lines, to stderr.

use super::settings::{LogFormat, Settings};
use crate::sys::printable;
use std::io::{self, Write};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging as `settings` say; a second call has no effect.
pub fn start(settings: &Settings) {
    // What other crates say about an outage is said by us already, once and in our words.
    let others = if settings.log_level >= LevelFilter::TRACE { settings.log_level } else { LevelFilter::ERROR };
    let mut levels = Targets::new().with_default(others).with_target("plexus", settings.log_level);
    if settings.log_level < LevelFilter::TRACE {
        // It has a line for every request that fails, the retries of a watch among them; we have one for the outage.
        levels = levels.with_target("kube_client", LevelFilter::OFF).with_target("kube_runtime", LevelFilter::OFF);
    }
    let format = settings.log_format;
    // Without colours: they could not be told from what others have put into a line.
    let lines =
        tracing_subscriber::fmt::layer().with_writer(move || Printable(format)).with_ansi(false).with_target(false);
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        LogFormat::Text => lines.boxed(),
    };
    // Only a second start can fail, and then the first one's lines go on.
    let _ = tracing_subscriber::registry().with(lines.with_filter(levels)).try_init();
}

/// Stderr, on which nothing acts on a terminal: NADs, kubelets and API servers have a part in what is logged.
struct Printable(LogFormat);

impl Write for Printable {
    /// Takes one line, whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(printable(self.0, line).as_bytes()).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn printable(format: LogFormat, line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    match format {
        LogFormat::Json => printable::json(&line),
        LogFormat::Text => printable::line(line.trim_end_matches('\n')) + "\n",
    }
}

/// `error` and its causes, each said once: libraries repeat a cause in the words of what it caused.
pub fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !line.contains(&cause) {
            line = if line.is_empty() { cause } else { format!("{line}: {cause}") };
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn no_line_acts_on_a_terminal() {
        let hostile = "{\"reason\":\"a\u{9b}2J\u{202e}b\"}\n";
        assert_eq!(printable(LogFormat::Json, hostile.as_bytes()), "{\"reason\":\"a\\u009b2J\\u202eb\"}\n");
        assert_eq!(printable(LogFormat::Text, "a\u{1b}[2Jb\nc\n".as_bytes()), "a [2Jb c\n");
    }

    #[test]
    fn a_cause_is_said_once() {
        let repeated = anyhow::anyhow!("no such variable").context("in cluster: no such variable");
        let error = Err::<(), _>(repeated).context("reach the cluster").unwrap_err();
        assert_eq!(in_one_line(&error), "reach the cluster: in cluster: no such variable");
        assert_eq!(in_one_line(&anyhow::anyhow!("a").context("b")), "b: a");
    }
}
