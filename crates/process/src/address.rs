use std::ffi::OsString;
use std::fmt;

/// An address on a command line that may contain a password. It is parsed after the command line, because messages of the
/// parser would contain it, and it is never printed.
#[derive(Clone)]
pub struct Address(
    /// The address, unchanged.
    pub OsString,
);

impl From<OsString> for Address {
    fn from(text: OsString) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(…)")
    }
}
