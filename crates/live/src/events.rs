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

#[cfg(test)]
mod tests {
    use sparrow_model::UserId;

    use super::*;
    use crate::{Action, Limits, Sequence, Write};

    const DAY: u32 = 86_400;

    fn user(events: &[(u32, &str, f32, u32)]) -> LiveUser {
        let (mut user, mut sequence) = (LiveUser::default(), Sequence::default());
        for &(movie, kind, value, time) in events {
            let action = Action::Event { movie: MovieId(movie), kind: kind.into(), value };
            sequence = sequence.next(1);
            let applied =
                user.apply(&Write::new(UserId(1), action, time), sequence, Limits::default());
            assert_eq!(applied, Ok(true));
        }
        user
    }

    fn types(kinds: &[(&str, Combination, Option<f32>)]) -> EventTypes {
        let mut types = EventTypes::default();
        types.extend(kinds.iter().map(|&(name, combination, half_life_days)| EventType {
            name: name.into(),
            strength: 2.0,
            half_life_days,
            combination,
            seen: false,
            hides: false,
        }));
        types
    }

    #[test]
    fn values_combine_as_configured() {
        let kinds = [
            ("sum", Combination::Sum, None),
            ("greatest", Combination::Greatest, None),
            ("newest", Combination::Newest, None),
        ];
        let types = types(&kinds);
        for (name, expected) in [("sum", 2.0 * 6.5), ("greatest", 2.0 * 4.0), ("newest", 2.0)] {
            // The newest has the value 1, and was not written last.
            let user = user(&[(1, name, 4.0, 5), (1, name, 1.0, 9), (1, name, 1.5, 7)]);
            let opinions = types.opinions(&user, 100);
            assert_eq!((opinions.len(), opinions[0].interest), (1, expected), "{name}");
            assert_eq!(opinions[0].time, 9);
        }
    }

    #[test]
    fn strength_is_halved_after_its_half_life() {
        let types = types(&[("fading", Combination::Sum, Some(10.0))]);
        let user = user(&[(1, "fading", 1.0, 100)]);
        for (days, expected) in [(0, 2.0), (10, 1.0), (20, 0.5), (100, 2.0 / 1024.0)] {
            let interest = types.opinions(&user, 100 + days * DAY)[0].interest;
            assert!((interest - expected).abs() < 1e-6, "{interest} after {days} days");
        }
        // An event of the near future, by another clock, has its full strength.
        assert_eq!(types.opinions(&user, 50)[0].interest, 2.0);
        let old =
            LiveUser { events: vec![LiveEvent { time: 0, ..user.events[0].clone() }], ..user };
        assert!(types.opinions(&old, u32::MAX)[0].interest.abs() < 1e-6);
    }

    #[test]
    fn opinions_are_one_per_movie_over_all_known_types() {
        let user = user(&[
            (9, "view", 1.0, 5),
            (2, "like", 1.0, 3),
            (2, "dismiss", 1.0, 4),
            (2, "unknown", 9.0, 9),
            (3, "watch", 0.5, 5),
            (4, "unknown", 9.0, 9),
        ]);
        let opinions = EventTypes::default().opinions(&user, 5);
        let found: Vec<_> =
            opinions.iter().map(|o| (o.movie.0, o.interest, o.time, o.seen, o.hidden)).collect();
        let expected =
            [(2, 0.0, 4, false, true), (3, 0.5, 5, true, false), (9, 0.05, 5, false, false)];
        assert_eq!(found, expected);
    }

    #[test]
    fn types_of_the_same_name_are_replaced() {
        let types =
            types(&[("view", Combination::Newest, None), ("share", Combination::Sum, None)]);
        let names: Vec<&str> = types.names().collect();
        assert_eq!(names, ["view", "click", "watch", "like", "dismiss", "share"]);
        assert_eq!(types.find("view").map(|kind| kind.strength), Some(2.0));
        assert_eq!(types.find("View"), None);
    }
}
