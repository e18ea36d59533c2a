//! Live data: the ratings and events that arrive while servers run.
//!
//! * A [`Write`] is one change: a rating, a removal, an event such as a click, or the deletion of a user.
//! * A [`LiveStore`] accepts writes in an order, [`Sequence`], and returns what they change about a user, a
//!   [`LiveUser`].
//! * [`LiveUser::history`] overlays the ratings of a data set or a feature store with the live ones.
//! * A [`Watermark`] states which writes a data set or a generation contains.
//! * [`EventTypes`] define what events mean: how strong they are, how they fade, and whether they hide a movie.
//!
//! The crate computes no features and does not recommend. It depends on no database: [`MemoryLive`] stores everything in
//! this process, and other crates implement [`LiveStore`] for their databases. All implementations apply a write by
//! [`LiveUser::apply`], or exactly as it does.

mod events;
mod exposure;
mod follow;
mod memory;
mod partition;
mod sequence;
mod store;
#[cfg(feature = "testsuite")]
pub mod testsuite;
mod user;
mod watermark;
mod write;

// The name by which the module's code refers to this crate, as tests elsewhere do.
#[cfg(feature = "testsuite")]
extern crate self as sparrow_live;

pub use events::{Combination, EventType, EventTypes, Opinion};
pub use exposure::Exposure;
pub use follow::{Change, Consumer, ConsumerStatus, Consumers};
pub use memory::MemoryLive;
pub use partition::partition;
pub use sequence::{InvalidSequence, Sequence};
pub use store::{
    CreatedUser, Durability, Error, KEY_LIFETIME, LAST_ID_OF_DATA_SETS, LiveStore, Recorded,
};
pub use user::{LimitReached, LiveEvent, LiveRating, LiveUser};
pub use watermark::{InvalidWatermark, Watermark};
pub use write::{Accepted, Action, Idempotency, Limits, Write, unix_time};
