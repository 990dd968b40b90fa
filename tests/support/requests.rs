//! What the API server was asked about addresses, by its own metrics.

use super::apiserver::ApiServer;
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
            if resource.starts_with("address") {
                let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()).unwrap_or_default();
                *all.entry((resource, verb, code)).or_default() += count as u64;
            }
        }
        Requests(all)
    }

    /// Those for `resource`, by verb.
    pub fn by_verb(&self, resource: &str) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for ((_, verb, _), count) in self.0.iter().filter(|((of, ..), _)| of == resource) {
            *all.entry(verb.clone()).or_default() += count;
        }
        all
    }

    /// How many objects of `resource` were written: created, changed or deleted.
    pub fn writes(&self, resource: &str) -> u64 {
        let is_write = |verb: &str, code: &str| {
            ["POST", "PUT", "PATCH", "DELETE"].contains(&verb) && ["200", "201"].contains(&code)
        };
        let of = self.0.iter().filter(|((of, verb, code), _)| of == resource && is_write(verb, code));
        of.map(|(_, count)| count).sum()
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
    /// A watch is open for minutes, and counts when it ends: it is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = || self.0.iter().filter(|((_, verb, _), _)| verb != "WATCH");
        if asked().next().is_none() {
            return f.write_str("none");
        }
        let all = asked().map(|((resource, verb, code), count)| {
            let refused = if code.starts_with('2') { String::new() } else { format!(" ({code})") };
            format!("{count} {verb} {resource}{refused}")
        });
        f.write_str(&all.collect::<Vec<_>>().join(", "))
    }
}
