//! A service that stores its own features and reads them for each request.
//!
//! `cargo run -p sparrow-store --example embed -- redis://127.0.0.1:6379` (or `file:PATH`; default:
//! in memory)
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::sync::Arc;

use sparrow_model::UserId;
use sparrow_store::{
    Entry, Error, FeatureStore, Fields, GuardOptions, Guarded, Location, Options, connect,
};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "memory".to_owned());
    let location: Location = address.parse()?;
    // A prefix separates the keys of this example from others.
    let options = Options { prefix: "example:".to_owned(), ..Options::default() };

    // All values of a generation become visible at once.
    let store = connect(&location, &options).await?;
    let features = Fields(vec![("userAvgRating".to_owned(), "3.92".to_owned())]);
    let mut push = store.push().await?;
    push.put(vec![
        Entry::UserFeatures(UserId(6), features),
        Entry::UserEmbedding(UserId(6), vec![0.25, -1.0]),
    ])
    .await?;
    println!("{}: pushed generation {}", store.address(), push.commit().await?);

    // A server reads with a deadline and a circuit breaker, and can answer without the store.
    let store = Guarded::new(Arc::clone(&store), GuardOptions::default());
    match store.users(&[UserId(6), UserId(7)]).await {
        Ok(read) => {
            for (user, id) in read.value.iter().zip([6, 7]) {
                let average = user.features.as_ref().and_then(|all| all.get("userAvgRating"));
                println!("user {id}: average {average:?}, vector {:?}", user.embedding);
            }
        }
        Err(error) => println!("answering without features: {error}"),
    }
    println!("the store is {}", if store.status().outage.is_none() { "there" } else { "away" });
    Ok(())
}
