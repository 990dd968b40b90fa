//! What the API server was asked about addresses, by its own metrics.

use crate::support::apiserver::ApiServer;
use std::collections::BTreeMap;
use std::fmt;

/// By resource, verb and status.
#[derive(Clone, Debug, Default)]
pub struct Requests(BTreeMap<(String, String, String), u64>);

impl Requests {
    /// Since the server has started.
    pub fn of(server: &ApiServer) -> Self {
        let text = server.kubectl(&["get", "--raw", "/metrics"], None).unwrap();
        let mut all = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("apiserver_request_total{")) {
            let label = |name: &str| {
                let begin = line.find(&format!("{name}=\""))? + name.len() + 2;
                line[begin..].split('"').next().map(str::to_owned)
            };
            let (Some(resource), Some(verb), Some(code)) = (label("resource"), label("verb"), label("code")) else {
                continue;
            };
            if resource.starts_with("address") && verb != "WATCH" {
                let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()).unwrap_or_default();
                *all.entry((resource, verb, code)).or_default() += count as u64;
            }
        }
        Requests(all)
    }

    /// What came after `before`.
    pub fn since(&self, before: &Requests) -> Self {
        let more = |(key, count): (&(String, String, String), &u64)| {
            let more = count.saturating_sub(before.0.get(key).copied().unwrap_or_default());
            (more > 0).then(|| (key.clone(), more))
        };
        Requests(self.0.iter().filter_map(more).collect())
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        let all = self.0.iter().map(|((resource, verb, code), count)| {
            let refused = if code.starts_with('2') { String::new() } else { format!(" ({code})") };
            format!("{count} {verb} {resource}{refused}")
        });
        f.write_str(&all.collect::<Vec<_>>().join(", "))
    }
}
