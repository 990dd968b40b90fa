# src/sys/lock.rs: the note of who works under a lock outlives the lock.
s/if Owner::parse(&left).is_some() {/if false {/
s/if self.noted.load(Ordering::Relaxed) {/if false {/
