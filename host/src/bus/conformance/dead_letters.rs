//! Dead letters: kept with their history, redriven and dropped.

use super::*;
use crate::bus::{DeadLetterGroup, DeadLetterId, GroupStatus};

pub(super) async fn dead_letters_are_redriven_by_cause(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let before = declare(&harness, "s", definition("a.b", 2)).await;
    publish(&harness, event("1")).await;
    let mut claimed = claim(&before).await;
    retry(&mut claimed).await;
    harness.clock().advance(Duration::from_secs(1));
    let mut claimed = claim(&before).await;
    assert_eq!(exhaust(&mut claimed).await, SettledStatus::Dead);
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

pub(super) async fn dead_letters_of_one_key_are_redriven_in_order(fixture: &dyn BusFixture) {
    const EVENTS: usize = 600;
    let harness = open(fixture, Settings::default()).await;
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

pub(super) async fn dropped_dead_letters_are_gone(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
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

/// Makes a dead letter of the next delivery of a subscription.
async fn fail_for_good(feed: &Arc<dyn SubscriptionFeed>, cause: Cause, reason: &str, digest: Option<&str>) {
    let mut claimed = claim(feed).await;
    let failure = Failure { cause, reason: reason.to_owned() };
    let record = AttemptRecord {
        delivery: Arc::clone(claimed.delivery()),
        verdict: Verdict::DeadLetter { failure, exhausted: false },
        digest: digest.map(Into::into),
        took: Duration::ZERO,
        usage: Usage::default(),
    };
    claimed.settle(Settlement { record, effects: None }).await.unwrap();
}

pub(super) async fn dead_letters_that_failed_alike_are_grouped(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    assert!(harness.bus().dead_letter_groups(DeadLetterFilter::default(), None, 10).await.unwrap().is_empty());
    let s = declare(&harness, "s", definition("a.b", 5)).await;
    publish_all(&harness, (1..=6).map(|number| event(&number.to_string()))).await;
    for (reason, cause, digest) in [
        ("no order 17\nat a", Cause::Trap, Some("d1")),
        ("no server", Cause::Trap, Some("d1")),
        ("no order 9", Cause::Trap, Some("d1")),
        ("no order 4", Cause::Trap, Some("d2")),
        ("no order 5", Cause::Timeout, None),
        ("no order 0190c2a4", Cause::Trap, Some("d1")),
    ] {
        fail_for_good(&s, cause, reason, digest).await;
        harness.clock().advance(Duration::from_secs(1));
    }
    let t = declare(&harness, "t", definition("a.b", 5)).await;
    publish(&harness, event("7")).await;
    fail_for_good(&t, Cause::Trap, "no order 17", Some("d1")).await;
    drop((s, t));

    let harness = harness.crash().await;
    let groups = async |filter: DeadLetterFilter, limit: usize| {
        let groups = harness.bus().dead_letter_groups(filter, None, limit).await.unwrap();
        let after = |time: Timestamp| time.since(START).as_secs();
        let show = |group: &DeadLetterGroup| {
            let DeadLetterGroup { subscription, cause, signature, digest, count, first, last, sample, .. } = group;
            let (digest, sample) = (digest.as_deref().unwrap_or("-"), sample.number());
            let (first, last) = (after(*first), after(*last));
            format!("{} {cause} {digest} `{signature}` {count}: {first}..{last}, {sample}", subscription.name)
        };
        groups.iter().map(show).collect::<Vec<_>>()
    };
    let all = groups(DeadLetterFilter::default(), 10).await;
    assert_eq!(
        all,
        [
            "s trap d1 `no order #` 3: 0..5, 6",
            "t trap d1 `no order #` 1: 6..6, 7",
            "s timeout - `no order #` 1: 4..4, 5",
            "s trap d2 `no order #` 1: 3..3, 4",
            "s trap d1 `no server` 1: 1..1, 2",
        ]
    );
    assert_eq!(groups(DeadLetterFilter::default(), 2).await, all[..2]);
    let of_cause = DeadLetterFilter { cause: Some("timeout".to_owned()), ..of_subscription("s") };
    assert_eq!(groups(of_cause, 10).await, all[2..3]);
    assert_eq!(groups(of_subscription("t"), 10).await, all[1..2]);

    // One group is redriven, and one without a component is dropped.
    let letters = harness.bus().dead_letters(DeadLetterFilter::default(), None, 10).await.unwrap();
    let group_of = |number: i64| {
        let letter = letters.iter().find(|letter| letter.number.number() == number);
        letter.expect("a dead letter of the groups above").group()
    };
    assert_eq!(harness.bus().count_dead_letters(group_of(1)).await.unwrap(), 3);
    assert_eq!(harness.bus().redrive(group_of(1), 2).await, Ok(2));
    assert_eq!(harness.bus().redrive(group_of(1), 2).await, Ok(1));
    assert_eq!(groups(DeadLetterFilter::default(), 10).await, all[1..]);
    assert_eq!(harness.bus().drop_dead_letters(group_of(5), 10).await, Ok(1));
    assert_eq!(groups(DeadLetterFilter::default(), 10).await, [&all[1..2], &all[3..]].concat());
}

/// The groups with a status: the signature of each, the seconds since when it has the status, and who has set it.
async fn groups_with(harness: &Harness, status: GroupStatus) -> Vec<(String, Option<u64>, Option<String>)> {
    let groups = harness.bus().dead_letter_groups(DeadLetterFilter::default(), Some(status), 10).await.unwrap();
    let show = |group: DeadLetterGroup| {
        assert_eq!(group.status, status);
        (group.signature, group.status_since.map(|since| since.since(START).as_secs()), group.status_by)
    };
    groups.into_iter().map(show).collect()
}

pub(super) async fn a_resolved_group_is_open_when_it_recurs_and_an_ignored_one_is_not(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let feed = declare(&harness, "s", definition("a.b", 5)).await;
    publish_all(&harness, (1..=2).map(|number| event(&number.to_string()))).await;
    fail_for_good(&feed, Cause::Trap, "bad order", Some("d1")).await;
    fail_for_good(&feed, Cause::Timeout, "slow server", None).await;
    let set = async |harness: &Harness, number: i64, status: GroupStatus| {
        harness.bus().set_group_status(DeadLetterId::new(number), status, "ada".to_owned()).await
    };
    let group = |signature: &str, since: Option<u64>, is_set: bool| {
        (signature.to_owned(), since, is_set.then(|| "ada".to_owned()))
    };
    let [bad_order, slow_server] = ["bad order", "slow server"].map(|signature| group(signature, None, false));
    assert_eq!(groups_with(&harness, GroupStatus::Open).await, [slow_server, bad_order]);
    assert!(matches!(set(&harness, 99, GroupStatus::Resolved).await, Err(CommitError::NotFound(_))));
    harness.clock().advance(Duration::from_secs(1));
    set(&harness, 1, GroupStatus::Resolved).await.unwrap();
    set(&harness, 2, GroupStatus::Ignored).await.unwrap();
    drop(feed);

    let harness = harness.crash().await;
    let feed = subscription(&harness, "s");
    assert_eq!(groups_with(&harness, GroupStatus::Open).await, []);
    assert_eq!(groups_with(&harness, GroupStatus::Resolved).await, [group("bad order", Some(1), true)]);
    harness.clock().advance(Duration::from_secs(1));
    publish_all(&harness, (3..=5).map(|number| event(&number.to_string()))).await;
    // Another component fails in the same way.
    fail_for_good(&feed, Cause::Trap, "bad order", Some("d2")).await;
    assert_eq!(groups_with(&harness, GroupStatus::Resolved).await, [group("bad order", Some(1), true)]);
    fail_for_good(&feed, Cause::Timeout, "slow server", None).await;
    fail_for_good(&feed, Cause::Trap, "bad order", Some("d1")).await;
    let open = [group("bad order", Some(2), false), group("bad order", None, false)];
    assert_eq!(groups_with(&harness, GroupStatus::Open).await, open);
    assert_eq!(groups_with(&harness, GroupStatus::Ignored).await, [group("slow server", Some(1), true)]);

    // A redriven dead letter that fails again becomes a new dead letter, which opens a resolved group.
    set(&harness, 1, GroupStatus::Resolved).await.unwrap();
    let number = DeadLetterFilter { number: Some(DeadLetterId::new(1)), ..DeadLetterFilter::default() };
    assert_eq!(harness.bus().redrive(number, 1).await, Ok(1));
    assert_eq!(groups_with(&harness, GroupStatus::Resolved).await, [group("bad order", Some(2), true)]);
    harness.clock().advance(Duration::from_secs(1));
    fail_for_good(&feed, Cause::Trap, "bad order", Some("d1")).await;
    assert_eq!(groups_with(&harness, GroupStatus::Open).await[0], group("bad order", Some(3), false));
    set(&harness, 2, GroupStatus::Open).await.unwrap();
    assert_eq!(groups_with(&harness, GroupStatus::Ignored).await, []);

    // An ignored group without dead letters stays ignored, unless its subscription is deleted and created again.
    set(&harness, 2, GroupStatus::Ignored).await.unwrap();
    harness.bus().drop_dead_letters(of_subscription("s"), 100).await.unwrap();
    publish(&harness, event("6")).await;
    fail_for_good(&feed, Cause::Timeout, "slow server", None).await;
    assert_eq!(groups_with(&harness, GroupStatus::Ignored).await, [group("slow server", Some(3), true)]);
    drop(feed);
    harness.bus().delete_subscription(id("s")).await.unwrap();
    let feed = declare(&harness, "s", definition("a.b", 5)).await;
    publish(&harness, event("7")).await;
    fail_for_good(&feed, Cause::Timeout, "slow server", None).await;
    assert_eq!(groups_with(&harness, GroupStatus::Open).await, [group("slow server", None, false)]);
}

pub(super) async fn a_dead_letter_is_redriven_with_edited_data(fixture: &dyn BusFixture) {
    let mut harness = open(fixture, Settings::default()).await;
    let mut feed = declare(&harness, "s", ordered_by("subject")).await;
    let original = Event { data: Some(Data::json(*b"1")), ..about("1", "a") };
    publish_all(&harness, [original.clone(), about("2", "a")].into_iter()).await;
    reject(&mut claim(&feed).await).await;
    let letter = async |harness: &Harness| {
        harness.bus().dead_letters(DeadLetterFilter::default(), None, 10).await.unwrap().remove(0)
    };
    let first = letter(&harness).await;
    let missing = harness.bus().redrive_edited(DeadLetterId::new(1_000), b"2".to_vec()).await;
    assert!(matches!(missing, Err(CommitError::NotFound(_))), "{missing:?}");
    harness.bus().redrive_edited(first.number, b"2".to_vec()).await.unwrap();
    for crash in [false, true] {
        if crash {
            drop(feed);
            harness = harness.crash().await;
            feed = subscription(&harness, "s");
        }
        let mut claimed = claim(&feed).await;
        let expected = (if crash { 2 } else { 1 }, &original.with_edited_data(b"2".to_vec()));
        assert_eq!((claimed.delivery().attempt, &**claimed.event()), expected, "crash: {crash}");
        assert_eq!(claimed.event().attribute("sandbusedited"), Some("true"));
        assert_eq!(claimed.delivery().redriven_at, Some(START));
        let reports = harness.bus().deliveries_of(claimed.delivery().logged.position).await.unwrap();
        assert_eq!((reports[0].redriven_at, reports[0].edited), (Some(START), true), "{reports:?}");
        if crash {
            reject(&mut claimed).await;
        } else {
            retry(&mut claimed).await;
            harness.clock().advance(Duration::from_secs(1));
        }
    }
    // The new dead letter keeps both, and so does its redrive.
    let second = letter(&harness).await;
    assert_eq!(*second.logged.event, original);
    assert_eq!(second.edited.as_deref(), Some(&original.with_edited_data(b"2".to_vec())));
    assert_eq!(harness.bus().redrive(DeadLetterFilter::default(), 10).await, Ok(1));
    let mut last = Vec::new();
    for _ in 0..2 {
        let mut claimed = claim(&feed).await;
        let redriven_at = claimed.delivery().redriven_at;
        let again = (claimed.event().id == "1").then(|| START.after(Duration::from_secs(1)));
        assert_eq!(redriven_at, again, "the other one was never redriven");
        last.push((claimed.event().id.clone(), claimed.event().data.as_deref().map(<[u8]>::to_vec)));
        ack(&mut claimed, Effects::default()).await.unwrap();
    }
    last.sort();
    assert_eq!(last, [("1".to_owned(), Some(b"2".to_vec())), ("2".to_owned(), None)]);
    // The log, and with it each replay, has the original.
    assert_eq!(*harness.bus().events_with_id("1".to_owned()).await.unwrap()[0].event, original);
}

/// A subscription whose deliveries fail, and one to the notifications of its dead letters.
async fn with_notifications(harness: &Harness) -> [Arc<dyn SubscriptionFeed>; 2] {
    let alerts = Definition { pattern: Pattern::parse("sandbus.*").unwrap(), ..definition("a.b", 1) };
    let subscriptions = [("s", definition("a.b", 2)), ("alerts", alerts)];
    let subscriptions = subscriptions.map(|(name, definition)| (name.to_owned(), definition, Start::Now)).to_vec();
    harness.bus().declare("p", Declaration { subscriptions, ..Declaration::default() }).await.unwrap();
    [subscription(harness, "s"), subscription(harness, "alerts")]
}

pub(super) async fn dead_letters_are_announced_by_events(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let alone = declare(&harness, "s", definition("a.b", 2)).await;
    publish(&harness, event("1")).await;
    reject(&mut claim(&alone).await).await;
    assert_eq!(logged_ids(&harness).await, ["1"], "nobody subscribes to notifications");
    let [feed, _] = with_notifications(&harness).await;
    let reply = harness.bus().expect_reply(&about("2", "x"), Pattern::everything()).unwrap();
    publish(&harness, about("2", "x")).await;
    let mut claimed = claim(&feed).await;
    retry(&mut claimed).await;
    assert_eq!(logged_ids(&harness).await.len(), 2, "a retry is no dead letter");
    harness.clock().advance(Duration::from_secs(1));
    exhaust(&mut claim(&feed).await).await;
    assert_eq!(logged_ids(&harness).await.len(), 3);
    let replied = tokio::time::timeout(Duration::from_millis(40), reply.wait()).await;
    assert!(replied.is_err(), "a notification is no reply: {replied:?}");
    drop((alone, feed, claimed));

    let harness = harness.crash().await;
    let [feed, alerts] = ["s", "alerts"].map(|name| subscription(&harness, name));
    let mut claimed = claim(&alerts).await;
    let notification = Arc::clone(claimed.event());
    let letters = harness.bus().dead_letters(DeadLetterFilter::default(), None, 10).await.unwrap();
    let data: serde_json::Value = serde_json::from_slice(notification.data.as_deref().unwrap()).unwrap();
    assert_eq!(notification.event_type, "sandbus.dead-letter");
    assert_eq!(notification.subject.as_deref(), Some("p/s"));
    assert_eq!(notification.cause_tree(), about("2", "x").cause_tree());
    assert_eq!(
        data,
        serde_json::json!({
            "number": letters[1].number, "subscription": "p/s", "replay": false, "cause": "retry",
            "reason": "because of retry", "attempts": 2,
            "event": { "position": 2, "id": "2", "source": "/t", "type": "a.b", "subject": "x" },
        })
    );
    // The dead letter of a notification has no notification itself. Otherwise a broken handler would cause an endless
    // loop.
    reject(&mut claimed).await;
    assert_eq!(logged_ids(&harness).await.len(), 3);
    // A redriven delivery that becomes a dead letter again has another notification.
    assert_eq!(harness.bus().redrive(of_subscription("s"), 10).await, Ok(2));
    for _ in 0..2 {
        reject(&mut claim(&feed).await).await;
    }
    assert_eq!(handle_all(&alerts).await.len(), 2);
}

fn of_subscription(name: &str) -> DeadLetterFilter {
    DeadLetterFilter { subscription: Some(id(name)), ..DeadLetterFilter::default() }
}

pub(super) async fn a_full_log_stops_no_dead_letter(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings { max_log_bytes: Some(1), ..Settings::default() }).await;
    let [feed, alerts] = with_notifications(&harness).await;
    publish(&harness, event("1")).await;
    let full = harness.bus().publish(vec![Publish { event: event("2"), due: None }]).await;
    assert_eq!(full, Err(CommitError::LogFull(1)));
    assert_eq!(reject(&mut claim(&feed).await).await, SettledStatus::Dead);
    assert_eq!(handle_all(&alerts).await.len(), 1);
}
