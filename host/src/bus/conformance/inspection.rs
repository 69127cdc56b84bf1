//! Operators see where each event's deliveries stand.

use super::*;
use crate::bus::{DeliveryFilter, DeliveryReport, DeliveryState, DeliveryStateKind, EventFilter};
use crate::event::{CORRELATION_ID, CORRELATION_SOURCE, CauseTreeId};
use crate::filter::Filters;
use crate::subscription::DeadLetterPolicy;

fn caused_by(cause: &Event, id: &str) -> Event {
    Event { source: "/plugins/p".to_owned(), extensions: cause.inherited(), ..event(id) }
}

async fn ids_in_tree(harness: &Harness, tree: &CauseTreeId) -> Vec<String> {
    let events = harness.bus().events_in_tree(tree.clone(), None, 100).await.unwrap();
    events.iter().map(|logged| logged.event.id.clone()).collect()
}

pub(super) async fn the_events_of_a_cause_tree_are_found_in_order(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let first = event("1");
    let (second, other) = (caused_by(&first, "2"), Event { source: "/other".to_owned(), ..event("1") });
    let (third, others) = (caused_by(&second, "3"), caused_by(&other, "4"));
    let mut asked = Event { extensions: [("region".to_owned(), "eu".to_owned())].into(), ..event("5") };
    asked.start_cause_tree("host".to_owned());
    let reply = caused_by(&asked, "6");
    // An event may have the id that the host assigned to a tree, without being part of it.
    let namesake = event("host");
    let all = [&first, &other, &second, &others, &asked, &event("unrelated"), &third, &reply, &namesake];
    publish_all(&harness, all.into_iter().cloned()).await;
    let harness = harness.crash().await;
    for (tree, expected) in [
        (first.cause_tree(), &["1", "2", "3"][..]),
        (other.cause_tree(), &["1", "4"]),
        (asked.cause_tree(), &["5", "6"]),
        (namesake.cause_tree(), &["host"]),
        (event("unknown").cause_tree(), &[]),
    ] {
        assert_eq!(ids_in_tree(&harness, &tree).await, expected, "{tree:?}");
    }
    let page = harness.bus().events_in_tree(first.cause_tree(), None, 2).await.unwrap();
    let rest = harness.bus().events_in_tree(first.cause_tree(), Some(page[1].position), 2).await.unwrap();
    let ids: Vec<_> = page.iter().chain(&rest).map(|logged| logged.event.id.as_str()).collect();
    assert_eq!((page.len(), ids), (2, vec!["1", "2", "3"]));
}

async fn position_of(harness: &Harness, id: &str) -> Position {
    harness.bus().events_with_id(id.to_owned()).await.unwrap()[0].position
}

async fn reports(harness: &Harness, id: &str) -> Vec<DeliveryReport> {
    harness.bus().deliveries_of(position_of(harness, id).await).await.unwrap()
}

/// Where the only delivery of an event stands.
async fn state(harness: &Harness, id: &str) -> DeliveryState {
    let mut reports = reports(harness, id).await;
    assert_eq!(reports.len(), 1, "{reports:?}");
    let report = reports.remove(0);
    assert_eq!((report.logged.event.id.as_str(), report.replayed), (id, false));
    report.state
}

fn keyed(name: &str) -> Event {
    about(name, &name[..1])
}

pub(super) async fn each_delivery_shows_where_it_stands(fixture: &dyn BusFixture) {
    let mut harness = open(fixture, Settings::default()).await;
    let parking = Definition { dead_letter_policy: DeadLetterPolicy::Park, ..ordered_by("subject") };
    let mut feed = declare(&harness, "s", parking).await;
    publish_all(&harness, ["a1", "a2", "b1", "b2", "c1", "c2", "d1", "e1"].into_iter().map(keyed)).await;
    let a1 = claim(&feed).await;
    let mut b1 = claim(&feed).await;
    let (mut c1, d1) = (claim(&feed).await, claim(&feed).await);
    retry(&mut b1).await;
    reject(&mut c1).await;
    let letter = harness.bus().dead_letters(DeadLetterFilter::default(), None, 1).await.unwrap().remove(0);
    let positions = [position_of(&harness, "a1").await, position_of(&harness, "b1").await];
    let mut in_flight = vec![(a1.event().id.clone(), 1), (d1.event().id.clone(), 1)];
    let mut claims = vec![a1, d1];
    for crash in [false, true] {
        if crash {
            drop((std::mem::take(&mut claims), feed));
            in_flight.clear();
            harness = harness.crash().await;
            feed = subscription(&harness, "s");
            assert_eq!(state(&harness, "c2").await, DeliveryState::NotReached { ahead: 0 }, "nothing was read yet");
            drop(claim(&feed).await);
        }
        for (id, attempt) in &in_flight {
            assert_eq!(state(&harness, id).await, DeliveryState::InFlight { attempt: *attempt });
        }
        let DeliveryState::Retrying { attempts, due, last } = state(&harness, "b1").await else { panic!("b1") };
        assert_eq!((attempts, due), (1, START.after(Duration::from_secs(1))));
        let last = last.unwrap();
        assert_eq!((last.cause, last.reason.as_str(), last.attempt), (Cause::Retry, "because of retry", 1));
        let behind = |key: &str, behind| DeliveryState::BehindKey { key: key.to_owned(), behind };
        assert_eq!(state(&harness, "b2").await, behind("b", positions[1]), "crash: {crash}");
        assert_eq!(state(&harness, "a2").await, behind("a", positions[0]), "crash: {crash}");
        assert_eq!(state(&harness, "c1").await, DeliveryState::DeadLetter { number: letter.number });
        let parked = DeliveryState::Parked { key: "c".to_owned(), letter: letter.number };
        assert_eq!(state(&harness, "c2").await, parked, "crash: {crash}");
    }
    drop(claims);
    assert_eq!(state(&harness, "a1").await.kind(), DeliveryStateKind::Ready, "after the crash");
    let mut first = claim(&feed).await;
    assert_eq!(first.event().id, "a1");
    ack(&mut first, Effects::default()).await.unwrap();
    assert_eq!(state(&harness, "a1").await, DeliveryState::Handled);
    assert_eq!(state(&harness, "a2").await, DeliveryState::Ready);
    assert!(harness.bus().deliveries_of(Position(1_000)).await.unwrap().is_empty(), "there is no such event");
}

pub(super) async fn an_event_concerns_the_subscriptions_that_select_it(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let early = declare(&harness, "s", definition("a.b", 2)).await;
    publish(&harness, event("1")).await;
    handle_all(&early).await;
    let filters = Filters::parse(r#"[{"exact":{"subject":"x"}}]"#).unwrap();
    let filtered = Definition { filters, ..definition("a.*", 2) };
    let other = Definition { pattern: Pattern::parse("a.c").unwrap(), ..definition("a.c", 2) };
    let all = [("s", definition("a.b", 2)), ("filtered", filtered), ("other", other)];
    let subscriptions = all.map(|(name, definition)| (name.to_owned(), definition, Start::Now)).to_vec();
    harness.bus().declare("p", Declaration { subscriptions, ..Declaration::default() }).await.unwrap();
    publish_all(&harness, [event("2"), about("3", "x")].into_iter()).await;
    let harness = harness.crash().await;
    for (id, expected) in [
        ("1", &[("s", DeliveryStateKind::Handled)][..]),
        ("2", &[("s", DeliveryStateKind::NotReached)]),
        ("3", &[("filtered", DeliveryStateKind::NotReached), ("s", DeliveryStateKind::NotReached)]),
    ] {
        let found = reports(&harness, id).await;
        let found: Vec<_> =
            found.iter().map(|report| (report.subscription.name.as_str(), report.state.kind())).collect();
        assert_eq!(found, expected, "{id}");
    }
    for name in ["filtered", "s"] {
        handle_all(&subscription(&harness, name)).await;
    }
    assert!(reports(&harness, "3").await.iter().all(|report| report.state == DeliveryState::Handled));
    // From here on, the subscription selects other events.
    declare(&harness, "s", definition("a.*", 2)).await;
    assert!(reports(&harness, "2").await.is_empty());
    publish(&harness, event("4")).await;
    assert_eq!(state(&harness, "4").await.kind(), DeliveryStateKind::Ready);
}

pub(super) async fn replays_show_their_own_deliveries(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let live = declare(&harness, "s", definition("a.b", 2)).await;
    publish_all(&harness, ["1", "2", "3"].into_iter().map(event)).await;
    handle_all(&live).await;
    harness
        .bus()
        .replay(id("s"), ReplayScope::from_start(Start::Position(position_of(&harness, "2").await)))
        .await
        .unwrap();
    let replay = replay_of(&harness, "s").unwrap();
    reject(&mut claim(&replay).await).await;
    let shown = async |id: &str| -> Vec<(bool, DeliveryStateKind)> {
        reports(&harness, id).await.iter().map(|report| (report.replayed, report.state.kind())).collect()
    };
    use DeliveryStateKind::{DeadLetter, Handled, InFlight};
    assert_eq!(shown("1").await, [(false, Handled)], "it is not replayed");
    assert_eq!(shown("2").await, [(false, Handled), (true, DeadLetter), (true, Handled)]);
    let claimed = claim(&replay).await;
    assert_eq!(shown("3").await, [(false, Handled), (true, InFlight)]);
    drop(claimed);
    harness.bus().redrive(DeadLetterFilter::default(), 1).await.unwrap();
    assert_eq!(shown("2").await[0], (true, DeliveryStateKind::Ready), "the redriven delivery of the replay");
}

/// All pending deliveries, read in pages.
async fn pending(harness: &Harness, filter: &DeliveryFilter, kind: Option<DeliveryStateKind>) -> Vec<DeliveryReport> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = harness.bus().deliveries(filter.clone(), kind, after, 50).await.unwrap();
        assert!(page.deliveries.len() <= 50);
        found.extend(page.deliveries);
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

pub(super) async fn pending_deliveries_are_listed_once_in_pages(fixture: &dyn BusFixture) {
    const EVENTS: usize = 1_500;
    let mut harness = open(fixture, Settings::default()).await;
    let subscriptions = ["s", "t"].map(|name| (name.to_owned(), ordered_by("subject"), Start::Now)).to_vec();
    harness.bus().declare("p", Declaration { subscriptions, ..Declaration::default() }).await.unwrap();
    publish_all(&harness, (0..EVENTS).map(|number| about(&number.to_string(), &(number % 700).to_string()))).await;
    let feed = subscription(&harness, "s");
    let mut in_flight = Vec::new();
    for number in 0..300 {
        let mut claimed = claim(&feed).await;
        match number % 3 {
            0 => drop(ack(&mut claimed, Effects::default()).await.unwrap()),
            1 => drop(retry(&mut claimed).await),
            _ => in_flight.push(claimed),
        }
    }
    for crash in [false, true] {
        if crash {
            in_flight.clear();
            harness = harness.crash().await;
        }
        let reports = pending(&harness, &DeliveryFilter::default(), None).await;
        let of = |name: &str| -> Vec<_> {
            let of = reports.iter().filter(|report| report.subscription == id(name));
            of.map(|report| report.logged.position).collect()
        };
        assert_eq!((of("s").len(), of("t").len()), (EVENTS - 100, EVENTS), "crash: {crash}");
        for positions in [of("s"), of("t")] {
            assert!(positions.is_sorted_by(|one, next| one < next), "in order, and each once; crash: {crash}");
        }
        let retrying = reports.iter().filter(|report| report.state.kind() == DeliveryStateKind::Retrying).count();
        assert_eq!(retrying, 100, "crash: {crash}");
        let ahead = reports.iter().filter_map(|report| match report.state {
            DeliveryState::NotReached { ahead } if report.subscription == id("t") => Some(ahead),
            _ => None,
        });
        let ahead: Vec<_> = ahead.collect();
        assert!(ahead.is_sorted_by(|one, next| one + 1 == *next), "{ahead:?}");
        assert_eq!(ahead.last().copied(), Some(EVENTS as u64 - 1));
    }
}

pub(super) async fn pending_deliveries_are_selected(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let wide = Definition { pattern: Pattern::parse("a.*").unwrap(), ..ordered_by("subject") };
    let subscriptions = ["s", "t"].map(|name| (name.to_owned(), wide.clone(), Start::Now)).to_vec();
    harness.bus().declare("p", Declaration { subscriptions, ..Declaration::default() }).await.unwrap();
    let other = Event { event_type: "a.c".to_owned(), ..keyed("c1") };
    publish_all(&harness, [keyed("a1"), keyed("a2"), keyed("b1"), other].into_iter()).await;
    let feed = subscription(&harness, "s");
    let claimed = claim(&feed).await;
    retry(&mut claim(&feed).await).await;
    let everything = DeliveryFilter::default();
    let of = |name: &str| DeliveryFilter { subscription: Some(id(name)), ..DeliveryFilter::default() };
    let b1 = position_of(&harness, "b1").await;
    use DeliveryStateKind::{BehindKey, InFlight, Parked, Ready, Retrying};
    for (filter, kind, expected) in [
        (everything.clone(), None, &["s/a1", "s/a2", "s/b1", "s/c1", "t/a1", "t/a2", "t/b1", "t/c1"][..]),
        (of("s"), None, &["s/a1", "s/a2", "s/b1", "s/c1"]),
        (of("none"), None, &[]),
        (everything.clone(), Some(InFlight), &["s/a1"]),
        (everything.clone(), Some(Retrying), &["s/b1"]),
        (of("s"), Some(BehindKey), &["s/a2"]),
        (everything.clone(), Some(Ready), &["s/c1", "t/a1", "t/a2", "t/b1", "t/c1"]),
        (everything.clone(), Some(Parked), &[]),
        (DeliveryFilter { key: Some("a".to_owned()), ..of("s") }, None, &["s/a1", "s/a2"]),
        (DeliveryFilter { event: Some(b1), ..everything.clone() }, None, &["s/b1", "t/b1"]),
        (DeliveryFilter { pattern: Some(Pattern::parse("a.c").unwrap()), ..everything }, None, &["s/c1", "t/c1"]),
    ] {
        let found = pending(&harness, &filter, kind).await;
        let found: Vec<_> =
            found.iter().map(|one| format!("{}/{}", one.subscription.name, one.logged.event.id)).collect();
        assert_eq!(found, expected, "{filter:?} {kind:?}");
    }
    drop(claimed);
}

pub(super) async fn a_sparse_backlog_is_listed_in_bounded_pages(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    publish(&harness, about("first", "x")).await;
    publish_all(&harness, (0..10_000).map(|number| event(&number.to_string()))).await;
    publish(&harness, about("last", "x")).await;
    let filters = Filters::parse(r#"[{"exact":{"subject":"x"}}]"#).unwrap();
    declare_from(&harness, "s", Definition { filters, ..definition("a.b", 2) }, Start::Beginning).await;
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = harness.bus().deliveries(DeliveryFilter::default(), None, after, 50).await.unwrap();
        found.extend(page.deliveries.iter().map(|report| report.logged.event.id.clone()));
        pages += 1;
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, ["first", "last"]);
    assert!(pages > 1, "one page does not examine the whole log");
}

/// The ids of all events that match, read in pages.
async fn search(harness: &Harness, filter: &EventFilter, limit: usize) -> Vec<String> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let page = harness.bus().search_events(filter.clone(), before, limit).await.unwrap();
        assert!(page.events.len() <= limit);
        found.extend(page.events.iter().map(|logged| logged.event.id.clone()));
        match page.next {
            Some(next) => {
                assert!(before.is_none_or(|before| next < before), "each page goes on");
                before = Some(next);
            }
            None => return found,
        }
    }
}

pub(super) async fn events_are_searched_newest_first(fixture: &dyn BusFixture) {
    let harness = open(fixture, Settings::default()).await;
    let first = Event { source: "/shop".to_owned(), ..about("order-1", "x") };
    publish(&harness, first.clone()).await;
    harness.clock().advance(Duration::from_secs(10));
    publish(&harness, Event { event_type: "a.c".to_owned(), ..caused_by(&first, "caused-1") }).await;
    publish(&harness, about("order-2", "x")).await;
    harness.clock().advance(Duration::from_secs(10));
    let of_other = [(CORRELATION_ID, "order-1"), (CORRELATION_SOURCE, "/other")];
    let extensions = of_other.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    publish(&harness, Event { extensions, ..event("caused-2") }).await;
    publish(&harness, Event { event_type: "b".to_owned(), ..event("order-%") }).await;
    let after = |seconds| Some(START.after(Duration::from_secs(seconds)));
    let text = |text: &str| Some(text.to_owned());
    let types = |text: &str| Some(Pattern::parse(text).unwrap());
    let all = EventFilter::default();
    for (filter, expected) in [
        (all.clone(), &["order-%", "caused-2", "order-2", "caused-1", "order-1"][..]),
        (EventFilter { pattern: types("a.*"), ..all.clone() }, &["caused-2", "order-2", "caused-1", "order-1"]),
        (EventFilter { pattern: types("a.c"), ..all.clone() }, &["caused-1"]),
        (EventFilter { pattern: types("none"), ..all.clone() }, &[]),
        (EventFilter { source: text("/shop"), ..all.clone() }, &["order-1"]),
        (EventFilter { subject: text("x"), ..all.clone() }, &["order-2", "order-1"]),
        (EventFilter { since: after(10), ..all.clone() }, &["order-%", "caused-2", "order-2", "caused-1"]),
        (EventFilter { until: after(10), ..all.clone() }, &["order-1"]),
        (EventFilter { since: after(10), until: after(20), ..all.clone() }, &["order-2", "caused-1"]),
        (EventFilter { since: after(60), ..all.clone() }, &[]),
        (EventFilter { correlation: text("order-1"), ..all.clone() }, &["caused-2", "caused-1", "order-1"]),
        (EventFilter { id_prefix: text("order-"), ..all.clone() }, &["order-%", "order-2", "order-1"]),
        (EventFilter { id_prefix: text("order-%"), ..all.clone() }, &["order-%"]),
        (EventFilter { id_prefix: text("order-"), subject: text("x"), since: after(5), ..all.clone() }, &["order-2"]),
        (EventFilter { correlation: text("order-1"), pattern: types("a.c"), ..all.clone() }, &["caused-1"]),
    ] {
        for limit in [1, 2, 100] {
            assert_eq!(search(&harness, &filter, limit).await, expected, "{filter:?} by {limit}");
        }
    }
    // More events than one page examines.
    publish_all(&harness, (0..25_000).map(|number| about(&format!("many-{number}"), "many"))).await;
    for filter in [
        EventFilter { source: text("/shop"), ..all.clone() },
        EventFilter { source: text("/shop"), pattern: types("a.*"), ..all.clone() },
        EventFilter { id_prefix: text("order-1"), ..all.clone() },
    ] {
        assert_eq!(search(&harness, &filter, 10).await, ["order-1"], "{filter:?}");
    }
    assert_eq!(search(&harness, &EventFilter { id_prefix: text("many"), ..all }, 1_000).await.len(), 25_000);
}
