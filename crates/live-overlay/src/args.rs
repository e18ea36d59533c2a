use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use clap::Args;
use sparrow_console::Console;
use sparrow_live::{Limits, LiveStore};
use sparrow_movielens::Options as ReaderOptions;
use sparrow_process::{Address, Interrupted};
use sparrow_store::{FileLive, Location, Options, RedisLive, live_path};

use crate::Error;
use crate::data_set::{DataSet, on_data_set};
use crate::server::ServerLive;

/// The heading of these options in help. It is set for each, since a heading of the group applies to all options after it.
const HEADING: &str = "Live data";

/// The location of live data.
#[derive(Debug, Clone, Default, Args)]
pub struct LiveArgs {
    /// Live ratings to overlay on the data set: those of a store, redis://user:password@host:port/database and the other
    /// addresses of --store, those in a file of a server that has ended, or http://host:port of the admin port of a running
    /// server
    ///
    /// The command works on the ratings of the data set and the live ones in force, as servers combine them. The combined data
    /// set is written to a temporary folder, which is removed at the end. Pass an address with a password in the environment.
    /// It is never printed.
    #[arg(long, value_name = "URL|FILE", env = "SPARROW_LIVE", hide_env_values = true, help_heading = HEADING)]
    live: Option<Address>,

    /// Prefix of the keys of live data in Redis
    #[arg(long, value_name = "TEXT", requires = "live", help_heading = HEADING)]
    live_prefix: Option<String>,

    /// Trusted certificates (PEM) for TLS to the store of live data, instead of those of the system
    #[arg(long, value_name = "FILE", requires = "live", help_heading = HEADING)]
    live_ca_file: Option<PathBuf>,
}

impl LiveArgs {
    /// Whether live data are overlaid.
    pub const fn is_given(&self) -> bool {
        self.live.is_some()
    }

    /// The same, with the prefix and the certificates of the command's store unless live data have their own.
    #[must_use]
    pub fn or(&self, prefix: &str, ca_file: Option<&Path>) -> Self {
        let mut args = self.clone();
        args.live_prefix.get_or_insert_with(|| prefix.to_owned());
        args.live_ca_file = args.live_ca_file.or_else(|| ca_file.map(Path::to_owned));
        args
    }

    /// The address for reports, without a password; `None` without live data.
    pub fn description(&self) -> Option<String> {
        let Address(text) = self.live.as_ref()?;
        Some(match self.location() {
            Ok(Place::Store(location)) => location.to_string(),
            Ok(Place::Server(_)) => "a running server".to_owned(),
            _ => Path::new(text)
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        })
    }

    fn location(&self) -> Result<Place, Error> {
        let Some(Address(text)) = &self.live else {
            return Err(Error::Usage("no location of live data".to_owned()));
        };
        match text.to_str() {
            Some(text) if is_of_server(text) => Ok(Place::Server(text.to_owned())),
            Some(text) if text.contains("://") || text.starts_with("file:") => {
                Ok(Place::Store(Location::from_str(text)?))
            }
            _ => Ok(Place::File(text.into())),
        }
    }

    /// Opens the live data.
    ///
    /// # Errors
    /// If they are unavailable, or the address is invalid.
    pub async fn open(&self) -> Result<Arc<dyn LiveStore>, Error> {
        let options = Options {
            prefix: self.live_prefix.clone().unwrap_or_default(),
            ca_file: self.live_ca_file.clone(),
            ..Options::default()
        };
        match self.location()? {
            Place::Store(location) => open(&location, &options).await,
            Place::Server(url) => {
                let server = ServerLive::connect(&url, options.ca_file.as_deref()).await?;
                Ok(Arc::new(server))
            }
            Place::File(path) => open_file(&path),
        }
    }
}

/// The data set of a command, overlaid with live data if they are given.
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    /// Folder with the data set
    #[arg(short, long, value_name = "DIR")]
    data: PathBuf,

    /// Maximum number of bad lines of the data set, which are skipped and reported
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_bad_lines: usize,

    #[command(flatten)]
    live: LiveArgs,
}

impl DataArgs {
    /// The folder as it was given.
    pub fn folder(&self) -> &Path {
        &self.data
    }

    /// The live data.
    pub const fn live(&self) -> &LiveArgs {
        &self.live
    }

    /// How the data set is read.
    pub const fn reader(&self) -> ReaderOptions {
        ReaderOptions { max_bad_lines: self.max_bad_lines }
    }

    /// Runs `work` on the data set; see [`on_data_set`].
    ///
    /// # Errors
    /// Those of [`on_data_set`].
    pub fn on_data_set<E>(
        &self,
        temporary: Option<&Path>,
        console: Console,
        work: impl FnOnce(&DataSet) -> Result<(), E> + Send + 'static,
    ) -> Result<(), E>
    where
        E: From<Error> + From<Interrupted> + Send + 'static,
    {
        on_data_set(&self.live, &self.data, &self.reader(), temporary, console, work)
    }
}

enum Place {
    Store(Location),
    /// The admin port of a running server.
    Server(String),
    File(PathBuf),
}

/// Whether an address is that of the admin port of a server.
fn is_of_server(address: &str) -> bool {
    address.starts_with("http://") || address.starts_with("https://")
}

/// Opens the live data of a running server, `http://HOST:PORT` or `https://HOST:PORT` of its admin port, if the address is one: only
/// the log can be read. `None` for other addresses. TLS trusts the certificates of a file, or those of the system.
///
/// # Errors
/// If the server is unavailable, or refuses the request.
pub async fn open_address(
    Address(text): &Address,
    ca_file: Option<&Path>,
) -> Result<Option<Arc<dyn LiveStore>>, Error> {
    match text.to_str().filter(|text| is_of_server(text)) {
        Some(url) => Ok(Some(Arc::new(ServerLive::connect(url, ca_file).await?))),
        None => Ok(None),
    }
}

/// Opens the live data beside a feature store.
///
/// # Errors
/// If the store is unavailable, has no live data, or another process has opened the file.
pub async fn open(location: &Location, options: &Options) -> Result<Arc<dyn LiveStore>, Error> {
    match location {
        Location::Redis(redis) => {
            let live = RedisLive::open(redis, options, Limits::default())?;
            live.connected().await?;
            Ok(Arc::new(live))
        }
        Location::File(path) => open_file(&live_path(path)),
        Location::Memory => {
            Err(Error::Usage("live data in memory end with their server".to_owned()))
        }
    }
}

/// Opens the live data beside a feature store, if there are any that can be read: not those in a file that a server has open.
///
/// # Errors
/// If Redis is unavailable.
pub async fn find(
    location: &Location,
    options: &Options,
) -> Result<Option<Arc<dyn LiveStore>>, Error> {
    match location {
        Location::Redis(redis) => {
            let live = RedisLive::open(redis, options, Limits::default())?;
            if !live.exists().await? {
                return Ok(None);
            }
            live.connected().await?;
            Ok(Some(Arc::new(live)))
        }
        Location::File(path) => Ok(open_file(&live_path(path)).ok()),
        Location::Memory => Ok(None),
    }
}

/// Opens a file with live data, of a server that has ended.
///
/// # Errors
/// If the file does not exist, or another process has opened it.
pub fn open_file(path: &Path) -> Result<Arc<dyn LiveStore>, Error> {
    if !path.exists() {
        return Err(Error::Missing(path.to_owned()));
    }
    Ok(Arc::new(FileLive::open(path, Limits::default())?))
}
