//! Exit codes. That of wrong usage is in `sparrow-process`.

/// For the end of the help.
pub const HELP: &str = "\
Exit codes: 0 done; 1 failed; 2 wrong usage; 3 input that cannot be read or is not what it should be; \
4 the store cannot be reached or refuses; 5 verify found differences; 130 and 143 interrupted by \
SIGINT (Ctrl-C) and SIGTERM.";

/// The command failed.
pub const FAILED: u8 = 1;
/// The input cannot be read, or is not what it should be.
pub const BAD_INPUT: u8 = 3;
/// The store cannot be reached, or refuses.
pub const STORE: u8 = 4;
/// The store differs from the sources.
pub const DIFFERENCES: u8 = 5;
