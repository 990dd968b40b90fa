//! The socket: who may connect, one conversation a connection, and the answers.

mod answer;
pub(super) mod conversation;
pub(super) mod listener;
