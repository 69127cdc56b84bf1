//! What operators see of a window.

use super::{PendingDelivery, Turn, Window};
use crate::event::Position;

/// A delivery in memory.
#[derive(Clone, Debug)]
pub(crate) struct WindowDelivery {
    pub(crate) delivery: PendingDelivery,
    pub(crate) is_claimed: bool,
    /// Which event has the turn of its ordering key. Only relevant if the delivery is not claimed.
    pub(crate) turn: Turn,
}

impl Window {
    /// The deliveries in memory at or after a position, in order, at most `limit`.
    pub(crate) fn in_memory(&self, from: Position, limit: usize) -> Vec<WindowDelivery> {
        let claimed = self.claimed.range(from..).take(limit).map(|(_, delivery)| (delivery, true));
        // `due` and the deferred deliveries have no order by position.
        let unclaimed = self.due.iter().chain(self.keys.deferred()).chain(&self.ready);
        let unclaimed = unclaimed.filter(|delivery| delivery.logged.position >= from).map(|delivery| (delivery, false));
        let mut found: Vec<_> = claimed.chain(unclaimed).collect();
        found.sort_by_key(|(delivery, _)| delivery.logged.position);
        found.dedup_by_key(|(delivery, _)| delivery.logged.position);
        let all = found.into_iter().take(limit);
        all.map(|(delivery, is_claimed)| WindowDelivery {
            delivery: delivery.clone(),
            is_claimed,
            turn: self.turn_of(delivery),
        })
        .collect()
    }

    /// The delivery of the event at a position, if it is in memory.
    pub(crate) fn in_memory_at(&self, position: Position) -> Option<WindowDelivery> {
        self.in_memory(position, 1).into_iter().find(|found| found.delivery.logged.position == position)
    }

    /// Which event has the turn of a delivery's ordering key.
    pub(crate) fn turn_of(&self, delivery: &PendingDelivery) -> Turn {
        delivery.key.as_ref().map_or(Turn::Own, |key| self.keys.turn(key, delivery.logged.position))
    }

    /// The number of deliveries in `ready` before a position.
    pub(crate) fn ready_before(&self, position: Position) -> u64 {
        self.ready.partition_point(|delivery| delivery.logged.position < position) as u64
    }
}
