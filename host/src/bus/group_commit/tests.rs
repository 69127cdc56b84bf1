//! Which changes share a commit.

use super::*;

/// A change of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TestChange {
    /// A change that nobody waits for.
    Interactive,
    /// A publish of a number of events.
    Publish(usize),
    /// The remaining part of a publish.
    Rest,
    /// A change with a commit of its own.
    Alone,
}

impl Change for TestChange {
    fn is_bulk(&self) -> bool {
        matches!(self, Self::Rest) || matches!(self, Self::Publish(events) if *events > INTERACTIVE_LIMIT)
    }

    fn commits_alone(&self) -> bool {
        matches!(self, Self::Alone)
    }

    fn has_waiter(&self) -> bool {
        matches!(self, Self::Publish(_) | Self::Rest)
    }

    fn fit_into_commit(&mut self, expects_interactive: bool) -> usize {
        match self {
            Self::Publish(events) => part_length(*events, expects_interactive),
            Self::Rest => 0,
            Self::Interactive | Self::Alone => 1,
        }
    }
}

const BULK: TestChange = TestChange::Publish(100);

fn is_interactive(change: &TestChange) -> bool {
    matches!(change, TestChange::Interactive)
}

/// Runs on a thread of its own, like the writer.
async fn on_a_thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn interactive_changes_join_a_group_and_end_it() {
    let (queue, mut receiver) = new();
    for _ in 0..200 {
        assert!(queue.try_send(BULK).is_ok());
    }
    let taken = on_a_thread(move || {
        let mut group = receiver.blocking_group().unwrap();
        let mut taken: Vec<_> = group.by_ref().take(2).collect();
        assert!(!taken.iter().any(is_interactive), "there was none");
        assert!(queue.try_send(TestChange::Interactive).is_ok());
        taken.extend(group);
        taken
    });
    let taken = taken.await;
    assert_eq!(taken.len(), 3);
    assert!(is_interactive(&taken[2]));
}

#[tokio::test]
async fn bulk_changes_have_a_share_of_each_group() {
    let (queue, mut receiver) = new();
    for _ in 0..100 {
        assert!(queue.try_send(BULK).is_ok());
        assert!(queue.try_send(TestChange::Interactive).is_ok());
    }
    let taken = on_a_thread(move || receiver.blocking_group().unwrap().collect::<Vec<_>>()).await;
    assert_eq!(taken.iter().filter(|change| is_interactive(change)).count(), 100);
    assert_eq!(taken.len(), 100 + 1, "a hundred events are a share");
}

#[tokio::test]
async fn bulk_changes_get_only_their_share_while_interactive_ones_arrive() {
    let (queue, mut receiver) = new();
    for _ in 0..100 {
        assert!(queue.try_send(BULK).is_ok());
    }
    let sizes = on_a_thread(move || {
        let before = receiver.blocking_group().unwrap().count();
        assert!(queue.try_send(TestChange::Publish(1)).is_ok());
        let with = receiver.blocking_group().unwrap().count();
        let after =
            receiver.blocking_group().unwrap().map(|mut change| change.fit_into_commit(true)).collect::<Vec<_>>();
        (before, with, after)
    });
    assert_eq!(sizes.await, (6, 1 + 2, vec![32, 32]));
}

#[tokio::test]
async fn the_rest_of_a_publish_stays_behind_earlier_changes() {
    let (queue, mut receiver) = new();
    assert!(queue.try_send(BULK).is_ok());
    assert!(queue.try_send(TestChange::Rest).is_ok());
    let mut taken = on_a_thread(move || receiver.blocking_group().unwrap().collect::<Vec<_>>()).await;
    assert_eq!(taken.iter_mut().map(|change| change.fit_into_commit(false)).collect::<Vec<_>>(), [100, 0]);
}

#[tokio::test]
async fn a_change_that_commits_alone_shares_no_group() {
    let name = |change: TestChange| match change {
        TestChange::Alone => 'a',
        TestChange::Publish(_) | TestChange::Rest => 'b',
        TestChange::Interactive => 'i',
    };
    let (queue, mut receiver) = new();
    for change in [
        TestChange::Interactive,
        TestChange::Interactive,
        TestChange::Alone,
        TestChange::Alone,
        TestChange::Interactive,
        TestChange::Alone,
        BULK,
        TestChange::Rest,
        BULK,
    ] {
        assert!(queue.try_send(change).is_ok());
    }
    drop(queue);
    let groups = on_a_thread(move || {
        let mut groups = Vec::new();
        while let Some(group) = receiver.blocking_group() {
            groups.push(group.map(name).collect::<String>());
        }
        assert!(receiver.is_empty());
        groups
    });
    assert_eq!(groups.await, ["ii", "bbb", "a", "a", "i", "a"], "bulk changes keep their share");
}

#[tokio::test]
async fn a_group_is_bounded_and_a_closed_queue_ends_it() {
    let (queue, mut receiver) = new();
    for _ in 0..GROUP_LIMIT + 1 {
        assert!(queue.try_send(TestChange::Interactive).is_ok());
    }
    drop(queue);
    let sizes = on_a_thread(move || {
        let sizes = [receiver.blocking_group().unwrap().count(), receiver.blocking_group().unwrap().count()];
        assert!(receiver.is_empty());
        assert!(receiver.blocking_group().is_none());
        sizes
    });
    assert_eq!(sizes.await, [GROUP_LIMIT, 1]);
}
