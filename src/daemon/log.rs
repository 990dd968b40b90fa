//! Log lines, to stderr.

use super::settings::{LogFormat, Settings};
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging as `settings` say; a second call has no effect.
pub fn start(settings: &Settings) {
    // What other crates say about an outage is said by us already, once and in our words.
    let others = if settings.log_level >= Level::TRACE {
        LevelFilter::from_level(settings.log_level)
    } else {
        LevelFilter::ERROR
    };
    let mut levels = Targets::new().with_default(others).with_target("plexus", settings.log_level);
    if settings.log_level < Level::TRACE {
        // It has a line for every request that fails, the retries of a watch among them; we have one for the outage.
        levels = levels.with_target("kube_client", LevelFilter::OFF).with_target("kube_runtime", LevelFilter::OFF);
    }
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match settings.log_format {
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
    };
    // Only a second start can fail, and then the first one's lines go on.
    let _ = tracing_subscriber::registry().with(lines.with_filter(levels)).try_init();
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
    fn a_cause_is_said_once() {
        let repeated = anyhow::anyhow!("no such variable").context("in cluster: no such variable");
        let error = Err::<(), _>(repeated).context("reach the cluster").unwrap_err();
        assert_eq!(in_one_line(&error), "reach the cluster: in cluster: no such variable");
        assert_eq!(in_one_line(&anyhow::anyhow!("a").context("b")), "b: a");
    }
}
