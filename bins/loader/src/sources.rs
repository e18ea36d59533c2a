//! The options for the sources of `push` and `verify`.

use std::path::{Path, PathBuf};

use clap::Args;
use sparrow_console::exit::HELP;
use sparrow_embed as embed;
use sparrow_movielens::Options as ReaderOptions;
use sparrow_push::sources::{Location, Sources};

/// The sources that are pushed or compared.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sources")]
pub(crate) struct SourceArgs {
    /// Output folder of "features": users' and movies' features
    #[arg(long, value_name = "URL", conflicts_with_all = ["user_features", "movie_features"])]
    features: Option<Location>,

    /// Output folder of "embed": users' and movies' vectors
    #[arg(short, long, value_name = "URL", conflicts_with_all = ["user_embeddings", "item_embeddings"])]
    embeddings: Option<Location>,

    /// Folder with the MovieLens data set: rating histories, movies' rating sums, list of users
    #[arg(short, long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Users' features as Parquet or CSV: columns userId, userRatedMovie1, …
    #[arg(long, value_name = "URL")]
    user_features: Option<Location>,

    /// Movies' features as Parquet or CSV: columns movieId, movieGenre1, …
    #[arg(long, value_name = "URL")]
    movie_features: Option<Location>,

    /// Users' vectors as Parquet or CSV with columns userId and embedding, or as lines "id:f f f …"
    #[arg(long, value_name = "URL")]
    user_embeddings: Option<Location>,

    /// Movies' vectors as Parquet or CSV with columns movieId and embedding, or as lines "id:f f f …"
    #[arg(long, value_name = "URL")]
    item_embeddings: Option<Location>,

    /// Maximum number of bad lines of the data set, which are skipped and reported
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_lines: usize,
}

/// The end of the help of commands with sources.
pub(crate) fn help() -> String {
    format!("{URLS}\n\n{HELP}")
}

const URLS: &str = "\
A URL is a path, file:///PATH or s3://BUCKET/KEY: a file, or a folder of part files as Spark writes \
them (names that begin with a dot or an underscore are skipped). The content determines the format of a \
file. S3-compatible object stores are configured in the environment: AWS_ENDPOINT_URL, \
AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ALLOW_HTTP=true for http://.";

/// The names of the files that "features" writes.
const USER_FEATURES: &str = "userFeatures.parquet";
const MOVIE_FEATURES: &str = "movieFeatures.parquet";

impl SourceArgs {
    /// The folder with the data set.
    pub(crate) fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    pub(crate) fn sources(&self) -> Sources {
        let of_folders = from_folders(self.features.as_ref(), self.embeddings.as_ref());
        Sources {
            user_features: of_folders.user_features.or_else(|| self.user_features.clone()),
            movie_features: of_folders.movie_features.or_else(|| self.movie_features.clone()),
            user_embeddings: of_folders.user_embeddings.or_else(|| self.user_embeddings.clone()),
            item_embeddings: of_folders.item_embeddings.or_else(|| self.item_embeddings.clone()),
            ratings: self.data.clone(),
            reader: ReaderOptions { max_bad_lines: self.max_bad_lines },
            object_store: object_store_settings(),
        }
    }
}

/// The files in output folders of "features" and "embed".
pub(crate) fn from_folders(features: Option<&Location>, embeddings: Option<&Location>) -> Sources {
    let file = |folder: Option<&Location>, name: &str| folder.map(|folder| folder.join(name));
    Sources {
        user_features: file(features, USER_FEATURES),
        movie_features: file(features, MOVIE_FEATURES),
        user_embeddings: file(embeddings, embed::USER_FILE),
        item_embeddings: file(embeddings, embed::ITEM_FILE),
        ..Sources::default()
    }
}

/// The settings of object stores in the environment.
fn object_store_settings() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("AWS_"))
        .collect()
}
