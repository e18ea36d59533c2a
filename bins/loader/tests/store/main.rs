//! Pushes, compares, runs everything: as a person would, on real stores.

mod contract;
mod file;
mod moto;
mod program;
mod redis;
mod s3;
