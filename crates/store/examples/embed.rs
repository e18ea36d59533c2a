//! A service that keeps its own features in the store and reads them for each request.
//!
//! `cargo run -p sparrow-store --example embed -- redis://127.0.0.1:6379` (or `file:PATH`, or nothing: in memory)
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
    // Keys of this example, out of the way of others.
    let options = Options { prefix: "example:".to_owned(), ..Options::default() };

    // Writing: all of a generation becomes visible at once.
    let store = connect(&location, &options).await?;
    let features = Fields(vec![("userAvgRating".to_owned(), "3.92".to_owned())]);
    let mut push = store.push().await?;
    push.put(vec![
        Entry::UserFeatures(UserId(6), features),
        Entry::UserEmbedding(UserId(6), vec![0.25, -1.0]),
    ])
    .await?;
    println!("{}: pushed generation {}", store.address(), push.commit().await?);

    // Reading, as a server does: with a deadline, and with a plan for when the store is away.
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
    println!("the store is {}", if store.status().away.is_none() { "there" } else { "away" });
    Ok(())
}
