//! Dead letters: deliveries that are not retried any more.

use std::collections::BTreeMap;

use crate::bus::{
    BoxFuture, CommitError, DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterId, GroupStatus, StoreError,
};
use crate::subscription::SubscriptionId;

/// The minimum number of days for which an engine remembers that an operator has ignored a group. It never forgets this
/// while the group has dead letters.
pub const IGNORED_DAYS: u64 = 30;

/// The dead letters of all subscriptions.
pub trait DeadLetters {
    /// Turns up to `limit` dead letters into deliveries again, in the order of their events, and returns how many.
    /// Deliveries that share an ordering key with a pending one wait for their turn.
    ///
    /// # Errors
    /// If the store refuses.
    fn redrive(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>>;

    /// Turns a dead letter into a delivery again, with other data. The event in the log is unchanged: only this
    /// delivery has the data, in all of its attempts. If the delivery becomes a dead letter again, the new dead letter
    /// keeps the edited data until it is redriven with other data. The caller has checked the data
    /// ([`Event::check_data`](crate::event::Event::check_data)).
    ///
    /// # Errors
    /// [`CommitError::NotFound`] if there is no such dead letter; [`CommitError::DeliveryOpen`] if the event has a
    /// pending delivery to the subscription, for example the regular delivery if the dead letter belongs to a replay;
    /// otherwise if the store refuses.
    fn redrive_edited(&self, number: DeadLetterId, data: Vec<u8>) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Deletes up to `limit` dead letters, and returns how many. Ordering keys that they parked are released.
    ///
    /// # Errors
    /// If the store refuses.
    fn drop_dead_letters(&self, filter: DeadLetterFilter, limit: usize) -> BoxFuture<'_, Result<usize, CommitError>>;

    /// Lists dead letters, oldest first, starting after `after`.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeadLetterId>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetter>, StoreError>>;

    /// Counts dead letters.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn count_dead_letters(&self, filter: DeadLetterFilter) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// Groups dead letters by subscription, and by cause, signature of the reason ([`failure::signature`]) and
    /// component of the last attempt. Lists up to `limit` groups, largest first; groups of equal size are listed newest
    /// first. If a status is given, only groups with this status are listed.
    ///
    /// # Errors
    /// If the store cannot be read.
    ///
    /// [`failure::signature`]: crate::failure::signature
    fn dead_letter_groups(
        &self,
        filter: DeadLetterFilter,
        status: Option<GroupStatus>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<DeadLetterGroup>, StoreError>>;

    /// Sets the status of the group of a dead letter, and who has set it.
    ///
    /// A resolved group is open again as soon as a new dead letter joins it, for example one that was redriven and
    /// failed again. Dead letters that existed at the resolution do not reopen it. An ignored group stays ignored. The
    /// status outlasts the dead letters of the group: an engine keeps [`GroupStatus::Ignored`] for [`IGNORED_DAYS`]
    /// days at least, and may forget other statuses, which have no effect on a group without dead letters. The status
    /// is deleted with the subscription.
    ///
    /// # Errors
    /// [`CommitError::NotFound`] if there is no such dead letter; otherwise if the store refuses.
    fn set_group_status(
        &self,
        member: DeadLetterId,
        status: GroupStatus,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Counts the dead letters of each subscription, including those of its replays. Subscriptions without dead
    /// letters are omitted.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn dead_letter_counts(&self) -> BoxFuture<'_, Result<BTreeMap<SubscriptionId, u64>, StoreError>>;
}
