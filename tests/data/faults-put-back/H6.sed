# src/cluster/cache.rs: the daemon keeps every network, however long it is.
s/if Cache::is_short(&definition) && others + bytes <= MAX_BYTES {/if others < usize::MAX - MAX_BYTES {/
