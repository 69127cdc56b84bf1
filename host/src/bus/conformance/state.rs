//! State: the values that a handler has read must be unchanged when its effects are committed.

use std::collections::BTreeSet;

use super::*;
use crate::outcome::SequenceError;

pub(super) async fn a_changed_read_is_a_conflict_and_changes_nothing(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let subscription = declare(&harness, "s", definition("a.b", 5)).await;
    publish(&harness, event("1")).await;
    let mut claimed = claim(&subscription).await;
    let mine = || {
        let (_, version) = harness.bus().state("p").get("k").unwrap();
        let mut effects = set("k", b"mine");
        effects.reads.keys.insert("k".to_owned(), version);
        effects
    };
    let effects = mine();
    harness.bus().commit("p", set("k", b"theirs")).await.unwrap();
    assert_eq!(ack(&mut claimed, effects).await, Err(CommitError::Conflict("k".to_owned())));
    assert_eq!(value(&harness, "k").as_deref(), Some(&b"theirs"[..]));
    assert_eq!(ack(&mut claimed, mine()).await, Ok(SettledStatus::Handled), "the delivery was still in flight");
}

pub(super) async fn a_changed_listing_is_a_conflict(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let (_, listing) = harness.bus().state("p").keys(None, 10).unwrap();
    let listed = || {
        let mut effects = set("mine", b"1");
        effects.reads.listing = Some(listing);
        effects
    };
    harness.bus().commit("other", set("k", b"1")).await.unwrap();
    harness.bus().commit("p", listed()).await.unwrap();
    assert!(matches!(harness.bus().commit("p", listed()).await, Err(CommitError::Conflict(_))));
}

pub(super) async fn all_reads_see_one_moment(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let both = |value: &[u8]| Effects {
        writes: BTreeMap::from(["a", "b"].map(|key| (key.to_owned(), Write::Set(value.to_vec())))),
        ..Effects::default()
    };
    harness.bus().commit("p", both(b"1")).await.unwrap();
    let mut view = harness.bus().state("p");
    assert_eq!(view.get("a").unwrap().0.as_deref(), Some(&b"1"[..]));
    harness.bus().commit("p", both(b"2")).await.unwrap();
    assert_eq!(view.get("b").unwrap().0.as_deref(), Some(&b"1"[..]), "the value as of the first read");
    drop(view);
    assert_eq!(value(&harness, "b").as_deref(), Some(&b"2"[..]));
}

pub(super) async fn additions_merge(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    for delta in [40, 3, -1] {
        harness.bus().commit("p", add("n", delta)).await.unwrap();
    }
    let harness = harness.crash().await;
    assert_eq!(value(&harness, "n").as_deref(), Some(&b"42"[..]));
    harness.bus().commit("p", set("n", b"x")).await.unwrap();
    assert_eq!(harness.bus().commit("p", add("n", 1)).await, Err(CommitError::NotANumber("n".to_owned())));
}

pub(super) async fn a_sequence_gives_each_number_once_also_after_a_crash(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let mut drawn = draw_many(&harness, "p", 100).await;
    let harness = harness.crash().await;
    drawn.extend(draw_many(&harness, "p", 100).await);
    let harness = harness.restart().await;
    drawn.extend(draw_many(&harness, "p", 100).await);
    let distinct: BTreeSet<_> = drawn.iter().collect();
    assert_eq!(distinct.len(), 300, "{drawn:?}");
    assert_eq!(drawn[0], 1);
    // A later draw gets a larger number.
    assert!(drawn[..100].iter().max() < drawn[100..200].iter().min());
    assert!(drawn[100..200].iter().max() < drawn[200..].iter().min());
    assert_eq!(draw_many(&harness, "other", 1).await, [1], "each plugin has its own sequences");
    assert!(harness.bus().state("p").unreserved("s").unwrap() > *drawn.iter().max().unwrap());
    assert!(harness.bus().state("p").keys(None, 10).unwrap().0.is_empty(), "sequences are not keys of the state");
}

/// Draws numbers concurrently.
async fn draw_many(harness: &Harness, plugin: &str, count: usize) -> Vec<u64> {
    let mut drawing = tokio::task::JoinSet::new();
    for _ in 0..count {
        drawing.spawn(harness.bus().state(plugin).draw("s"));
    }
    let mut drawn = Vec::new();
    while let Some(number) = drawing.join_next().await {
        drawn.push(number.unwrap().unwrap());
    }
    drawn.sort_unstable();
    drawn
}

pub(super) async fn the_number_of_a_plugins_sequences_is_limited(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let mut drawing = tokio::task::JoinSet::new();
    for number in 0..1_001 {
        drawing.spawn(harness.bus().state("p").draw(&format!("s{number}")));
    }
    let mut refused = 0;
    while let Some(number) = drawing.join_next().await {
        match number.unwrap() {
            Ok(number) => assert_eq!(number, 1),
            Err(SequenceError::TooMany(1_000)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(refused, 1);
    assert_eq!(harness.bus().state("q").draw("s").await.unwrap(), 1);
}
