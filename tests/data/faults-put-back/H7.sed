# src/engine/verbs/check.rs: CHECK throws a damaged record away.
s/^\( *\)turn.warn(damage);/\1let _ = std::fs::remove_file(turn.settings.state.record(\&target.container_id)); turn.warn(damage);/
