//! What events mean.

use sparrow_model::MovieId;

use crate::{LiveEvent, LiveUser};

/// The meaning of events of one type.
#[derive(Debug, Clone, PartialEq)]
pub struct EventType {
    /// The name in requests.
    pub name: Box<str>,
    /// How much an event of value 1 counts towards interest in its movie: negative for a lack of interest. The interest
    /// of a rated movie is that of its rating, whatever the events are.
    pub strength: f32,
    /// After how many days the strength is halved; `None` if it does not fade.
    pub half_life_days: Option<f32>,
    /// How several events about one movie combine.
    pub combination: Combination,
    /// Whether the movie counts as seen, unless the value is 0.
    pub seen: bool,
    /// Whether the movie is not recommended, unless the value is 0.
    pub hides: bool,
}

/// How the values of several events of a type about one movie combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combination {
    /// The sum counts.
    Sum,
    /// The greatest counts.
    Greatest,
    /// The newest counts.
    Newest,
}

/// The types of events, each name once.
#[derive(Debug, Clone, PartialEq)]
pub struct EventTypes(Vec<EventType>);

/// What the events of a user express about a movie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Opinion {
    /// The movie.
    pub movie: MovieId,
    /// The sum of strengths: from 1 on, the movie counts as liked.
    pub interest: f32,
    /// Unix time of the newest event, in seconds.
    pub time: u32,
    /// Whether the movie counts as seen.
    pub seen: bool,
    /// Whether the movie must not be recommended.
    pub hidden: bool,
}

impl Default for EventTypes {
    /// `view`, `click`, `watch` with the share that was watched, `like` and `dismiss`.
    fn default() -> Self {
        let event = |name: &str, strength, half_life_days, combination| EventType {
            name: name.into(),
            strength,
            half_life_days,
            combination,
            seen: false,
            hides: false,
        };
        Self(vec![
            event("view", 0.05, Some(7.0), Combination::Sum),
            event("click", 0.25, Some(30.0), Combination::Sum),
            EventType { seen: true, ..event("watch", 1.0, Some(365.0), Combination::Greatest) },
            event("like", 1.0, None, Combination::Newest),
            EventType { hides: true, ..event("dismiss", -1.0, None, Combination::Newest) },
        ])
    }
}

impl EventTypes {
    /// Replaces types of the same name, and adds the others.
    pub fn extend(&mut self, types: impl IntoIterator<Item = EventType>) {
        for new in types {
            match self.0.iter_mut().find(|known| known.name == new.name) {
                Some(known) => *known = new,
                None => self.0.push(new),
            }
        }
    }

    /// The type with this name.
    pub fn find(&self, name: &str) -> Option<&EventType> {
        self.0.iter().find(|known| *known.name == *name)
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|known| &*known.name)
    }

    /// What the events of a user express at `now`, in Unix seconds: one element per movie, in order of movie. Events of
    /// unknown types do not count.
    pub fn opinions(&self, user: &LiveUser, now: u32) -> Vec<Opinion> {
        let mut opinions: Vec<Opinion> = Vec::new();
        for event in &user.events {
            let Some(kind) = self.find(&event.kind) else { continue };
            let value = kind.combined(event);
            let new = Opinion {
                movie: event.movie,
                interest: kind.interest(event, now),
                time: event.time,
                seen: kind.seen && value > 0.0,
                hidden: kind.hides && value > 0.0,
            };
            // Events are in order of movie.
            match opinions.last_mut() {
                Some(last) if last.movie == new.movie => {
                    last.interest += new.interest;
                    last.time = last.time.max(new.time);
                    last.seen |= new.seen;
                    last.hidden |= new.hidden;
                }
                _ => opinions.push(new),
            }
        }
        opinions
    }
}

impl EventType {
    /// The value of several events together.
    const fn combined(&self, event: &LiveEvent) -> f32 {
        match self.combination {
            Combination::Sum => event.sum,
            Combination::Greatest => event.greatest,
            Combination::Newest => event.newest,
        }
    }

    fn interest(&self, event: &LiveEvent, now: u32) -> f32 {
        let value = self.combined(event);
        let days = f64::from(now.saturating_sub(event.time)) / 86_400.0;
        let faded = self.half_life_days.map_or(1.0, |half| 0.5_f64.powf(days / f64::from(half)));
        self.strength * value * faded as f32
    }
}
