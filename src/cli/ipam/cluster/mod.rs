//! `plexusctl ipam show` and `check` of a cluster: by the objects of the API server, which every node agrees on.

pub mod check;
pub mod rules;
pub mod show;
