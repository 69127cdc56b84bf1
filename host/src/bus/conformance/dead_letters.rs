//! Dead letters: kept with their history, redriven and dropped.

use super::*;

pub(super) async fn dead_letters_are_redriven_by_cause(engine: &dyn Engine) {
    let harness = open(engine, Settings::default()).await;
    let before = declare(&harness, "s", definition("a.b", 2)).await;
    publish(&harness, event("1")).await;
    let mut claimed = claim(&before).await;
    retry(&mut claimed).await;
    harness.clock().advance(Duration::from_secs(1));
    let mut claimed = claim(&before).await;
    assert_eq!(exhaust(&mut claimed).await, DeliveryStatus::Dead);
    publish(&harness, event("2")).await;
    reject(&mut claim(&before).await).await;
    drop((claimed, before));

    let harness = harness.crash().await;
    let letters = harness.bus().dead_letters(DeadLetterFilter::default(), None, 10).await.unwrap();
    let summary: Vec<_> = letters.iter().map(|it| (it.cause.as_str(), it.attempts, it.history.len())).collect();
    assert_eq!(summary, [("retry", 2, 2), ("rejected", 1, 1)]);
    assert_eq!(letters[0].history[1].digest.as_deref(), Some("d1"));
    assert_eq!(letters[0].history[1].reason, "because of retry");
    let filter = DeadLetterFilter { cause: Some("rejected".to_owned()), ..DeadLetterFilter::default() };
    assert_eq!(harness.bus().redrive(filter, 10).await, Ok(1));
    let after = subscription(&harness, "s");
    assert_eq!(after.overview().backlog, 1);
    let again = claim(&after).await;
    assert_eq!((again.event().id.as_str(), again.delivery().attempt), ("2", 1));
}

pub(super) async fn dead_letters_of_one_key_are_redriven_in_order(engine: &dyn Engine) {
    const EVENTS: usize = 600;
    let harness = open(engine, Settings::default()).await;
    let before = declare(&harness, "s", ordered_by("subject")).await;
    publish_all(&harness, (0..EVENTS).map(|number| about(&number.to_string(), "a"))).await;
    for _ in 0..EVENTS {
        reject(&mut claim(&before).await).await;
    }
    assert_eq!(dead_letters(&harness).await, EVENTS as u64);
    drop(before);
    // A redrive that a crash interrupts can be continued.
    assert_eq!(harness.bus().redrive(DeadLetterFilter::default(), 250).await, Ok(250));
    let harness = harness.crash().await;
    assert_eq!(harness.bus().redrive(DeadLetterFilter::default(), EVENTS).await, Ok(EVENTS - 250));
    let ids = handle_all(&subscription(&harness, "s")).await;
    assert!(ids.iter().enumerate().all(|(number, id)| *id == number.to_string()), "{ids:?}");
    assert_eq!(ids.len(), EVENTS);
}

pub(super) async fn dropped_dead_letters_are_gone(engine: &dyn Engine) {
    let harness = open(engine, Settings::default()).await;
    let subscription = declare(&harness, "s", definition("a.b", 5)).await;
    publish_all(&harness, ["1", "2"].into_iter().map(event)).await;
    for _ in 0..2 {
        reject(&mut claim(&subscription).await).await;
    }
    let other = declare(&harness, "t", definition("a.b", 5)).await;
    publish(&harness, event("3")).await;
    reject(&mut claim(&other).await).await;
    declare(&harness, "none", definition("a.b", 5)).await;
    let counts = harness.bus().dead_letter_counts().await.unwrap();
    assert_eq!(counts, [(id("s"), 2), (id("t"), 1)].into());
    let of_other = DeadLetterFilter { subscription: Some(id("t")), ..DeadLetterFilter::default() };
    assert_eq!(harness.bus().drop_dead_letters(of_other, 10).await, Ok(1));
    let letter = harness.bus().dead_letters(DeadLetterFilter::default(), None, 1).await.unwrap().remove(0);
    let after = harness.bus().dead_letters(DeadLetterFilter::default(), Some(letter.number), 10).await.unwrap();
    assert!(matches!(&after[..], [second] if second.number > letter.number), "a page continues after the former one");
    let first =
        DeadLetterFilter { number: Some(letter.number), subscription: Some(id("s")), ..DeadLetterFilter::default() };
    assert_eq!(harness.bus().drop_dead_letters(first, 10).await, Ok(1));
    let harness = harness.crash().await;
    assert_eq!(dead_letters(&harness).await, 1);
    assert_eq!(harness.bus().redrive(DeadLetterFilter::default(), 10).await, Ok(1));
}
