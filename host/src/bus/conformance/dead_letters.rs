//! Dead letters: kept with their history, redriven and dropped.

use super::*;

pub(super) async fn dead_letters_are_redriven_by_cause(engine: &dyn Engine) {
    let stage = open(engine, Settings::default()).await;
    let before = declare(&stage, "s", definition("a.b", 2)).await;
    publish(&stage, event("1")).await;
    let mut claimed = claim(&before).await;
    retry(&mut claimed).await;
    stage.clock().advance(Duration::from_secs(1));
    let mut claimed = claim(&before).await;
    assert_eq!(exhaust(&mut claimed).await, Settled::Dead);
    publish(&stage, event("2")).await;
    reject(&mut claim(&before).await).await;
    drop((claimed, before));

    let stage = stage.crash().await;
    let letters = stage.bus().dead_letters(DeadLetterFilter::default(), None, 10).await.unwrap();
    let summary: Vec<_> = letters.iter().map(|it| (it.cause.as_str(), it.attempts, it.history.len())).collect();
    assert_eq!(summary, [("retry", 2, 2), ("rejected", 1, 1)]);
    assert_eq!(letters[0].history[1].digest.as_deref(), Some("d1"));
    assert_eq!(letters[0].history[1].reason, "because of retry");
    let filter = DeadLetterFilter { cause: Some("rejected".to_owned()), ..DeadLetterFilter::default() };
    assert_eq!(stage.bus().redrive(filter, 10).await, Ok(1));
    let after = subscription(&stage, "s");
    assert_eq!(after.overview().backlog, 1);
    let again = claim(&after).await;
    assert_eq!((again.event().id.as_str(), again.delivery().attempt), ("2", 1));
}

pub(super) async fn dead_letters_of_one_key_are_redriven_in_order(engine: &dyn Engine) {
    const EVENTS: usize = 600;
    let stage = open(engine, Settings::default()).await;
    let before = declare(&stage, "s", ordered_by("subject")).await;
    publish_all(&stage, (0..EVENTS).map(|number| about(&number.to_string(), "a"))).await;
    for _ in 0..EVENTS {
        reject(&mut claim(&before).await).await;
    }
    assert_eq!(dead_letters(&stage).await, EVENTS as u64);
    drop(before);
    // A redrive that a crash interrupts goes on where it was.
    assert_eq!(stage.bus().redrive(DeadLetterFilter::default(), 250).await, Ok(250));
    let stage = stage.crash().await;
    assert_eq!(stage.bus().redrive(DeadLetterFilter::default(), EVENTS).await, Ok(EVENTS - 250));
    let ids = handle_all(&subscription(&stage, "s")).await;
    assert!(ids.iter().enumerate().all(|(number, id)| *id == number.to_string()), "{ids:?}");
    assert_eq!(ids.len(), EVENTS);
}

pub(super) async fn dropped_dead_letters_are_gone(engine: &dyn Engine) {
    let stage = open(engine, Settings::default()).await;
    let subscription = declare(&stage, "s", definition("a.b", 5)).await;
    publish_all(&stage, ["1", "2"].into_iter().map(event)).await;
    for _ in 0..2 {
        reject(&mut claim(&subscription).await).await;
    }
    let other = declare(&stage, "t", definition("a.b", 5)).await;
    publish(&stage, event("3")).await;
    reject(&mut claim(&other).await).await;
    declare(&stage, "none", definition("a.b", 5)).await;
    let counts = stage.bus().dead_letter_counts().await.unwrap();
    assert_eq!(counts, [(id("s"), 2), (id("t"), 1)].into());
    let of_other = DeadLetterFilter { subscription: Some(id("t")), ..DeadLetterFilter::default() };
    assert_eq!(stage.bus().drop_dead_letters(of_other, 10).await, Ok(1));
    let letter = stage.bus().dead_letters(DeadLetterFilter::default(), None, 1).await.unwrap().remove(0);
    let after = stage.bus().dead_letters(DeadLetterFilter::default(), Some(letter.number), 10).await.unwrap();
    assert!(matches!(&after[..], [second] if second.number > letter.number), "a page goes on behind the former one");
    let first =
        DeadLetterFilter { number: Some(letter.number), subscription: Some(id("s")), ..DeadLetterFilter::default() };
    assert_eq!(stage.bus().drop_dead_letters(first, 10).await, Ok(1));
    let stage = stage.crash().await;
    assert_eq!(dead_letters(&stage).await, 1);
    assert_eq!(stage.bus().redrive(DeadLetterFilter::default(), 10).await, Ok(1));
}
