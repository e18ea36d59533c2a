use std::time::SystemTime;

/// How a model is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it can be asked.
    pub state: State,
    /// The version that answers, for models that have numbered ones.
    pub version: Option<u64>,
    /// Since when it is in this state with this version, where that is known.
    pub since: Option<SystemTime>,
    /// What is the matter: why it cannot answer, or why a ready one is not what it should be, such as a newer
    /// version that cannot be loaded.
    pub trouble: Option<String>,
}

impl Status {
    /// Of a model that is not there, and why.
    pub fn unavailable(why: impl Into<String>) -> Self {
        Self { state: State::Unavailable, trouble: Some(why.into()), ..Self::default() }
    }
}

/// Whether a model can be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// It answers.
    #[default]
    Ready,
    /// It is being loaded, or whether it answers is being found out.
    Loading,
    /// It answered once, and does not now; it is looked after until it does again.
    Failing,
    /// It is not there.
    Unavailable,
}

impl State {
    /// A word for programs, such as `ready`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Loading => "loading",
            Self::Failing => "failing",
            Self::Unavailable => "unavailable",
        }
    }
}
