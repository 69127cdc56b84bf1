//! Tests of the embedded bus alone. `tests/bus-conformance` tests what it has in common with other buses.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::checkpoint::CHECKPOINT_PAGES;
use super::{fixture, open, schema};
use crate::bus::conformance::{self, HasBus, declare, definition, event, publish};
use crate::bus::engine::Command;
use crate::bus::engine::store::SequenceRows as _;
use crate::bus::{
    Bus, CommitError, DeadLetterFilter, DeadLetterId, DeadLetters as _, DurableBus, EventLog as _, GroupStatus,
    Lifecycle as _, OpenErrorKind, PluginState as _, Settings, StoreErrorKind, Subscriptions as _,
};
use crate::clock::{Clock, Timestamp};
use crate::event::{Data, Event};
use crate::outcome::{Effects, Publish, Write};
use crate::subscription::{Declaration, Definition, Start, SubscriptionId};

/// An embedded bus in a directory of its own. A crash is simulated by a bus that opens a copy of the files, made
/// while the first one still runs.
struct TestStore {
    bus: DurableBus,
    clock: Clock,
    settings: Settings,
    directory: TempDir,
}

impl TestStore {
    fn open(settings: Settings) -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), Clock::manual(conformance::START), settings)
    }

    fn open_in(directory: TempDir, clock: Clock, settings: Settings) -> Self {
        let bus = open(directory.path(), clock.clone(), settings.clone()).unwrap();
        Self { bus, clock, settings, directory }
    }

    fn copy(&self) -> TempDir {
        fixture::copy(self.directory.path(), &["bus.db", "bus.db-wal"])
    }

    fn crash(self) -> Self {
        Self::open_in(self.copy(), self.clock, self.settings)
    }

    async fn restart(self) -> Self {
        self.bus.close().await;
        let Self { bus, clock, settings, directory } = self;
        let copy = fixture::copy(directory.path(), &["bus.db"]);
        drop(bus);
        Self::open_in(copy, clock, settings)
    }
}

impl HasBus for TestStore {
    fn bus(&self) -> &dyn Bus {
        &self.bus
    }
}

#[tokio::test]
async fn a_second_bus_on_the_directory_is_refused() {
    let harness = TestStore::open(Settings::default());
    let second = open(harness.directory.path(), Clock::System, Settings::default());
    assert_eq!(second.err().map(|error| error.kind()), Some(OpenErrorKind::InUse));
}

#[tokio::test]
async fn a_closed_bus_refuses_changes_and_leaves_one_file() {
    let harness = TestStore::open(Settings::default());
    harness.bus.close().await;
    let refused = harness.bus.publish(vec![Publish { event: event("1"), due: None }]).await;
    assert!(matches!(refused, Err(CommitError::Closed(_))));
    assert!(!Path::new(&harness.directory.path().join("bus.db-wal")).metadata().is_ok_and(|log| log.len() > 0));
}

#[tokio::test]
async fn an_altered_event_ends_the_bus_and_is_not_delivered() {
    let harness = TestStore::open(Settings::default());
    declare(&harness, "s", definition("a.b", 5)).await;
    publish(&harness, event("1")).await;
    // A change that the bus does not make, like a disk error.
    let connection = rusqlite::Connection::open(harness.directory.path().join("bus.db")).unwrap();
    connection.execute("UPDATE events SET source = '/other'", []).unwrap();
    assert!(harness.bus.events(None, 10).await.is_err());
    assert!(harness.bus.failed().await.contains("damaged"));
    let copy = harness.copy();
    let error = open(copy.path(), harness.clock.clone(), Settings::default()).unwrap_err().to_string();
    assert!(error.contains("bus.db") && error.contains("damaged"), "{error}");
}

#[tokio::test]
async fn marks_of_groups_without_dead_letters_are_deleted() {
    let store = TestStore::open(Settings::default());
    publish(&store, event("1")).await;
    for name in ["s", "t", "u"] {
        let start = Start::Beginning;
        let declaration = vec![(name.to_owned(), definition("a.b", 5), start)];
        store.bus.declare(name, Declaration { subscriptions: declaration, ..Declaration::default() }).await.unwrap();
        let id = SubscriptionId { owner: name.to_owned(), name: name.to_owned() };
        let catalogue = store.bus.catalogue().borrow().clone();
        let feed = catalogue.subscriptions().find(|one| one.id == id).and_then(|one| store.bus.feed(one.feed)).unwrap();
        conformance::reject(&mut conformance::claim(&feed).await).await;
    }
    let set = async |number: i64, status: GroupStatus| {
        store.bus.set_group_status(DeadLetterId::new(number), status, "ada".to_owned()).await.unwrap();
        let connection = rusqlite::Connection::open(store.directory.path().join("bus.db")).unwrap();
        let marks = "SELECT count(*) FROM group_marks";
        connection.query_row(marks, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(set(1, GroupStatus::Resolved).await, 1);
    assert_eq!(set(2, GroupStatus::Ignored).await, 2);
    assert_eq!(set(3, GroupStatus::Resolved).await, 3);
    for number in [1, 2] {
        let filter = DeadLetterFilter { number: Some(DeadLetterId::new(number)), ..DeadLetterFilter::default() };
        assert_eq!(store.bus.drop_dead_letters(filter, 1).await, Ok(1));
    }
    assert_eq!(set(3, GroupStatus::Open).await, 2, "a resolved group that is gone is forgotten");
    store.clock.advance(Duration::from_hours(24 * 29));
    assert_eq!(set(3, GroupStatus::Open).await, 2);
    store.clock.advance(Duration::from_hours(24 * 2));
    assert_eq!(set(3, GroupStatus::Open).await, 1, "an ignored group that is gone is forgotten later");
}

#[tokio::test]
async fn data_of_another_version_is_refused() {
    for (version, expected) in [(1, "nothing has been changed"), (99, "run the newer Sandbus")] {
        let directory = tempfile::tempdir().unwrap();
        let connection = rusqlite::Connection::open(directory.path().join("bus.db")).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
        let error = open(directory.path(), Clock::System, Settings::default()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// A file that another program wrote is neither adopted nor changed.
#[tokio::test]
async fn a_file_of_another_program_is_refused_and_left_alone() {
    let sqlite = |sql: &str| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus.db");
        rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        std::fs::read(path).unwrap()
    };
    for (content, expected) in [
        (sqlite("CREATE TABLE users (name TEXT); INSERT INTO users VALUES ('a')"), "`users`"),
        (sqlite("CREATE TABLE users (name TEXT); PRAGMA user_version = 1"), "`users`"),
        (sqlite("CREATE TABLE users (name TEXT); PRAGMA user_version = 3"), "`users`"),
        (sqlite("CREATE TABLE users (name TEXT); PRAGMA user_version = 99"), "`users`"),
        (sqlite("CREATE TABLE events (name TEXT); CREATE TABLE z (a TEXT)"), "`events`"),
        (sqlite("PRAGMA application_id = 0x12345678; CREATE TABLE users (name TEXT)"), "0x12345678"),
        (b"a text that is longer than a header\n".to_vec(), "does not start like an SQLite database"),
        (b"short".to_vec(), "does not start like an SQLite database"),
        (vec![0; 4_096], "does not start like an SQLite database"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bus.db");
        std::fs::write(&path, &content).unwrap();
        let error = open(directory.path(), Clock::System, Settings::default()).unwrap_err();
        assert_eq!(error.kind(), OpenErrorKind::Store(StoreErrorKind::Incompatible), "{expected}");
        let message = error.to_string();
        assert!(message.starts_with(&format!("{}: ", path.display())) && message.contains(expected), "{message}");
        assert!(message.contains("--data"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), content, "{expected}");
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("bus.db")).unwrap();
    let error = open(directory.path(), Clock::System, Settings::default()).unwrap_err().to_string();
    assert!(error.contains("bus.db: ") && error.contains("not a regular file"), "{error}");
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("bus.db"), b"").unwrap();
    open(directory.path(), Clock::System, Settings::default()).unwrap().close().await;
    open(directory.path(), Clock::System, Settings::default()).unwrap().close().await;
}

/// A change that fails must leave no trace, and must not affect the other changes of its batch.
#[tokio::test]
async fn a_failed_change_does_not_affect_others_of_its_commit() {
    let harness = TestStore::open(Settings::default());
    harness.bus.commit("p", write("n", Write::Set(b"x".to_vec()))).await.unwrap();
    let (good, bad) = (write("m", Write::Add(1)), write("n", Write::Add(1)));
    let (good, bad) = tokio::join!(harness.bus.commit("p", good), harness.bus.commit("p", bad));
    assert_eq!((good, bad), (Ok(()), Err(CommitError::NotANumber("n".to_owned()))));
    assert_eq!(harness.bus.state("p").get("m").unwrap().0.as_deref(), Some(&b"1"[..]));
}

/// A delivery may be settled in the same commit that spills the deliveries behind it.
#[tokio::test]
async fn a_delivery_that_is_settled_during_a_spill_is_not_delivered_again() {
    let harness = TestStore::open(Settings::default());
    let ordered = Definition {
        ordering_key: Some(crate::ordering::OrderingKey::parse("subject").unwrap()),
        ..definition("a.b", 5)
    };
    let feed = declare(&harness, "s", ordered).await;
    let about = |number: u32| Event { subject: Some("x".to_owned()), ..event(&number.to_string()) };
    conformance::publish_all(&harness, (1..=200).map(about)).await;
    let mut first = feed.claim().await.unwrap();
    // Both are in the queue before the writer takes the first.
    let subscription = Arc::clone(&harness.bus.shared().feeds()[0]);
    assert!(
        harness
            .bus
            .commands()
            .upgrade()
            .is_some_and(|commands| commands.try_send(Command::Spill { subscription }).is_ok())
    );
    conformance::ack(&mut first, Effects::default()).await.unwrap();
    drop((first, feed));

    let harness = harness.crash();
    let feed = conformance::subscription(&harness, "s");
    assert_eq!(feed.overview().backlog, 199);
    let mut second = feed.claim().await.unwrap();
    assert_eq!(second.event().id, "2");
    conformance::ack(&mut second, Effects::default()).await.unwrap();
    assert_eq!(feed.claim().await.unwrap().event().id, "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_running_snapshots_do_not_let_the_log_grow_without_bound() {
    /// The size that the log keeps after a restart, with a margin.
    const RESERVED_BYTES: u64 = 40 << 20;
    let harness = TestStore::open(Settings::default());
    let mut view = harness.bus.state("p");
    assert_eq!(view.get("key").unwrap().0, None);
    let large = |number: u32| Event { data: Some(Data::binary(vec![b'x'; 64 << 10])), ..event(&number.to_string()) };
    for part in 0..5 {
        conformance::publish_all(&harness, (part * 500..(part + 1) * 500).map(large)).await;
    }
    let log = harness.directory.path().join("bus.db-wal");
    assert!(log.metadata().unwrap().len() > 2 * RESERVED_BYTES, "a snapshot reads in it");
    let is_restarted = async {
        for number in 2_500.. {
            publish(&harness, event(&number.to_string())).await;
            if log.metadata().unwrap().len() < RESERVED_BYTES {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), is_restarted).await.expect("the log is restarted");
    assert!(view.get("key").unwrap_err().0.contains("try again"));
    assert_eq!(harness.bus.state("p").get("key").unwrap().0, None, "a new snapshot can read");
}

fn write(key: &str, write: Write) -> Effects {
    Effects { writes: BTreeMap::from([(key.to_owned(), write)]), ..Effects::default() }
}

const MANY: u64 = 48;
const LARGE_BYTES: u64 = 64 << 10;

/// Publishes enough to trigger a checkpoint of the write-ahead log.
async fn fill_log(harness: &TestStore) {
    for number in 0..MANY {
        let data = Some(Data::binary(vec![b'x'; usize::try_from(LARGE_BYTES).unwrap()]));
        publish(harness, Event { data, ..event(&number.to_string()) }).await;
    }
}

/// Whether the store has the published events, except for the part that a checkpoint leaves in the log. A part may
/// have been checkpointed while the rest was still being published.
fn is_checkpointed(harness: &TestStore) -> bool {
    const PAGE_BYTES: u64 = 4_096;
    let left = u64::try_from(CHECKPOINT_PAGES).unwrap() * PAGE_BYTES;
    harness.directory.path().join("bus.db").metadata().unwrap().len() > MANY * LARGE_BYTES - left
}

async fn wait_until_checkpointed(harness: &TestStore) {
    let looks = async {
        while !is_checkpointed(harness) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looks).await.expect("a checkpoint moves the log into the store");
}

#[tokio::test]
async fn the_log_is_checkpointed_without_further_writes() {
    let harness = TestStore::open(Settings::default());
    fill_log(&harness).await;
    wait_until_checkpointed(&harness).await;
}

#[tokio::test]
async fn the_log_is_checkpointed_once_no_snapshot_needs_it() {
    let harness = TestStore::open(Settings::default());
    let mut view = harness.bus.state("p");
    assert_eq!(view.get("key").unwrap().0, None);
    fill_log(&harness).await;
    assert!(!is_checkpointed(&harness), "a snapshot reads the former state");
    drop(view);
    wait_until_checkpointed(&harness).await;
}

/// The ids that the first delivery of a bus would have, and the next tick of a schedule.
async fn ids(harness: &TestStore) -> (String, String) {
    let claimed = conformance::feeds(harness)[0].claim().await.unwrap();
    (claimed.delivery().ids.id(0), harness.bus.shared().ids.tick("p", "s", conformance::START))
}

#[tokio::test]
async fn ids_are_the_same_after_a_crash_and_unpredictable() {
    let (one, other) = (TestStore::open(Settings::default()), TestStore::open(Settings::default()));
    for harness in [&one, &other] {
        declare(harness, "s", definition("a.b", 5)).await;
        publish(harness, event("1")).await;
    }
    let before = ids(&one).await;
    let foreign = ids(&other).await;
    assert!(before.0 != foreign.0 && before.1 != foreign.1, "another store has other ids");
    let crashed = one.crash();
    assert_eq!(ids(&crashed).await, before);
    let restarted = crashed.restart().await;
    assert_eq!(ids(&restarted).await, before);
}

#[tokio::test]
async fn a_recreated_subscription_publishes_with_new_ids() {
    let harness = TestStore::open(Settings::default());
    let mut seen = std::collections::HashSet::new();
    publish(&harness, event("1")).await;
    for _ in 0..2 {
        let start = crate::subscription::Start::Beginning;
        harness.bus.subscribe(conformance::id("s"), definition("a.b", 5), start).await.unwrap();
        assert!(seen.insert(ids(&harness).await.0));
        harness.bus.delete_subscription(conformance::id("s")).await.unwrap();
    }
}

/// A store of a version without a secret and without usage by plugin.
#[tokio::test]
async fn an_older_store_is_upgraded() {
    let harness = TestStore::open(Settings::default());
    let of_plugin =
        |id: &str| Event { source: "/plugins/p".to_owned(), data: Some(Data::binary(vec![0; 500])), ..event(id) };
    publish(&harness, of_plugin("1")).await;
    let later = Some(harness.clock.now().after(Duration::from_hours(1)));
    let new = Event { event_type: "only.later".to_owned(), ..of_plugin("2") };
    harness.bus.publish(vec![Publish { event: new, due: later }]).await.unwrap();
    harness.bus.close().await;
    let TestStore { bus, clock, directory, .. } = harness;
    drop(bus);
    let copy = tempfile::tempdir().unwrap();
    let path = copy.path().join("bus.db");
    std::fs::copy(directory.path().join("bus.db"), &path).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    let before = format!(
        "DROP TABLE secret; DROP TABLE publishers; DROP TABLE holds; DROP TABLE group_marks; DELETE FROM types WHERE name = 'only.later';
         DROP INDEX events_by_correlation; ALTER TABLE subscriptions DROP COLUMN selects_after;
         ALTER TABLE subscriptions DROP COLUMN replay_filter;
         ALTER TABLE pending DROP COLUMN edited; ALTER TABLE pending DROP COLUMN redriven_at; ALTER TABLE dead_letters DROP COLUMN edited;
         DELETE FROM writers WHERE version > 4; PRAGMA user_version = {}",
        version.min(4)
    );
    connection.execute_batch(&before).unwrap();
    drop(connection);

    let settings = Settings { max_plugin_log_bytes: Some(400), ..Settings::default() };
    let harness = TestStore::open_in(copy, clock, settings);
    let more = Effects { publishes: vec![Publish { event: of_plugin("3"), due: None }], ..Effects::default() };
    let full = CommitError::PluginLogFull("p".to_owned(), 400);
    assert_eq!(harness.bus.commit("p", more).await, Err(full), "earlier events count");
    harness.clock.advance(Duration::from_hours(2));
    harness.bus.append_due().await.unwrap();
    assert_eq!(harness.bus.events_with_id("2".to_owned()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_sequence_ends_and_never_starts_again() {
    let harness = TestStore::open(Settings::default());
    let path = harness.directory.path().join("bus.db");
    harness.bus.close().await;
    let connection = schema::open(&path, Timestamp(0)).unwrap();
    connection.put_first_unreserved("p", "s", i64::MAX.unsigned_abs() - 2).unwrap();
    drop(connection);
    let harness = harness.restart().await;
    let mut drawn = Vec::new();
    let error = loop {
        match harness.bus.state("p").draw("s").await {
            Ok(number) => drawn.push(number),
            Err(error) => break error,
        }
    };
    assert_eq!(drawn, [i64::MAX.unsigned_abs() - 2, i64::MAX.unsigned_abs() - 1]);
    assert!(matches!(error, crate::outcome::SequenceError::Exhausted(_)), "{error}");
    assert!(harness.bus.state("p").draw("s").await.is_err());
}

#[tokio::test]
async fn an_altered_sequence_gives_no_numbers() {
    let harness = TestStore::open(Settings::default());
    assert_eq!(harness.bus.state("p").draw("s").await.unwrap(), 1);
    let connection = rusqlite::Connection::open(harness.directory.path().join("bus.db")).unwrap();
    connection.execute("UPDATE sequences SET next = 1", []).unwrap();
    assert!(harness.bus.state("p").unreserved("s").is_err());
}
