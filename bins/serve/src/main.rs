//! The recommendation server. All of it is in `sparrow-app`; see `sparrow-serve --help`.

use std::process::ExitCode;

/// glibc keeps what many requests at once have allocated: after 950 clients with answers of 3.6 MB each, 2.5 times the
/// memory of the start. jemalloc returns it within seconds, and serves as many requests or more.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Unused pages go back to the system after a second, not ten, by a thread of the allocator.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "jemalloc reads its options from the symbol of this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static ALLOCATOR_OPTIONS: &[u8; 43] = b"background_thread:true,dirty_decay_ms:1000\0";

fn main() -> ExitCode {
    sparrow_app::main(std::env::args_os(), std::env::vars_os())
}
