# src/cni/config.rs: a list of plugins has no end.
s/pub const MOST_PLUGINS: usize = 64;/pub const MOST_PLUGINS: usize = 1 << 30;/
