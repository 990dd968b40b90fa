//! The daemon where the cluster makes trouble: rotated credentials, connections that die in silence, policies that
//! deny for a while, conflicts, networks that are too long or too many. Against a real kube-apiserver where it is about
//! what that one does, else against a stub that answers what the test says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod credentials;
mod limits;
mod order;
mod pauses;
mod silence;
mod stub;
#[path = "../support/mod.rs"]
mod support;
mod writes;
