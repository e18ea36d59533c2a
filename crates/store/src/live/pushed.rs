use std::collections::HashMap;

use sparrow_live::{Sequence, Watermark};
use sparrow_model::UserId;

use crate::entries::check_watermark;
use crate::{Entry, Error};

/// What a push knows about the live data of its store.
#[derive(Debug, Default)]
pub(crate) struct PushedLive {
    /// 0 if there are none.
    pub(crate) partitions: u16,
    /// The watermark of the generation in force.
    pub(crate) in_force: Option<Watermark>,
    /// The watermark of this push; empty without one.
    pub(crate) pushed: Watermark,
    pub(crate) forgotten: HashMap<UserId, Sequence>,
    /// Up to where the log was trimmed.
    pub(crate) trimmed: Watermark,
}

impl PushedLive {
    /// Checks an entry before it is written, and keeps the watermark. Rejects a watermark behind the one in force, and
    /// ratings that may not contain what was trimmed from the log: it would be nowhere.
    pub(crate) fn admit(&mut self, address: &str, entry: &Entry) -> Result<(), Error> {
        match entry {
            Entry::Watermark(watermark) => {
                check_watermark(address, self.in_force.as_ref(), watermark)?;
                self.pushed = watermark.clone();
                Ok(())
            }
            Entry::UserRatings(..) if !self.trimmed.is_zero() => self.check_trimmed(address),
            _ => Ok(()),
        }
    }

    fn check_trimmed(&self, address: &str) -> Result<(), Error> {
        let none = Watermark::default();
        let is_known = self.pushed.partitions() == self.partitions;
        let pushed = if is_known { &self.pushed } else { &none };
        let Some((partition, contained, trimmed)) = self.trimmed.beyond(pushed) else {
            return Ok(());
        };
        let what = format!(
            "the data contain the live data of partition {partition} up to {contained}, but its log was trimmed up to {trimmed}: push \
             an export that contains them"
        );
        Err(Error::refused(address, what))
    }

    /// Whether data with this watermark were exported after the deletion of a user. Those of a watermark of other live data
    /// were not.
    pub(crate) fn is_included(&self, watermark: &Watermark, user: UserId) -> bool {
        let Some(&deletion) = self.forgotten.get(&user) else { return true };
        watermark.partitions() == self.partitions
            && watermark.contains(sparrow_live::partition(user, self.partitions), deletion)
    }

    /// Whether nothing may be stored about a user.
    pub(crate) fn is_deleted(&self, user: UserId) -> bool {
        !self.is_included(&self.pushed, user)
    }

    /// The entry without deleted users; `None` if nothing is left.
    pub(crate) fn without_deleted(&self, mut entry: Entry) -> Option<Entry> {
        if self.forgotten.is_empty() {
            return Some(entry);
        }
        match &mut entry {
            Entry::UserFeatures(user, _)
            | Entry::UserEmbedding(user, _)
            | Entry::UserRatings(user, _) => {
                if self.is_deleted(*user) {
                    return None;
                }
            }
            Entry::MovieRatings(_, ratings) => {
                ratings.top.retain(|rating| !self.is_deleted(rating.user));
            }
            Entry::UserList(list) => {
                let before = list.most_active.len();
                list.most_active.retain(|(user, ..)| !self.is_deleted(*user));
                let removed = before - list.most_active.len();
                list.total = list.total.saturating_sub(removed as u32);
            }
            Entry::MovieFeatures(..)
            | Entry::MovieEmbedding(..)
            | Entry::EmbeddingInfo(_)
            | Entry::Watermark(_) => {}
        }
        Some(entry)
    }
}
