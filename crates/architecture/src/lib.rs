//! Tests of the invariants in `docs/architecture.md` that concern the dependencies between crates.
//!
//! The crate has no code; start reading at `tests/dependencies.rs`. It depends on nothing that takes long to
//! compile.
