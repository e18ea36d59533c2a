//! The HTTP front end: routes, parameters, JSON, problem documents and web pages, on hyper.
//!
//! It turns a request into one call of the engine and the engine's answer into bytes. It does not
//! recommend, reads no data set and knows nothing of configuration files: that is `sparrow-engine`'s
//! and `sparrow-app`'s work. The API is described by `openapi.json`, which the server itself serves.
//!
//! Start with [`Server`]: it answers from the moment it has a listener, and answers in full from
//! the moment a [`Site`] is published. A site holds an engine and everything that is serialised once
//! rather than per request: each movie in both of its JSON shapes, genres, models and pages.
//!
//! Users are those of the engine's catalogue; or, where the site has a feature store ([`FromStore`]),
//! each request reads its user there, in one round trip, and hands the engine what it found.
//!
//! How a request travels: `server` accepts the connection, `guard` watches its progress and cuts it
//! when there is none, `gate` refuses what no endpoint would take, `route` finds the endpoint,
//! `query` reads its parameters, `original` and `v1` answer. What goes wrong on the way becomes a
//! `problem`: a document of RFC 9457, made in one place.

mod addresses;
mod cors;
mod features;
mod flight;
mod gate;
mod guard;
mod hosts;
mod json;
mod limit;
mod original;
mod pace;
mod pages;
mod posters;
mod problem;
mod public;
mod query;
mod reply;
mod route;
mod server;
mod site;
mod store;
mod texts;
mod users;
mod v1;

pub use cors::Cors;
pub use hosts::Hosts;
pub use server::{Options, Served, Server};
pub use site::{Site, SiteOptions};
pub use store::{FromStore, StoreReader};
