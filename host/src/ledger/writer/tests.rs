use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::super::record::tests::{attempt, failed, handled, request};
use super::super::{AttemptFilter, AttemptVerdict, Entry, Gap, Ledger, LedgerReader};
use super::*;
use crate::clock::{Clock, Timestamp};
use crate::ledger::Recording;
use crate::usage::Usage;

const NOW: Timestamp = Timestamp(1_893_456_000_000);

fn ledger(data: &Path) -> Ledger {
    let config = LedgerConfig { record: Recording::All, ..LedgerConfig::default() };
    Ledger::open(data, config, Clock::manual(NOW), Box::new(|_, _| Some(3))).unwrap()
}

async fn all(reader: &LedgerReader) -> usize {
    reader.attempts(AttemptFilter::default(), None, usize::MAX).await.unwrap().len()
}

/// A writer's work without its thread.
fn work(data: &Path, config: LedgerConfig) -> Work {
    let shared = Arc::new(Shared::of(&config, Clock::manual(NOW)));
    Work::new(data.join(super::super::store::FILE), config, shared, Box::new(|_, _| Some(3)))
}

fn reader(data: &Path) -> LedgerReader {
    LedgerReader::new(data.join(super::super::store::FILE))
}

#[tokio::test]
async fn records_are_read_as_they_were_written() {
    let data = tempfile::tempdir().unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    let entries = [
        attempt(5, AttemptVerdict::Retry(Timestamp(99))),
        attempt(6, AttemptVerdict::Handled),
        attempt(7, AttemptVerdict::Dead),
    ];
    for entry in &entries {
        work.shared.push(Entry::Attempt(Box::new(entry.clone())));
    }
    work.shared.push(Entry::Request(Box::new(request(8))));
    work.write_queue();
    let reader = reader(data.path());
    let read = reader.attempts(AttemptFilter::default(), None, 10).await.unwrap();
    let expected: Vec<_> =
        entries.iter().cloned().enumerate().map(|(at, entry)| (at as i64 + 1, entry)).rev().collect();
    assert_eq!(read, expected);
    assert_eq!(reader.request("r8".to_owned()).await.unwrap(), Some(request(8)));
    assert_eq!(reader.request("r9".to_owned()).await.unwrap(), None);
    assert_eq!(reader.requests(Some("other".to_owned()), None, 9).await.unwrap(), []);
    let count = async |filter, before| reader.attempts(filter, before, 10).await.unwrap().len();
    let filter = AttemptFilter::default;
    assert_eq!(count(filter(), Some(3)).await, 2);
    assert_eq!(count(AttemptFilter { failed: true, ..filter() }, None).await, 2);
    assert_eq!(count(AttemptFilter { tree: Some("e0".to_owned()), ..filter() }, None).await, 3);
    assert_eq!(count(AttemptFilter { event_id: Some("e0".to_owned()), ..filter() }, None).await, 0);
    assert_eq!(count(AttemptFilter { slower_than: Some(Duration::from_secs(1)), ..filter() }, None).await, 0);
    assert_eq!(count(AttemptFilter { owner: Some("' OR 1 = 1".to_owned()), ..filter() }, None).await, 0);
}

#[tokio::test]
async fn queued_records_are_written_when_the_ledger_closes() {
    let data = tempfile::tempdir().unwrap();
    let ledger = ledger(data.path());
    let (recorder, reader) = (ledger.recorder(), ledger.reader());
    (0..5_000).for_each(|_| recorder.record_request(request(0)));
    drop(ledger);
    let requests = reader.requests(None, None, usize::MAX).await.unwrap();
    assert_eq!((requests.len(), requests[0].1.at), (5_000, NOW));
    assert_eq!((recorder.counters().written, recorder.counters().lost), (5_000, 0));
}

#[tokio::test]
async fn losses_are_stored_as_gaps() {
    let data = tempfile::tempdir().unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    (0..20_000).for_each(|at| work.shared.push(handled(at)));
    work.write_queue();
    let gaps = reader(data.path()).gaps(Timestamp(0), NOW).await.unwrap();
    let reason = "the queue of the ledger was full".to_owned();
    assert_eq!(gaps, [Gap { from: Timestamp(12_288), until: Timestamp(19_999), lost: 7_712, reason }]);
    assert_eq!(work.shared.lost.load(Ordering::Relaxed), 7_712);
    assert_eq!(reader(data.path()).gaps(Timestamp(20_000), NOW).await.unwrap(), []);
}

#[tokio::test]
async fn a_damaged_ledger_is_set_aside_and_a_new_one_is_used() {
    for damage in [&b"not a database, but long enough to be mistaken for one"[..], &[0xff; 8_192]] {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("ledger.db"), damage).unwrap();
        let mut work = work(data.path(), LedgerConfig::default());
        work.shared.push(failed(0));
        work.write_queue();
        assert_eq!(all(&reader(data.path())).await, 1);
        let aside = data.path().join(format!("ledger-damaged-{}.db", NOW.0));
        assert_eq!(fs::read(aside).unwrap(), damage);
    }
}

#[tokio::test]
async fn a_ledger_of_a_newer_version_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("ledger.db");
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.execute_batch("CREATE TABLE later (a); PRAGMA user_version = 2").unwrap();
    drop(newer);
    let before = fs::read(&path).unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    work.shared.push(failed(0));
    work.step();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(work.shared.lost.load(Ordering::Relaxed), 1);
    let error = reader(data.path()).gaps(Timestamp(0), NOW).await.unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[tokio::test]
async fn a_ledger_that_cannot_be_opened_is_tried_again() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("ledger.db");
    fs::create_dir(&path).unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    work.shared.push(failed(1));
    work.step();
    assert!(work.store.is_none() && !work.shared.is_available.load(Ordering::Relaxed));
    fs::remove_dir(&path).unwrap();
    work.paused_until = Some(Instant::now());
    work.shared.push(failed(2));
    work.step();
    assert_eq!(all(&reader(data.path())).await, 1);
    let gaps = reader(data.path()).gaps(Timestamp(0), NOW).await.unwrap();
    assert_eq!((gaps[0].from, gaps[0].lost), (Timestamp(1), 1));
}

#[tokio::test]
async fn old_records_and_the_oldest_of_a_large_ledger_are_deleted() {
    let data = tempfile::tempdir().unwrap();
    let config = LedgerConfig { retain_bytes: 1 << 20, ..LedgerConfig::default() };
    let mut work = work(data.path(), config);
    work.shared.push(failed(0));
    let recent = NOW.0 - 1;
    (0..10_000).for_each(|_| work.shared.push(failed(recent)));
    work.write_queue();
    work.end_minute();
    let left = reader(data.path()).attempts(AttemptFilter::default(), None, usize::MAX).await.unwrap();
    assert!(left.len() < 5_000 && left.iter().all(|(_, attempt)| attempt.at == Timestamp(recent)), "{}", left.len());
    work.shared.push(failed(recent));
    work.write_queue();
    work.end_minute();
    assert!(all(&reader(data.path())).await > 0, "a small ledger keeps its records");
}

#[tokio::test]
async fn minutes_are_written_with_the_backlog() {
    let data = tempfile::tempdir().unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    let (owner, name) = ("mailer".to_owned(), "welcome".to_owned());
    let subject = Subject::Subscription { owner, name };
    let statistics = work.shared.statistics.subject(subject.clone());
    let usage = Usage { cpu_time: Duration::from_millis(1), ..Usage::default() };
    for _ in 0..SLOTS_PER_MINUTE {
        statistics.record(super::super::statistics::Ending::Succeeded, Duration::from_millis(4), None, &usage);
        work.end_slot();
    }
    let minutes = reader(data.path()).minutes(Timestamp(0), NOW, 10).await.unwrap();
    assert_eq!(minutes.len(), 1);
    assert_eq!((&minutes[0].subject, minutes[0].backlog, minutes[0].at), (&subject, Some(3), NOW));
    let activity = &minutes[0].activity;
    assert_eq!((activity.succeeded, activity.cpu_time), (6, Duration::from_millis(6)));
    assert!(activity.run().p50 >= Duration::from_millis(4));
}
