//! Resource limits of a subcommand.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;
use sparrow_pipeline::SessionOptions;
use sparrow_process::units::{format_size, parse_size};
use tokio::runtime::Runtime;

/// Options of subcommands that compute with DataFusion.
#[derive(Debug, Args)]
pub(crate) struct Resources {
    /// Number of threads [default: number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Memory for sorting and grouping, such as 512MiB or 4GiB; what does not fit goes to disk
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = memory_limit)]
    memory_limit: usize,

    /// Folder for spilled data [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    spill: Option<PathBuf>,
}

impl Resources {
    pub(crate) fn threads(&self) -> usize {
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(processors, usize::from)
    }

    pub(crate) fn spill_folder(&self) -> Option<&Path> {
        self.spill.as_deref()
    }

    pub(crate) fn session(&self) -> SessionOptions {
        SessionOptions {
            threads: self.threads(),
            memory_limit: self.memory_limit,
            spill_folder: self.spill.clone(),
        }
    }

    pub(crate) fn runtime(&self) -> io::Result<Runtime> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.threads())
            .enable_all()
            .build()
    }
}

/// The least memory for sorting and grouping.
const LEAST: usize = 16 << 20;

/// Parses the memory limit: a size with a unit, or a number of bytes.
fn memory_limit(text: &str) -> Result<usize, String> {
    let bytes = text.parse().or_else(|_| parse_size(text)).map_err(|error| error.to_string())?;
    if bytes < LEAST {
        return Err(format!("at least {} are needed", format_size(LEAST)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_limit_is_at_least_16_mib() {
        assert_eq!(memory_limit("512 mib"), Ok(512 << 20));
        assert_eq!(memory_limit("33554432"), Ok(32 << 20));
        assert_eq!(memory_limit("5MiB"), Err("at least 16MiB are needed".to_owned()));
        for bad in ["", "GiB", "1TB", "18446744073709551615GiB"] {
            assert!(memory_limit(bad).is_err(), "{bad}");
        }
    }
}
