//! Resource limits of a subcommand.

use std::io;
use std::path::PathBuf;
use std::thread;

use clap::Args;
use sparrow_pipeline::SessionOptions;
use tokio::runtime::Runtime;

/// Options of subcommands that compute with DataFusion.
#[derive(Debug, Args)]
pub(crate) struct Resources {
    /// Number of threads [default: number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,

    /// Memory for sorting and grouping, such as 512MiB or 4GiB; the rest is spilled to disk
    #[arg(long, value_name = "SIZE", default_value = "2GiB", value_parser = size)]
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

/// Parses a size in bytes, with or without a unit.
fn size(text: &str) -> Result<usize, String> {
    let digits = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err("the unit of a size must be MiB, GiB or similar".to_owned()),
    };
    let number: usize =
        number.parse().map_err(|_| "a size must start with a whole number".to_owned())?;
    match number.checked_mul(factor) {
        Some(bytes) if bytes >= 16 << 20 => Ok(bytes),
        Some(_) => Err("the size must be at least 16MiB".to_owned()),
        None => Err("the size is too large".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_with_and_without_units() {
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("512 mib"), Ok(512 << 20));
        assert_eq!(size("64M"), Ok(64 << 20));
        assert_eq!(size("2GB"), Ok(2_000_000_000));
        assert_eq!(size("33554432"), Ok(32 << 20));
        for bad in ["", "GiB", "1.5GiB", "-1GiB", "1TB", "5MiB", "99999999999999999999GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert!(size("18446744073709551615GiB").is_err());
    }
}
