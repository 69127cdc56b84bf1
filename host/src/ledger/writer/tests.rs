mod minutes;
mod recorded_responses;

use std::fs;
use std::path::Path;

use super::super::record::tests::{attempt, failed, handled, request};
use super::super::{AttemptFilter, AttemptVerdict, Entry, Gap, Ledger, LedgerReader, MinuteFilter, RequestFilter};
use super::*;
use crate::clock::{Clock, Timestamp};
use crate::ledger::LedgerConfig;
use crate::ledger::Recording;

const NOW: Timestamp = Timestamp(1_893_456_000_000);

fn ledger(data: &Path) -> Ledger {
    let config = LedgerConfig { record: Recording::All, ..LedgerConfig::default() };
    Ledger::open(data, &config, Clock::manual(NOW), Box::new(|_, _| Some(3))).unwrap()
}

async fn all(reader: &LedgerReader) -> usize {
    reader.attempts(AttemptFilter::default(), None, usize::MAX).await.unwrap().len()
}

/// A writer's work without its thread.
#[allow(clippy::needless_pass_by_value, reason = "tests make the settings in place")]
fn work(data: &Path, config: LedgerConfig) -> Work {
    let shared = Arc::new(Shared::of(&config, Clock::manual(NOW)));
    Work::new(data.join(super::super::database::FILE), shared, Box::new(|_, _| Some(3)))
}

/// A reader that does not wait for a writer.
fn reader(data: &Path) -> LedgerReader {
    let shared = Arc::new(Shared::of(&LedgerConfig::default(), Clock::manual(NOW)));
    LedgerReader::new(data.join(super::super::database::FILE), shared)
}

fn of_plugin(plugin: &str) -> RequestFilter {
    RequestFilter { plugin: Some(plugin.to_owned()), ..RequestFilter::default() }
}

fn all_minutes() -> MinuteFilter {
    MinuteFilter { since: Timestamp(0), until: Timestamp(u64::MAX), owner: None, subscription: None }
}

fn after(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn advance(work: &Work, seconds: u64) {
    work.shared.clock.advance(Duration::from_secs(seconds));
}

async fn gaps(data: &Path) -> Vec<Gap> {
    reader(data).gaps(Timestamp(0), Timestamp(u64::MAX)).await.unwrap()
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
    assert_eq!(reader.requests(of_plugin("other"), None, 9).await.unwrap(), []);
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
    let requests = reader.requests(RequestFilter::default(), None, usize::MAX).await.unwrap();
    assert_eq!((requests.len(), requests[0].1.at), (5_000, NOW));
    assert_eq!(gaps(data.path()).await, []);
    assert_eq!((recorder.counters().written, recorder.counters().lost), (5_000, 0));
}

#[tokio::test]
async fn losses_are_stored_as_gaps() {
    let data = tempfile::tempdir().unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    (0..20_000).for_each(|at| work.shared.push(handled(at)));
    work.write_queue();
    let gaps = reader(data.path()).gaps(Timestamp(0), NOW).await.unwrap();
    let reason = "there were more records than the ledger could write".to_owned();
    assert_eq!(gaps, [Gap { from: Timestamp(12_288), until: Timestamp(19_999), lost: Some(7_712), reason }]);
    assert_eq!(work.shared.lost(), 7_712);
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
        let gaps = gaps(data.path()).await;
        assert_eq!((gaps.len(), gaps[0].until, gaps[0].lost), (1, NOW, None), "{gaps:?}");
    }
}

#[tokio::test]
async fn damage_that_a_write_finds_leaves_a_gap() {
    let data = tempfile::tempdir().unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    // Another process overwrites the pages of a table that the writer has opened.
    work.shared.push(failed(0));
    work.write_queue();
    let connection = rusqlite::Connection::open(data.path().join("ledger.db")).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(connection);
    let path = data.path().join("ledger.db");
    let length = fs::metadata(&path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![0xff; usize::try_from(length).unwrap() - 4_096], 4_096)
        .unwrap();
    work.shared.push(failed(1));
    work.write_queue();
    work.write_queue();
    let reasons: Vec<_> = gaps(data.path()).await.into_iter().map(|gap| gap.reason).collect();
    assert!(reasons.iter().any(|reason| reason.contains("was damaged")), "{reasons:?}");
}

#[tokio::test]
async fn a_ledger_of_a_newer_version_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("ledger.db");
    let newer = rusqlite::Connection::open(&path).unwrap();
    newer.execute_batch("CREATE TABLE later (a); PRAGMA user_version = 4").unwrap();
    drop(newer);
    let before = fs::read(&path).unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    work.shared.push(failed(0));
    work.step();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(work.shared.lost(), 1);
    assert!(work.shared.outage().is_some_and(|outage| outage.reason.contains("version 4")));
    let error = reader(data.path()).gaps(Timestamp(0), NOW).await.unwrap_err();
    assert!(error.to_string().contains("version 4"), "{error}");
}

#[tokio::test]
async fn a_ledger_that_cannot_be_opened_is_tried_again() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("ledger.db");
    fs::create_dir(&path).unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    work.shared.push(failed(1));
    work.step();
    assert!(work.database.is_none() && work.shared.outage().is_some());
    fs::remove_dir(&path).unwrap();
    work.shared.push(failed(2));
    work.step();
    assert!(work.database.is_none(), "it waits before it tries again");
    advance(&work, 2);
    work.step();
    assert_eq!(all(&reader(data.path())).await, 2, "they waited in the queue");
    assert_eq!((work.shared.lost(), gaps(data.path()).await), (0, vec![]));
}

/// Locks the ledger as another process would.
fn lock(data: &Path) -> rusqlite::Connection {
    let other = rusqlite::Connection::open(data.join("ledger.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

#[tokio::test]
async fn a_lock_is_one_outage_from_its_begin_to_a_stable_end() {
    let data = tempfile::tempdir().unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    let mut availability = Vec::new();
    let mut step = |work: &mut Work, push: usize| {
        (0..push).for_each(|_| work.shared.push(failed(NOW.0)));
        advance(work, 1);
        work.step();
        let outage = work.shared.outage().map(|outage| outage.reason);
        if availability.last() != Some(&outage) {
            availability.push(outage);
        }
    };
    step(&mut work, 1);
    let locked = lock(data.path());
    (0..3).for_each(|_| step(&mut work, 10));
    // It can be opened and read all the time.
    assert_eq!(all(&reader(data.path())).await, 1);
    drop(locked);
    (0..2).for_each(|_| step(&mut work, 0));
    assert_eq!(all(&reader(data.path())).await, 31, "records wait in the queue");
    let locked = lock(data.path());
    (0..3).for_each(|_| step(&mut work, 8_000));
    drop(locked);
    (0..6).for_each(|_| step(&mut work, 0));
    let reason = "another process has locked it".to_owned();
    assert_eq!(availability, [None, Some(reason.clone()), None], "two locks within seconds are one outage");
    let gaps = gaps(data.path()).await;
    assert_eq!((gaps.len(), gaps[0].lost), (1, Some(work.shared.lost())), "{gaps:?}");
    assert!(gaps[0].reason.contains(&reason) && work.shared.lost() > 0, "{gaps:?}");
    assert_eq!(all(&reader(data.path())).await as u64 + work.shared.lost(), 31 + 24_000);
    assert_eq!(work.shared.written() + work.shared.lost(), 31 + 24_000);
}

#[tokio::test]
async fn a_full_disk_is_one_outage_although_small_writes_work() {
    let data = tempfile::tempdir().unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    let limit = |work: &Work, pages| work.database.as_ref().unwrap().limit_pages(pages);
    limit(&work, 30);
    let mut outages = Vec::new();
    for second in 0..40 {
        if second < 20 {
            (0..1_000).for_each(|_| work.shared.push(failed(NOW.0)));
        } else {
            limit(&work, u32::MAX);
        }
        advance(&work, 1);
        work.step();
        let since = work.shared.outage().map(|outage| (outage.since, outage.reason));
        if outages.last() != Some(&since) {
            outages.push(since);
        }
    }
    assert_eq!(outages, [Some((after(1), "the disk is full".to_owned())), None]);
    let (recorded, lost) = (all(&reader(data.path())).await as u64, work.shared.lost());
    assert!(recorded + lost == 20_000 && lost > 0 && recorded > 16_000, "{recorded} recorded, {lost} lost");
    let gaps = gaps(data.path()).await;
    assert_eq!((gaps.len(), gaps[0].lost), (1, Some(lost)), "{gaps:?}");
}

#[tokio::test]
async fn a_ledger_that_was_deleted_or_replaced_is_noticed() {
    for is_replaced in [false, true] {
        for with_companions in [false, true] {
            let data = tempfile::tempdir().unwrap();
            let mut work = work(data.path(), LedgerConfig::default());
            work.shared.push(failed(1));
            work.step();
            let path = data.path().join("ledger.db");
            fs::remove_file(&path).unwrap();
            if with_companions {
                ["-wal", "-shm"].iter().for_each(|suffix| {
                    fs::remove_file(data.path().join(format!("ledger.db{suffix}"))).unwrap();
                });
            }
            if is_replaced {
                let other = tempfile::tempdir().unwrap();
                let mut another = super::tests::work(other.path(), LedgerConfig::default());
                another.shared.push(failed(2));
                another.step();
                another.close();
                drop(another);
                fs::copy(other.path().join("ledger.db"), &path).unwrap();
            }
            (0..2).for_each(|_| {
                work.shared.push(failed(3));
                work.step();
            });
            let expected = 2 + usize::from(is_replaced);
            assert_eq!(all(&reader(data.path())).await, expected, "{is_replaced} {with_companions}");
            let gaps = gaps(data.path()).await;
            assert_eq!((gaps.len(), gaps[0].lost, gaps[0].until), (1, None, NOW), "{gaps:?}");
            assert!(gaps[0].reason.contains("deleted or replaced"), "{gaps:?}");
            work.close();
        }
    }
}

#[tokio::test]
async fn a_ledger_that_is_being_created_is_empty() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(all(&reader(data.path())).await, 0, "no file");
    fs::write(data.path().join("ledger.db"), []).unwrap();
    assert_eq!(all(&reader(data.path())).await, 0, "no tables");
}

#[tokio::test]
async fn a_deleted_write_ahead_log_costs_nothing() {
    for suffix in ["-wal", "-shm"] {
        let data = tempfile::tempdir().unwrap();
        let mut work = work(data.path(), LedgerConfig::default());
        work.shared.push(failed(1));
        work.step();
        fs::remove_file(data.path().join(format!("ledger.db{suffix}"))).unwrap();
        work.shared.push(failed(2));
        work.step();
        assert_eq!((all(&reader(data.path())).await, gaps(data.path()).await), (2, vec![]), "{suffix}");
    }
}

#[tokio::test]
async fn a_run_that_was_not_closed_leaves_a_gap() {
    let data = tempfile::tempdir().unwrap();
    let start_at = |seconds| {
        let shared = Arc::new(Shared::of(&LedgerConfig::default(), Clock::manual(after(seconds))));
        Work::new(data.path().join("ledger.db"), shared, Box::new(|_, _| None))
    };
    let mut killed = start_at(0);
    advance(&killed, 10);
    killed.shared.push(failed(after(10).0));
    killed.step();
    advance(&killed, 5);
    killed.step();
    drop(killed);
    let mut next = start_at(100);
    let reason = "the host stopped without closing the ledger".to_owned();
    let expected = [Gap { from: after(10), until: after(100), lost: None, reason }];
    assert_eq!(gaps(data.path()).await, expected);
    next.close();
    drop(next);
    drop(start_at(200));
    assert_eq!(gaps(data.path()).await, expected, "the next run was closed");
}

#[tokio::test]
async fn an_earlier_version_of_the_tables_is_upgraded() {
    let data = tempfile::tempdir().unwrap();
    let mut first = work(data.path(), LedgerConfig::default());
    first.shared.push(failed(1));
    first.step();
    first.close();
    drop(first);
    let connection = rusqlite::Connection::open(data.path().join("ledger.db")).unwrap();
    let earlier = "DROP TABLE run; DROP TABLE exchanges; ALTER TABLE minutes DROP COLUMN wait; PRAGMA user_version = 1;
        INSERT INTO minutes VALUES (7, 'mailer', 'welcome', 1, 0, 0, 5, 6, NULL, '[[15,1]]', '[[31,1]]')";
    connection.execute_batch(earlier).unwrap();
    drop(connection);
    let mut second = work(data.path(), LedgerConfig::default());
    second.shared.push(failed(2));
    second.step();
    assert_eq!(all(&reader(data.path())).await, 2);
    let minutes = reader(data.path()).minutes(all_minutes(), 10).await.unwrap();
    assert_eq!((minutes[0].at, minutes[0].activity.succeeded), (Timestamp(7 * 60_000), 1));
}

#[tokio::test]
async fn a_reader_sees_what_was_queued_before_it() {
    let data = tempfile::tempdir().unwrap();
    let ledger = ledger(data.path());
    let (recorder, reader) = (ledger.recorder(), ledger.reader());
    for count in 1..=20 {
        recorder.record_request(request(0));
        assert_eq!(reader.requests(RequestFilter::default(), None, usize::MAX).await.unwrap().len(), count);
    }
    // While the ledger cannot be written, a reader does not wait.
    let locked = lock(data.path());
    recorder.record_request(request(0));
    let read = async || reader.requests(RequestFilter::default(), None, usize::MAX).await.unwrap().len();
    assert_eq!(read().await, 20);
    while recorder.counters().outage.is_none() {
        tokio::task::yield_now().await;
    }
    let asked = std::time::Instant::now();
    assert_eq!((read().await, asked.elapsed() < Duration::from_millis(400)), (20, true));
    drop(locked);
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
    work.retain();
    let left = reader(data.path()).attempts(AttemptFilter::default(), None, usize::MAX).await.unwrap();
    assert!(left.len() < 5_000 && left.iter().all(|(_, attempt)| attempt.at == Timestamp(recent)), "{}", left.len());
    work.shared.push(failed(recent));
    work.write_queue();
    work.retain();
    assert!(all(&reader(data.path())).await > 0, "a small ledger keeps its records");
}
