//! State: what was read must still be so when what was made of it is committed.

use super::*;

pub(in crate::bus) async fn a_read_that_others_changed_is_a_conflict_and_changes_nothing<S: Stage>() {
    let stage = S::open(Settings::default());
    let subscription = declare(&stage, "s", definition("a.b", 5)).await;
    publish(&stage, event("1")).await;
    let mut claimed = claim(&subscription).await;
    let mine = || {
        let (_, version) = stage.bus().state("p").get("k").unwrap();
        let mut effects = set("k", b"mine");
        effects.reads.keys.insert("k".to_owned(), version);
        effects
    };
    let effects = mine();
    stage.bus().commit("p", set("k", b"theirs")).await.unwrap();
    assert_eq!(ack(&mut claimed, effects).await, Err(CommitError::Conflict("k".to_owned())));
    assert_eq!(value(&stage, "k").as_deref(), Some(&b"theirs"[..]));
    assert_eq!(ack(&mut claimed, mine()).await, Ok(Settled::Handled), "the claim was still open");
}

pub(in crate::bus) async fn a_listing_that_others_changed_is_a_conflict<S: Stage>() {
    let stage = S::open(Settings::default());
    let (_, listing) = stage.bus().state("p").keys(None, 10).unwrap();
    let listed = || {
        let mut effects = set("mine", b"1");
        effects.reads.listing = Some(listing);
        effects
    };
    stage.bus().commit("other", set("k", b"1")).await.unwrap();
    stage.bus().commit("p", listed()).await.unwrap();
    assert!(matches!(stage.bus().commit("p", listed()).await, Err(CommitError::Conflict(_))));
}

pub(in crate::bus) async fn additions_merge<S: Stage>() {
    let stage = S::open(Settings::default());
    for delta in [40, 3, -1] {
        stage.bus().commit("p", add("n", delta)).await.unwrap();
    }
    let stage = stage.crash();
    assert_eq!(value(&stage, "n").as_deref(), Some(&b"42"[..]));
    stage.bus().commit("p", set("n", b"x")).await.unwrap();
    assert_eq!(stage.bus().commit("p", add("n", 1)).await, Err(CommitError::NotANumber("n".to_owned())));
}
