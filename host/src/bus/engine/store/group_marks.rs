//! What operators have decided about groups of dead letters.

use crate::bus::{DeadLetterFilter, DeadLetterGroup, GroupStatus, StoreError};
use crate::clock::Timestamp;

/// Up to this number of marks, the search for stale ones is skipped, because it reads all dead letters.
pub(in crate::bus) const FEW_MARKS: i64 = if cfg!(test) { 1 } else { 1_000 };
/// The most marks that are deleted at a time.
pub(in crate::bus) const STALE_MARKS_LIMIT: i64 = 100;

/// The mark of a group: the status that an operator has set for the group.
pub(in crate::bus) struct GroupMark<'a> {
    pub(in crate::bus) subscription: i64,
    pub(in crate::bus) cause: &'a str,
    pub(in crate::bus) signature: &'a str,
    pub(in crate::bus) digest: Option<&'a str>,
    pub(in crate::bus) status: GroupStatus,
    pub(in crate::bus) since: Timestamp,
    pub(in crate::bus) by: &'a str,
}

/// Marks that are no longer needed.
#[derive(Default)]
pub(in crate::bus) struct StaleMarks {
    /// The number of each mark, and the time at which it was set.
    pub(in crate::bus) marks: Vec<(i64, i64)>,
    /// The newest dead letter when they were found.
    pub(in crate::bus) newest: i64,
}

/// What operators have decided about groups of dead letters.
pub(in crate::bus) trait GroupMarkRows {
    /// Writes the mark of a group, in place of an earlier one.
    fn put_group_mark(&self, mark: &GroupMark<'_>) -> Result<(), StoreError>;

    /// Finds a bounded number of stale marks, if there are many marks. A mark is stale if its group has no dead
    /// letters, and if the mark has no effect or its group was ignored before the given time.
    fn stale_group_marks(&self, ignored_before: Timestamp) -> Result<StaleMarks, StoreError>;

    /// Deletes marks, unless they have changed since they were found, or a dead letter may have joined their groups.
    fn delete_group_marks(&self, stale: &StaleMarks) -> Result<(), StoreError>;

    /// Deletes the marks of a subscription.
    fn delete_group_marks_of(&self, subscription: i64) -> Result<(), StoreError>;

    /// Groups of dead letters that failed alike, the largest first.
    fn dead_letter_groups(
        &self,
        filter: &DeadLetterFilter,
        status: Option<GroupStatus>,
        limit: usize,
    ) -> Result<Vec<DeadLetterGroup>, StoreError>;
}
