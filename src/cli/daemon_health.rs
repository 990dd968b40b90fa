//! How the daemon of this node is, as it answers.

use crate::api::RunDirectory;
use crate::api::protocol::{Health, Reply, Request};
use crate::facts::Client;
use std::time::Instant;

/// Asks the daemon, and waits until `deadline` at most. With `test` it tests the admission policy before.
///
/// # Errors
/// Why there is no answer, in a line.
pub fn ask(run: &RunDirectory, test: bool, deadline: Instant) -> Result<Health, String> {
    match Client::connect(run, deadline).and_then(|mut client| client.ask(&Request::Health { test })) {
        Ok(Reply::Health(health)) => Ok(health),
        Ok(Reply::Unsupported(why) | Reply::Unavailable(why)) => Err(why),
        Ok(other) => Err(format!("plexusd answered another question ({})", other.kind())),
        Err(e) => Err(e.to_string()),
    }
}
