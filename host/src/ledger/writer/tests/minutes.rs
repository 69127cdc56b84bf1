//! The aggregates of minutes.

use super::*;
use crate::ledger::MinuteAggregate;
use crate::ledger::statistics::{Ending, StatisticsSubject, SubjectStatistics};
use crate::usage::Usage;

fn welcome() -> StatisticsSubject {
    StatisticsSubject::Subscription { owner: "mailer".to_owned(), name: "welcome".to_owned() }
}

/// Records a success.
fn succeed(statistics: &SubjectStatistics) {
    let usage = Usage { cpu_time: Duration::from_millis(1), ..Usage::default() };
    statistics.record(Ending::Succeeded, Duration::from_millis(4), Some(Duration::from_millis(9)), &usage);
}

async fn minutes(data: &Path) -> Vec<MinuteAggregate> {
    reader(data).minutes(all_minutes(), 10).await.unwrap()
}

#[tokio::test]
async fn a_minute_is_one_of_the_clock_and_has_its_beginning() {
    let data = tempfile::tempdir().unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    let statistics = work.shared.statistics.subject(welcome());
    // From 00:00:25 to 00:02:05.
    work.shared.clock.set(after(25));
    work.step();
    for _ in 0..100 {
        succeed(&statistics);
        advance(&work, 1);
        work.step();
    }
    let minutes = minutes(data.path()).await;
    let shown: Vec<_> = minutes.iter().map(|minute| (minute.at.to_string(), minute.activity.succeeded)).collect();
    let expected = |at: &str, count| (format!("2030-01-01T00:{at}:00.000Z"), count);
    assert_eq!(shown, [expected("00", 35), expected("01", 60)]);
    assert_eq!((&minutes[1].subject, minutes[1].backlog), (&welcome(), Some(3)));
    let activity = &minutes[1].activity;
    assert_eq!(activity.cpu_time, Duration::from_millis(60));
    assert!(activity.run().p50 >= Duration::from_millis(4) && activity.wait().p50 >= Duration::from_millis(5));
}

#[tokio::test]
async fn a_stop_writes_the_present_minute_and_a_restart_adds_to_it() {
    let data = tempfile::tempdir().unwrap();
    for (run, count) in [(1, 3), (2, 4), (3, 0)] {
        let ledger = ledger(data.path());
        let statistics = ledger.recorder().subject(welcome()).unwrap();
        (0..count).for_each(|_| succeed(&statistics));
        drop(ledger);
        let minutes = minutes(data.path()).await;
        assert_eq!(minutes.len(), 1, "run {run}");
        assert_eq!((minutes[0].at, minutes[0].backlog), (NOW, Some(3)));
    }
    let activity = &minutes(data.path()).await[0].activity;
    assert_eq!((activity.succeeded, activity.cpu_time), (7, Duration::from_millis(7)));
    assert!((Duration::from_millis(4)..Duration::from_millis(5)).contains(&activity.run().p99));
}

#[tokio::test]
async fn minutes_wait_while_the_ledger_cannot_be_written_and_the_clock_may_jump() {
    let data = tempfile::tempdir().unwrap();
    let mut work = work(data.path(), LedgerConfig::default());
    let statistics = work.shared.statistics.subject(StatisticsSubject::Routes { plugin: "shop".to_owned() });
    let locked = lock(data.path());
    // Forward, back, and far forward.
    for seconds in [0, 60, 0, 3_600] {
        work.shared.clock.set(after(seconds));
        work.step();
        succeed(&statistics);
    }
    assert_eq!(minutes(data.path()).await.len(), 0);
    drop(locked);
    work.close();
    let found: Vec<_> = minutes(data.path()).await.iter().map(|minute| (minute.at, minute.activity.count())).collect();
    let expected = [(0, 2), (60, 1), (3_600, 1)].map(|(seconds, count)| (after(seconds), count));
    assert_eq!(found, expected);
    assert_eq!(statistics.last_minute().count(), 1, "after the jump, the last minute has what came after it");
}
