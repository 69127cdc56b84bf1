//! Several hosts on one store: together they keep the promises that one host keeps alone. Only buses that several hosts
//! may use at the same time pass these cases.

use super::*;
use crate::bus::{CommitError, DeliveryState};

/// Another host on the same store.
async fn another(harness: &Harness) -> Harness {
    harness.another_host().await.expect("the bus supports several hosts")
}

fn concurrent(limit: u32) -> Definition {
    Definition { concurrency: NonZeroU32::new(limit).unwrap(), ..definition("a.b", 3) }
}

pub(super) async fn two_hosts_share_a_subscription(fixture: &dyn BusFixture) {
    let first = open(fixture, Settings::default()).await;
    declare(&first, "s", concurrent(16)).await;
    let second = another(&first).await;
    publish_all(&first, (0..500).map(|number| event(&number.to_string()))).await;
    let handle = async |harness: &Harness| {
        let (feed, mut handled) = (subscription(harness, "s"), Vec::new());
        while let Ok(claim) = tokio::time::timeout(Duration::from_millis(500), feed.claim()).await {
            let mut claim = claim.unwrap();
            handled.push(claim.event().id.clone());
            ack(&mut claim, add("handled", 1)).await.unwrap();
        }
        handled
    };
    let (by_first, by_second) = tokio::join!(handle(&first), handle(&second));
    assert!(!by_first.is_empty() && !by_second.is_empty(), "{} and {}", by_first.len(), by_second.len());
    let mut all: Vec<usize> = by_first.iter().chain(&by_second).map(|id| id.parse().unwrap()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..500).collect::<Vec<_>>());
    assert_eq!(value(&second, "handled").as_deref(), Some(&b"500"[..]));
}

pub(super) async fn a_key_is_handled_by_one_host_at_a_time_and_in_order(fixture: &dyn BusFixture) {
    let first = open(fixture, Settings::default()).await;
    let of_first = declare(&first, "s", ordered_by("subject")).await;
    let second = another(&first).await;
    let of_second = subscription(&second, "s");
    publish_all(&first, [about("a1", "a"), about("a2", "a"), about("b1", "b")].into_iter()).await;
    let mut a1 = claim(&of_first).await;
    let b1 = claim(&of_second).await;
    assert_eq!([&a1, &b1].map(|claim| claim.event().id.as_str()), ["a1", "b1"]);
    assert_idle(&of_second).await;
    ack(&mut a1, Effects::default()).await.unwrap();
    assert_eq!(claim(&of_second).await.event().id, "a2");
}

pub(super) async fn a_serial_subscription_is_serial_on_all_hosts(fixture: &dyn BusFixture) {
    let first = open(fixture, Settings::default()).await;
    let of_first = declare(&first, "s", concurrent(1)).await;
    let second = another(&first).await;
    let of_second = subscription(&second, "s");
    publish_all(&second, ["1", "2"].into_iter().map(event)).await;
    let mut claimed = claim(&of_first).await;
    assert_idle(&of_second).await;
    ack(&mut claimed, Effects::default()).await.unwrap();
    assert_eq!(claim(&of_second).await.event().id, "2");
}

pub(super) async fn the_concurrency_of_a_subscription_is_that_of_all_hosts(fixture: &dyn BusFixture) {
    let first = open(fixture, Settings::default()).await;
    let of_first = declare(&first, "s", concurrent(3)).await;
    let second = another(&first).await;
    let of_second = subscription(&second, "s");
    publish_all(&second, (0..10).map(|number| event(&number.to_string()))).await;
    let (one, two, three) = (claim(&of_first).await, claim(&of_second).await, claim(&of_first).await);
    assert_idle(&of_first).await;
    assert_idle(&of_second).await;
    drop((one, two));
    let four = claim(&of_second).await;
    let five = claim(&of_first).await;
    assert_idle(&of_second).await;
    drop((three, four, five));
}

pub(super) async fn deliveries_of_a_host_that_is_cut_off_are_made_by_others_as_the_same_attempt(
    fixture: &dyn BusFixture,
) {
    let first = open(fixture, Settings::default()).await;
    let of_first = declare(&first, "s", concurrent(4)).await;
    let second = another(&first).await;
    let of_second = subscription(&second, "s");
    publish(&first, event("1")).await;
    let mut claimed = claim(&of_second).await;
    assert_idle(&of_first).await;
    second.cut_off();
    tokio::time::timeout(Duration::from_secs(20), claimed.lost())
        .await
        .expect("the host learns that its claim is lost");
    let mut again = claim(&of_first).await;
    assert_eq!((again.event().id.as_str(), again.delivery().attempt), ("1", 1));
    let late = ack(&mut claimed, set("late", b"1")).await;
    assert!(matches!(late, Err(CommitError::NotClaimed)), "{late:?}");
    ack(&mut again, set("again", b"1")).await.unwrap();
    assert_eq!((value(&first, "late"), value(&first, "again")), (None, Some(b"1".to_vec())));
    assert_idle(&of_first).await;
}

pub(super) async fn changes_of_one_host_reach_the_others(fixture: &dyn BusFixture) {
    let first = open(fixture, Settings::default()).await;
    let of_first = declare(&first, "s", concurrent(4)).await;
    let second = another(&first).await;
    let of_second = subscription(&second, "s");
    let seen = async |what: &str, is_there: &dyn Fn() -> bool| {
        for _ in 0..200 {
            if is_there() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what} is not seen");
    };
    second.bus().pause(id("s"), true).await.unwrap();
    seen("the pause", &|| of_first.overview().paused.is_some()).await;
    publish(&second, event("1")).await;
    assert_idle(&of_first).await;
    first.bus().pause(id("s"), false).await.unwrap();
    let mut claimed = claim(&of_second).await;
    seen("the backlog", &|| of_first.overview().backlog == 1 && of_second.overview().backlog == 1).await;
    reject(&mut claimed).await;
    // A dead letter that one host redrives is delivered to any host.
    assert_eq!(first.bus().redrive(DeadLetterFilter::default(), 10).await, Ok(1));
    let mut again = claim(&of_second).await;
    ack(&mut again, Effects::default()).await.unwrap();

    let redefined = Definition { max_backlog: Some(7), ..concurrent(4) };
    second.bus().subscribe(id("dynamic"), redefined, Start::Now).await.unwrap();
    let has_dynamic = |harness: &Harness| {
        let catalogue = Arc::clone(&harness.bus().catalogue().borrow());
        catalogue.subscription(&id("dynamic")).is_some_and(|entry| entry.definition.max_backlog == Some(7))
    };
    assert!(has_dynamic(&second), "a host sees its own changes at once");
    seen("the new subscription", &|| has_dynamic(&first)).await;
    first.bus().drain("p", true).await.unwrap();
    seen("the drained plugin", &|| second.bus().is_drained("p")).await;
    second.bus().delete_subscription(id("dynamic")).await.unwrap();
    seen("the deleted subscription", &|| !has_dynamic(&first)).await;
}

pub(super) async fn a_deleted_subscription_ends_the_claims_of_all_hosts(fixture: &dyn BusFixture) {
    let first = open(fixture, Settings::default()).await;
    first.bus().subscribe(id("dynamic"), concurrent(4), Start::Now).await.unwrap();
    let second = another(&first).await;
    publish(&first, event("1")).await;
    let claimed = claim(&subscription(&second, "dynamic")).await;
    first.bus().delete_subscription(id("dynamic")).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), claimed.lost())
        .await
        .expect("the host learns that its claim is lost");
}

pub(super) async fn duplicates_are_recognised_and_replies_arrive_across_hosts(fixture: &dyn BusFixture) {
    let first = open(fixture, Settings::default()).await;
    let second = another(&first).await;
    assert!(!publish(&first, event("1")).await.duplicate);
    assert!(publish(&second, event("1")).await.duplicate);

    let mut asked = event("question");
    asked.start_cause_tree("tree".to_owned());
    let reply = second.bus().expect_reply(&asked, Pattern::parse("answer").unwrap()).unwrap();
    publish(&second, asked.clone()).await;
    let answer = Event { event_type: "answer".to_owned(), extensions: asked.inherited(), ..event("answer") };
    publish(&first, answer).await;
    let reply = tokio::time::timeout(Duration::from_secs(20), reply.wait()).await.expect("the reply arrives");
    assert_eq!(reply.unwrap().event.id, "answer");
}

pub(super) async fn state_that_another_host_has_changed_is_a_conflict_and_additions_merge(fixture: &dyn BusFixture) {
    let first = open(fixture, Settings::default()).await;
    let second = another(&first).await;
    first.bus().commit("p", set("key", b"1")).await.unwrap();
    let mut view = second.bus().state("p");
    let (read, version) = view.get("key").unwrap();
    assert_eq!(read.as_deref(), Some(&b"1"[..]));
    first.bus().commit("p", set("key", b"2")).await.unwrap();
    assert_eq!(view.get("key").unwrap(), (read, version), "a view shows one moment");
    let mut stale = set("other", b"1");
    stale.reads.keys.insert("key".to_owned(), version);
    assert_eq!(second.bus().commit("p", stale).await, Err(CommitError::Conflict("key".to_owned())));
    for harness in [&first, &second, &first] {
        harness.bus().commit("p", add("sum", 2)).await.unwrap();
    }
    assert_eq!((value(&second, "sum"), value(&first, "other")), (Some(b"6".to_vec()), None));
    let mut numbers = Vec::new();
    for harness in [&first, &second, &first, &second] {
        numbers.push(harness.bus().state("p").draw("orders").await.unwrap());
    }
    assert!(numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
}

pub(super) async fn each_host_shows_where_deliveries_stand(fixture: &dyn BusFixture) {
    let first = open(fixture, Settings::default()).await;
    declare(&first, "s", concurrent(4)).await;
    let second = another(&first).await;
    publish(&first, event("1")).await;
    let claimed = claim(&subscription(&second, "s")).await;
    for harness in [&first, &second] {
        let reports = harness.bus().deliveries_of(claimed.delivery().logged.position).await.unwrap();
        let states: Vec<_> = reports.into_iter().map(|report| report.state).collect();
        assert_eq!(states, [DeliveryState::InFlight { attempt: 1 }]);
    }
}
