//! Windows while a read or a commit is on its way.

use super::*;
use crate::bus::conformance::{definition, event};

const NOW: Timestamp = Timestamp(1);

fn logged(position: u64) -> LoggedEvent {
    LoggedEvent { position: Position(position), stored_at: NOW, event: Arc::new(event(&position.to_string())) }
}

/// A window to which a number of events was offered.
fn window_of(count: u64) -> Window {
    let mut window = Window::new(Arc::new(definition("a.b", 5)), Position(0), Position(0), 0);
    window.next_due = None;
    (1..=count).for_each(|position| assert!(window.offer(&logged(position))));
    window
}

fn claim(window: &mut Window) -> Option<u64> {
    match window.try_claim(NOW) {
        ClaimStep::Claimed(delivery) => Some(delivery.logged.position.0),
        ClaimStep::Read | ClaimStep::Spill | ClaimStep::Wait(_) => None,
    }
}

fn rows(positions: &[u64]) -> Vec<PendingDelivery> {
    let row =
        |position| PendingDelivery { has_row: true, ..PendingDelivery::new(logged(position), &definition("a.b", 5)) };
    positions.iter().map(|position| row(*position)).collect()
}

#[test]
fn a_row_that_is_read_before_its_commit_is_seen_is_delivered_once() {
    let mut window = window_of(3);
    let rowless = window.rowless_up_to(Position(3), &HashSet::new());
    window.begin_read();
    window.take_due(rows(&[1, 2, 3]));
    assert_eq!(claim(&mut window), Some(1), "it is already in memory");
    window.apply_cursor_move(Position(3), rowless);
    window.end_read();
    assert_eq!(claim(&mut window), Some(2));
    assert_eq!(claim(&mut window), Some(3));
    assert_eq!(claim(&mut window), None);
    assert!(window.claimed.values().all(|delivery| delivery.has_row));
}

#[test]
fn a_row_that_is_settled_while_it_is_read_is_stale() {
    let mut window = window_of(2);
    let rowless = window.rowless_up_to(Position(2), &HashSet::new());
    window.begin_read();
    window.apply_cursor_move(Position(2), rowless);
    assert_eq!(claim(&mut window), Some(1));
    assert!(window.end_claim(Position(1)).is_some());
    window.take_due(rows(&[1, 2]));
    window.end_read();
    assert_eq!(claim(&mut window), Some(2));
    assert_eq!(claim(&mut window), None);
}

#[test]
fn a_claim_that_is_read_as_a_row_does_not_stay_ready() {
    let mut window = window_of(1);
    let rowless = window.rowless_up_to(Position(1), &HashSet::new());
    // A delivery that was given back, and claimed again from its row.
    window.claimed.insert(Position(1), rows(&[1]).remove(0));
    window.apply_cursor_move(Position(1), rowless);
    assert!(window.ready.is_empty());
}
