//! The recommendation server, which `sparrow-app` implements. See `sparrow-serve --help`.

use std::process::ExitCode;

/// jemalloc returns memory of finished requests to the system within seconds, with equal throughput. glibc keeps it: after
/// 950 clients with answers of 3.6 MB each, the process had 2.5 times the memory of the start.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A thread of the allocator returns unused pages after one second instead of ten.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "jemalloc reads its options from the symbol of this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_OPTIONS: &[u8; 43] = b"background_thread:true,dirty_decay_ms:1000\0";

fn main() -> ExitCode {
    sparrow_app::main(env!("SPARROW_VERSION"), std::env::args_os(), std::env::vars_os())
}
