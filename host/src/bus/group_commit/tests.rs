//! Which changes share a commit.

use super::*;

/// A change of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// One that nobody waits for.
    Few,
    /// So many events of one publisher.
    Publish(usize),
    /// What is left of a publisher's events.
    Rest,
    /// One with a commit of its own.
    Alone,
}

impl Change for Asked {
    fn is_one_of_many(&self) -> bool {
        matches!(self, Self::Rest) || matches!(self, Self::Publish(events) if *events > FEW)
    }

    fn stands_alone(&self) -> bool {
        matches!(self, Self::Alone)
    }

    fn is_waited_for(&self) -> bool {
        matches!(self, Self::Publish(_) | Self::Rest)
    }

    fn fit(&mut self, others_come: bool) -> usize {
        match self {
            Self::Publish(events) => part(*events, others_come),
            Self::Rest => 0,
            Self::Few | Self::Alone => 1,
        }
    }
}

const MANY: Asked = Asked::Publish(100);

fn is_few(change: &Asked) -> bool {
    matches!(change, Asked::Few)
}

/// Runs on a thread of its own, as the writer does.
async fn on_a_thread<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test]
async fn what_is_few_joins_a_group_and_ends_it() {
    let (queue, mut waiting) = new();
    for _ in 0..200 {
        assert!(queue.try_send(MANY).is_ok());
    }
    let taken = on_a_thread(move || {
        let mut group = waiting.blocking_group().unwrap();
        let mut taken: Vec<_> = group.by_ref().take(2).collect();
        assert!(!taken.iter().any(is_few), "there was none");
        assert!(queue.try_send(Asked::Few).is_ok());
        taken.extend(group);
        taken
    });
    let taken = taken.await;
    assert_eq!(taken.len(), 3);
    assert!(is_few(&taken[2]));
}

#[tokio::test]
async fn what_is_many_has_a_share_of_each_group() {
    let (queue, mut waiting) = new();
    for _ in 0..100 {
        assert!(queue.try_send(MANY).is_ok());
        assert!(queue.try_send(Asked::Few).is_ok());
    }
    let taken = on_a_thread(move || waiting.blocking_group().unwrap().collect::<Vec<_>>()).await;
    assert_eq!(taken.iter().filter(|change| is_few(change)).count(), 100);
    assert_eq!(taken.len(), 100 + 1, "a hundred events are a share");
}

#[tokio::test]
async fn what_is_many_takes_no_more_than_its_share_while_others_come() {
    let (queue, mut waiting) = new();
    for _ in 0..100 {
        assert!(queue.try_send(MANY).is_ok());
    }
    let sizes = on_a_thread(move || {
        let before = waiting.blocking_group().unwrap().count();
        assert!(queue.try_send(Asked::Publish(1)).is_ok());
        let with = waiting.blocking_group().unwrap().count();
        let after = waiting.blocking_group().unwrap().map(|mut change| change.fit(true)).collect::<Vec<_>>();
        (before, with, after)
    });
    assert_eq!(sizes.await, (6, 1 + 2, vec![32, 32]));
}

#[tokio::test]
async fn what_goes_on_stays_behind_what_came_before() {
    let (queue, mut waiting) = new();
    assert!(queue.try_send(MANY).is_ok());
    assert!(queue.try_send(Asked::Rest).is_ok());
    let mut taken = on_a_thread(move || waiting.blocking_group().unwrap().collect::<Vec<_>>()).await;
    assert_eq!(taken.iter_mut().map(|change| change.fit(false)).collect::<Vec<_>>(), [100, 0]);
}

#[tokio::test]
async fn what_changes_what_is_open_as_a_whole_has_a_commit_of_its_own() {
    let name = |change: Asked| match change {
        Asked::Alone => 'p',
        Asked::Publish(_) | Asked::Rest => 'm',
        Asked::Few => 'f',
    };
    let (queue, mut waiting) = new();
    for change in
        [Asked::Few, Asked::Few, Asked::Alone, Asked::Alone, Asked::Few, Asked::Alone, MANY, Asked::Rest, MANY]
    {
        assert!(queue.try_send(change).is_ok());
    }
    drop(queue);
    let groups = on_a_thread(move || {
        let mut groups = Vec::new();
        while let Some(group) = waiting.blocking_group() {
            groups.push(group.map(name).collect::<String>());
        }
        assert!(waiting.is_empty());
        groups
    });
    assert_eq!(groups.await, ["ff", "mmm", "p", "p", "f", "p"], "those that are many have their share meanwhile");
}

#[tokio::test]
async fn a_group_is_bounded_and_the_end_is_told() {
    let (queue, mut waiting) = new();
    for _ in 0..GROUP_LIMIT + 1 {
        assert!(queue.try_send(Asked::Few).is_ok());
    }
    drop(queue);
    let sizes = on_a_thread(move || {
        let sizes = [waiting.blocking_group().unwrap().count(), waiting.blocking_group().unwrap().count()];
        assert!(waiting.is_empty());
        assert!(waiting.blocking_group().is_none());
        sizes
    });
    assert_eq!(sizes.await, [GROUP_LIMIT, 1]);
}
