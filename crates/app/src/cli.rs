use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sparrow_process::command_line::{Completions, Man};

/// Serves movie recommendations: web pages and a JSON API.
///
/// Without arguments it serves a small demonstration set that is built in.
#[derive(Debug, Parser)]
#[command(name = "sparrow-serve", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Settings,

    /// Print the effective configuration as TOML, and exit
    #[arg(long)]
    pub(crate) print_config: bool,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check the configuration, the data, the store and the models, and exit
    ///
    /// Prints a line per check. Exits with 0 if the server can start and serve with these options, else with 1. Listens on no
    /// port, and writes no files.
    Check(Box<Settings>),
    Completions(Completions),
    /// Make a key, and print it with the table for [[auth.keys]] of the configuration
    Key {
        /// Name of the key
        #[arg(long, default_value = "app")]
        name: String,

        /// Scopes, separated by commas: read, write, admin
        #[arg(long, value_delimiter = ',', default_value = "read")]
        scopes: Vec<String>,
    },
    Man(Man),
}

/// The options that set configuration keys.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Folder of a MovieLens data set (ml-latest-small, ml-25m, ml-32m, ml-1m or ml-100k)
    #[arg(short, long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Folder with item2vecEmb.csv and userEmb.csv, as `sparrow-loader embed` writes them
    #[arg(short, long, value_name = "DIR")]
    embeddings: Option<PathBuf>,

    /// Feature store: redis://…, rediss://…, redis-cluster://…,
    /// redis-sentinel://…/SERVICE, unix:///PATH, file:PATH, or memory,
    /// which reads all data from files [default: memory]
    #[arg(short, long, value_name = "STORE")]
    store: Option<String>,

    /// Prefix of all keys in the store
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,

    /// Certificates (PEM) to trust for a store over TLS, instead of those of the system
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// File that keeps ratings and events [default: the store in Redis, PATH.live beside a store
    /// file:PATH, or memory, which loses them at restart]
    #[arg(long, value_name = "FILE")]
    live: Option<PathBuf>,

    /// Models folder: each folder in it, such as `sparrow-loader train --out DIR/neuralcf` writes, is
    /// served under its own name, in its greatest version
    #[arg(short, long, value_name = "DIR")]
    models: Option<PathBuf>,

    /// Address to listen on: address and port, a port (this computer alone), or :PORT (all interfaces)
    /// [default: 127.0.0.1:6010]; port 0 is a free port
    #[arg(short, long, value_name = "ADDR")]
    listen: Option<String>,

    /// Configuration file (TOML)
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Folder with pictures named {movieId}.jpg
    #[arg(long, value_name = "DIR")]
    posters: Option<PathBuf>,

    /// Greatest number of bad lines in the data set that are skipped and reported [default: 0]
    #[arg(long, value_name = "N")]
    max_bad_lines: Option<usize>,
}

impl Settings {
    /// The configuration keys that the flags set.
    pub(crate) fn keys(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        [
            ("data.path", path(&self.data)),
            ("data.embeddings", path(&self.embeddings)),
            ("store.url", self.store.clone()),
            ("store.prefix", self.prefix.clone()),
            ("store.ca_file", path(&self.ca_file)),
            ("live.path", path(&self.live)),
            ("ranking.models", path(&self.models)),
            ("data.posters", path(&self.posters)),
            ("data.max_bad_lines", self.max_bad_lines.map(|lines| lines.to_string())),
            ("listen", self.listen.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::{flag, known_keys};

    #[test]
    fn every_flag_sets_a_known_key() {
        Cli::command().debug_assert();
        let all = ["sparrow-serve", "--data=a", "--embeddings=b", "--posters=c", "--listen=d"];
        let more = ["--max-bad-lines=5", "--store=memory", "--prefix=f", "--ca-file=g"];
        let others = ["--models=e", "--live=h"];
        let cli = Cli::parse_from(all.into_iter().chain(more).chain(others));
        let settings = cli.settings.keys();
        assert_eq!(settings.len(), 10);
        assert!(settings.iter().all(|(key, _)| known_keys().contains_key(*key)));
        // Errors name the flag.
        let command = Cli::command();
        for (key, _) in settings {
            let flags = command.get_arguments().filter_map(|flag| flag.get_long());
            assert!(flags.map(|flag| format!("--{flag}")).any(|known| known == flag(key)), "{key}");
        }
    }
}
