//! How long work reports its progress: a callback that synthetic data, training, evaluation, features and
//! pushing share. What is drawn from it is up to the caller.

/// Called from time to time, from any thread, with how much of the work is done and how much there is in all.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);
