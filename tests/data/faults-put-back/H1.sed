# src/engine/cleanup/fate.rs: a namespace that cannot be seen is gone.
s/if shown { Fate::Gone/if shown || true { Fate::Gone/
