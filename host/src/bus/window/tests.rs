//! What happens to a window while a read or a commit is on its way.

use super::*;
use crate::bus::conformance::{definition, event};

const NOW: Timestamp = Timestamp(1);

fn logged(position: u64) -> Logged {
    Logged { position: Position(position), stored_at: NOW, event: Arc::new(event(&position.to_string())) }
}

/// A subscription that has been offered so many events.
fn offered(count: u64) -> Progress {
    let mut progress = Progress::new(Arc::new(definition("a.b", 5)), Position(0), Position(0), 0);
    progress.next_due = None;
    (1..=count).for_each(|position| assert!(progress.offer(&logged(position))));
    progress
}

fn claim(progress: &mut Progress) -> Option<u64> {
    match progress.step(NOW) {
        Step::Deliver(delivery) => Some(delivery.logged.position.0),
        Step::Read | Step::Hold | Step::Wait(_) => None,
    }
}

fn rows(positions: &[u64]) -> Vec<Waiting> {
    let row = |position| Waiting { has_row: true, ..Waiting::fresh(logged(position), &definition("a.b", 5)) };
    positions.iter().map(|position| row(*position)).collect()
}

#[test]
fn a_row_that_is_read_before_its_commit_is_seen_is_delivered_once() {
    let mut progress = offered(3);
    let holes = progress.holes(Position(3), &HashSet::new());
    progress.begin_read();
    progress.take_due(rows(&[1, 2, 3]));
    assert_eq!(claim(&mut progress), Some(1), "it is there already");
    progress.moved(Position(3), holes);
    progress.end_read();
    assert_eq!(claim(&mut progress), Some(2));
    assert_eq!(claim(&mut progress), Some(3));
    assert_eq!(claim(&mut progress), None);
    assert!(progress.claimed.values().all(|delivery| delivery.has_row));
}

#[test]
fn a_row_that_is_settled_while_it_is_read_is_stale() {
    let mut progress = offered(2);
    let holes = progress.holes(Position(2), &HashSet::new());
    progress.begin_read();
    progress.moved(Position(2), holes);
    assert_eq!(claim(&mut progress), Some(1));
    assert!(progress.end_claim(Position(1)).is_some());
    progress.take_due(rows(&[1, 2]));
    progress.end_read();
    assert_eq!(claim(&mut progress), Some(2));
    assert_eq!(claim(&mut progress), None);
}

#[test]
fn a_claim_that_is_read_as_a_row_does_not_stay_ready() {
    let mut progress = offered(1);
    let holes = progress.holes(Position(1), &HashSet::new());
    // As a delivery that was given back, and claimed once more from the rows.
    progress.claimed.insert(Position(1), rows(&[1]).remove(0));
    progress.moved(Position(1), holes);
    assert!(progress.ready.is_empty());
}
