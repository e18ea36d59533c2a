use std::time::SystemTime;

/// The state of a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it can rank.
    pub state: State,
    /// The version in use, for models with numbered versions.
    pub version: Option<u64>,
    /// The time since which it is in this state with this version, if known.
    pub since: Option<SystemTime>,
    /// A problem: the reason why it cannot rank, or a problem of a ready model, such as a newer version that cannot be
    /// loaded.
    pub trouble: Option<String>,
}

impl Status {
    /// The status of a model that is unavailable for a reason.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self { state: State::Unavailable, trouble: Some(reason.into()), ..Self::default() }
    }
}

/// Whether a model can rank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// It ranks.
    #[default]
    Ready,
    /// It is being loaded, or probed for the first time.
    Loading,
    /// It was ready and is not any more; it is probed until it recovers.
    Failing,
    /// It is not loaded.
    Unavailable,
}

impl State {
    /// The name in the API, such as `ready`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Loading => "loading",
            Self::Failing => "failing",
            Self::Unavailable => "unavailable",
        }
    }
}
