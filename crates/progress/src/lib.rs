//! The callback for progress, which synthetic data, training, evaluation, features and pushes
//! share. Callers decide on the display.

/// Called from any thread with the completed and the total amount of work.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);
