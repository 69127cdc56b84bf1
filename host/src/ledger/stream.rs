//! The live stream of records, which a client can resume after a disconnection.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::record::Entry;

/// The number of records that a client may be behind, and that can be resumed.
const CAPACITY: usize = 4_096;

/// A position in the stream of one run of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamPosition {
    /// The run of the host, a random number.
    pub run: u64,
    /// The number of the record in this run, from 1.
    pub number: u64,
}

/// A record in the stream, or the loss of some.
#[derive(Clone, Debug)]
pub enum StreamItem {
    /// A record.
    Entry(StreamPosition, Arc<Entry>),
    /// Records that the client missed. The count is unknown if the host was restarted.
    Lost(Option<u64>),
}

/// The recent records, and the clients that follow them.
#[derive(Debug)]
pub(super) struct Stream {
    run: u64,
    state: Mutex<State>,
    sender: broadcast::Sender<(u64, Arc<Entry>)>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    recent: VecDeque<(u64, Arc<Entry>)>,
}

impl Stream {
    pub(super) fn new(run: u64) -> Self {
        Self { run, state: Mutex::default(), sender: broadcast::Sender::new(CAPACITY) }
    }

    /// Whether a client follows the stream.
    pub(super) fn is_watched(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    pub(super) fn push(&self, entry: Arc<Entry>) {
        // Under the lock, so that the order is that of the numbers.
        let mut state = self.lock();
        state.last += 1;
        let numbered = (state.last, entry);
        if state.recent.len() >= CAPACITY {
            state.recent.pop_front();
        }
        state.recent.push_back(numbered.clone());
        // Without clients, there is nobody to send to.
        drop(self.sender.send(numbered));
    }

    /// Follows the stream from now on, or after a position that the client has seen.
    pub(super) fn follow(&self, after: Option<StreamPosition>) -> StreamFollower {
        let state = self.lock();
        let receiver = self.sender.subscribe();
        let mut backlog = VecDeque::new();
        match after {
            Some(after) if after.run == self.run && after.number <= state.last => {
                let oldest = state.recent.front().map_or(state.last + 1, |(number, _)| *number);
                let missed = oldest.saturating_sub(after.number + 1);
                if missed > 0 {
                    backlog.push_back(StreamItem::Lost(Some(missed)));
                }
                let recent = state.recent.iter().filter(|(number, _)| *number > after.number);
                backlog.extend(recent.map(|(number, entry)| StreamItem::Entry(self.at(*number), Arc::clone(entry))));
            }
            // The position belongs to another run.
            Some(_) => backlog.push_back(StreamItem::Lost(None)),
            None => {}
        }
        StreamFollower { run: self.run, receiver, backlog }
    }

    fn at(&self, number: u64) -> StreamPosition {
        StreamPosition { run: self.run, number }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that follows the stream.
#[derive(Debug)]
pub struct StreamFollower {
    run: u64,
    receiver: broadcast::Receiver<(u64, Arc<Entry>)>,
    backlog: VecDeque<StreamItem>,
}

impl StreamFollower {
    /// Waits for the next record. A client that reads too slowly gets the number of records that it has lost. None if
    /// the host stops. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<StreamItem> {
        if let Some(item) = self.backlog.pop_front() {
            return Some(item);
        }
        match self.receiver.recv().await {
            Ok((number, entry)) => Some(StreamItem::Entry(StreamPosition { run: self.run, number }, entry)),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(StreamItem::Lost(Some(count))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::handled;
    use super::*;

    /// The numbers of records, and the losses as negative numbers.
    async fn read(follower: &mut StreamFollower, count: usize) -> Vec<i64> {
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(match follower.next().await.unwrap() {
                StreamItem::Entry(position, _) => i64::try_from(position.number).unwrap(),
                StreamItem::Lost(lost) => -i64::try_from(lost.unwrap_or(0)).unwrap(),
            });
        }
        items
    }

    #[tokio::test]
    async fn a_client_follows_and_resumes() {
        let stream = Stream::new(7);
        stream.push(Arc::new(handled(0)));
        assert!(!stream.is_watched());
        let mut follower = stream.follow(None);
        assert!(stream.is_watched());
        stream.push(Arc::new(handled(0)));
        stream.push(Arc::new(handled(0)));
        assert_eq!(read(&mut follower, 2).await, [2, 3]);
        let at = |run, number| Some(StreamPosition { run, number });
        assert_eq!(read(&mut stream.follow(at(7, 1)), 2).await, [2, 3]);
        // The position of another run, or one that this run has not reached.
        for unknown in [at(6, 1), at(7, 4)] {
            let mut resumed = stream.follow(unknown);
            assert!(matches!(resumed.next().await, Some(StreamItem::Lost(None))));
        }
    }

    #[tokio::test]
    async fn a_client_learns_how_many_records_it_has_lost() {
        let stream = Stream::new(7);
        let mut slow = stream.follow(None);
        (0..CAPACITY + 10).for_each(|_| stream.push(Arc::new(handled(0))));
        assert_eq!(read(&mut slow, 2).await, [-10, 11]);
        let mut resumed = stream.follow(Some(StreamPosition { run: 7, number: 3 }));
        assert_eq!(read(&mut resumed, 2).await, [-7, 11]);
    }
}
