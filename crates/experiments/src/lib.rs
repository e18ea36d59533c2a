//! Online experiments: which variant a user gets, and what the results mean.
//!
//! * [`hash`], [`bucket_ranges`], [`choose_variation`] and [`Namespace`] are GrowthBook's bucketing, so that other systems
//!   can reproduce assignments.
//! * [`Experiment::assign`] combines them with layers, a holdout and targeting.
//! * [`team_draft`] interleaves two rankings.
//! * [`statistics`] contains estimates and tests, and [`analysis`] applies them to the log of live data.
//!
//! The crate does no I/O, reads no configuration and knows no models. Start reading at [`Experiment`].

pub mod analysis;
mod bucket;
mod experiment;
mod interleave;
pub mod statistics;

pub use bucket::{
    BucketRange, Filter, HashVersion, Namespace, bucket_ranges, choose_variation, equal_weights,
    hash,
};
pub use experiment::{Excluded, Experiment, Holdout, Layer, Targeting, Unit};
pub use interleave::{Team, team_draft};
