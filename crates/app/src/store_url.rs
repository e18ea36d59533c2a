use std::fmt;

use serde::{Deserialize, Serialize};
use sparrow_store::{Error, Location};

/// The address of the feature store in a configuration. It is printed and serialised without user and password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreUrl(pub Location);

impl Default for StoreUrl {
    fn default() -> Self {
        Self(Location::Memory)
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse().map(Self)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<StoreUrl> for String {
    fn from(url: StoreUrl) -> Self {
        url.0.to_string()
    }
}
