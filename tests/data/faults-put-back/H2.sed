# src/engine/entry.rs: the detached sweep works with the objects of the call, whose descriptors it has closed.
s/let _ = detach::detached(/SAME.set(Some(turn)); &/
s/let Ok((settings, _)) = Settings::lenient(configuration) else { return };/if let Some(turn) = SAME.take() { let _ = sweep::sweep(\&turn, sweep::Debts::Due); return; } &/
$a thread_local! { static SAME: std::cell::Cell<Option<Turn>> = const { std::cell::Cell::new(None) }; }
