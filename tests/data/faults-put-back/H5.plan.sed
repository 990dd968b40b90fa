# src/engine/planning/plan.rs: what a pod asks for is copied before it is known how much that is.
/^    bounded(input)?;/d
