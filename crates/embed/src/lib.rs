//! Trains embeddings of users and movies, and item–item weights.
//!
//! * [`item2vec`] and [`ials`] train embeddings from [`interactions`]; [`write()`] reads a MovieLens folder and
//!   writes them as files.
//! * [`ease`] computes item–item weights in closed form, and writes them as a version of a model folder.
//! * [`cooccurrence`] computes sparse weights from a movie to those that are rated soon before or after it.
//!
//! Results depend on the data, the options and the seed. The vectors are stored and compared in
//! `sparrow-neural`. Start reading at [`write()`].

pub mod cooccurrence;
pub mod ease;
mod embed;
pub mod ials;
pub mod interactions;
pub mod item2vec;

pub use embed::{
    Embeddings, Error, ITEM_FILE, METADATA_FILE, Method, Summary, USER_FILE, compute, liked, write,
};
