//! What other services answered, in the ledger.

use super::*;
use crate::ledger::StreamItem;
use crate::ledger::record::AttemptEntry;
use crate::recorded_response::{BodyEnd, RecordedResponse, ResponseMemory};

/// A failed attempt with a recorded response of a size.
fn with_recorded_response(at: u64, bytes: usize) -> AttemptEntry {
    let mut attempt = attempt(at, AttemptVerdict::Dead);
    let response = RecordedResponse {
        url: "http://a/?b=c".to_owned(),
        headers: vec![("a".to_owned(), "b".to_owned())],
        body: vec![b'x'; bytes],
        body_end: BodyEnd::Complete,
        ..RecordedResponse::default()
    };
    attempt.usage.calls.recorded[0].recorded_response = Some(response.into());
    attempt
}

fn pushed(work: &Work, attempt: &AttemptEntry) {
    work.shared.push(Entry::Attempt(Box::new(attempt.clone())));
}

/// The numbers of the attempts that have recorded responses, the newest first.
async fn kept(data: &Path) -> Vec<i64> {
    let filter = AttemptFilter { with_recorded_responses: true, ..AttemptFilter::default() };
    let read = reader(data).attempts(filter, None, usize::MAX).await.unwrap();
    let has = |attempt: &AttemptEntry| attempt.usage.calls.recorded[0].recorded_response.is_some();
    read.iter().filter(|(_, attempt)| has(attempt)).map(|(number, _)| *number).collect()
}

#[tokio::test]
async fn recorded_responses_are_read_only_if_they_are_asked_for() {
    let data = tempfile::tempdir().unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    let attempt = with_recorded_response(5, 10);
    let mut live = work.shared.stream.follow(None);
    pushed(&work, &attempt);
    let asked = RequestFilter { with_recorded_responses: true, ..RequestFilter::default() };
    let request = crate::ledger::RequestEntry { usage: attempt.usage.clone(), ..request(8) };
    work.shared.push(Entry::Request(Box::new(request.clone())));
    work.write_queue();
    let reader = reader(data.path());
    let filter = AttemptFilter { with_recorded_responses: true, ..AttemptFilter::default() };
    assert_eq!(reader.attempts(filter, None, 9).await.unwrap(), [(1, attempt.clone())]);
    assert_eq!(reader.requests(asked, None, 9).await.unwrap(), [(1, request)]);
    let read = reader.attempts(AttemptFilter::default(), None, 9).await.unwrap();
    assert_eq!(read[0].1.usage.calls, attempt.usage.calls.without_recorded_responses());
    let Some(StreamItem::Entry(_, entry)) = live.next().await else { panic!() };
    assert!(entry.without_recorded_responses().is_none(), "the stream has no recorded responses");
}

#[tokio::test]
async fn the_oldest_recorded_responses_are_deleted_and_their_records_are_kept() {
    let data = tempfile::tempdir().unwrap();
    let config = LedgerConfig { retain_bytes: 16 << 20, ..LedgerConfig::default() };
    let mut first = work(data.path(), config.clone());
    let attempt = with_recorded_response(NOW.0, 60 << 10);
    (0..200).for_each(|_| pushed(&first, &attempt));
    first.write_queue();
    let left = kept(data.path()).await;
    // At most 8 MiB, in steps of 4 recorded responses.
    assert!((72..=136).contains(&left.len()) && left[0] == 200, "{left:?}");
    assert_eq!(all(&reader(data.path())).await, 200);
    first.close();
    drop(first);

    // The size is known after a restart.
    let mut second = work(data.path(), config);
    (0..100).for_each(|_| pushed(&second, &attempt));
    second.write_queue();
    let left = kept(data.path()).await;
    assert!((72..=136).contains(&left.len()) && left[0] == 300, "{left:?}");
}

#[tokio::test]
async fn recorded_responses_are_deleted_with_their_records() {
    let data = tempfile::tempdir().unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    pushed(&work, &with_recorded_response(0, 10));
    pushed(&work, &with_recorded_response(NOW.0, 10));
    work.write_queue();
    assert_eq!(kept(data.path()).await, [2, 1]);
    work.retain();
    let connection = rusqlite::Connection::open(data.path().join("ledger.db")).unwrap();
    let count = || connection.query_row("SELECT count(*) FROM exchanges", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((kept(data.path()).await, count()), (vec![2], 1));
    work.shared.clock.advance(Duration::from_hours(8 * 24));
    work.retain();
    assert_eq!((all(&reader(data.path())).await, count()), (0, 0));
}

#[tokio::test]
async fn memory_is_given_back_when_recorded_responses_are_written() {
    let data = tempfile::tempdir().unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    let memory = ResponseMemory::new(10);
    let mut attempt = with_recorded_response(NOW.0, 10);
    let mut held = memory.reservation();
    assert!(held.extend(10));
    let response = RecordedResponse { memory: held, ..RecordedResponse::default() };
    attempt.usage.calls.recorded[0].recorded_response = Some(response.into());
    pushed(&work, &attempt);
    drop(attempt);
    assert!(!memory.reservation().extend(1));
    work.write_queue();
    assert!(memory.reservation().extend(10));
}
