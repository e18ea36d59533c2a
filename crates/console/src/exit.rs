//! Exit codes. The code for usage errors is in `sparrow-process`.

/// The text at the end of the help.
pub const HELP: &str = "\
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 unreadable or invalid input; \
4 the store is unavailable or rejects the command; 5 verify found differences; 130 and 143 interrupted by \
SIGINT (Ctrl-C) and SIGTERM.";

/// The command failed.
pub const FAILED: u8 = 1;
/// The input is unreadable or invalid.
pub const BAD_INPUT: u8 = 3;
/// The store is unavailable or rejects the command.
pub const STORE: u8 = 4;
/// The store differs from the sources.
pub const DIFFERENCES: u8 = 5;
