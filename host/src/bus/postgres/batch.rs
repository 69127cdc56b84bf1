//! The changes of a transaction that are sent together: the frequent ones, which almost every delivery makes.
//!
//! Each kind of change is one statement, with an array for each column. The statements do not depend on each other.
//! Within the transaction, reads look here first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::session::Request;
use crate::bus::FailedAttempt;
use crate::bus::engine::store::encoding::{encode_due, encode_extensions, holder, signed, to_json};
use crate::bus::engine::store::{Log, PendingRow};
use crate::clock::Timestamp;
use crate::event::{CORRELATION_ID, CORRELATION_SOURCE, Event, Position};
use crate::outcome::Version;

/// The size at which a batch is sent. An array of PostgreSQL has at most one GiB.
const LARGE_BYTES: usize = 32 << 20;

/// The source and the id of an event.
pub(super) type EventIdentity = (String, String);
/// A plugin, and a key of its state.
pub(super) type StateKey = (String, Vec<u8>);

/// The digest by which an event is found.
pub(super) fn identity_digest(source: &str, id: &str) -> Vec<u8> {
    use sha2::Digest as _;
    // No attribute has U+0000.
    let digest = sha2::Sha256::new().chain_update(source).chain_update([0]).chain_update(id);
    digest.finalize().to_vec()
}

/// The changes of a transaction that were not sent yet, and what the transaction has read in advance.
#[derive(Debug, Default)]
pub(super) struct WriteBatch {
    events: Vec<EventInsert>,
    state_deletes: BTreeSet<StateKey>,
    state: BTreeMap<StateKey, (Vec<u8>, i64)>,
    pending_deletes: BTreeSet<(i64, i64)>,
    pending: BTreeMap<(i64, i64), PendingInsert>,
    cursors: BTreeMap<i64, i64>,
    log_bytes: BTreeMap<String, i64>,
    log: Option<Log>,
    /// The size of the events and of the values of the state.
    bytes: usize,
    /// What was read at the beginning of the transaction.
    pub(super) cache: TransactionCache,
}

/// What a transaction has read at its beginning, or has inserted since.
#[derive(Debug, Default)]
pub(super) struct TransactionCache {
    /// Whether events are in the log.
    pub(super) logged: HashMap<EventIdentity, bool>,
    /// Whether events are scheduled.
    pub(super) scheduled: HashMap<EventIdentity, bool>,
    /// Values of the state, with their versions.
    pub(super) state: HashMap<StateKey, Option<(Vec<u8>, Version)>>,
}

#[derive(Debug)]
struct EventInsert {
    position: i64,
    identity: Vec<u8>,
    type_number: i64,
    id: String,
    source: String,
    subject: Option<String>,
    time: Option<String>,
    datacontenttype: Option<String>,
    dataschema: Option<String>,
    extensions: Option<String>,
    correlation: Option<String>,
    correlation_source: Option<String>,
    holder: Option<String>,
    data: Option<Vec<u8>>,
    stored_at: i64,
    bytes: i64,
}

#[derive(Debug)]
struct PendingInsert {
    key: Option<Vec<u8>>,
    attempts: i64,
    due: i64,
    replayed: i64,
    history: Vec<FailedAttempt>,
    edited: Option<Vec<u8>>,
    redriven_at: Option<i64>,
}

/// What the batch says of a delivery's row.
pub(super) enum PendingState<'a> {
    /// The batch writes it.
    Put(&'a [FailedAttempt]),
    /// The batch deletes it.
    Deleted,
    /// The batch does not change it.
    Unchanged,
}

/// What the batch says of a value.
pub(super) enum ValueState {
    /// The value, with its version. None if the key has no value.
    Known(Option<(Vec<u8>, Version)>),
    /// It was not read.
    Unknown,
}

impl WriteBatch {
    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.state_deletes.is_empty()
            && self.state.is_empty()
            && self.pending_deletes.is_empty()
            && self.pending.is_empty()
            && self.cursors.is_empty()
            && self.log_bytes.is_empty()
            && self.log.is_none()
    }

    /// Whether the batch should be sent before it grows.
    pub(super) fn is_large(&self) -> bool {
        self.bytes > LARGE_BYTES
    }

    pub(super) fn append_event(&mut self, position: Position, type_number: i64, event: &Event, now: Timestamp) {
        self.cache.logged.insert((event.source.clone(), event.id.clone()), true);
        self.bytes += event.size_bytes();
        self.events.push(EventInsert {
            position: signed(position.0),
            identity: identity_digest(&event.source, &event.id),
            type_number,
            id: event.id.clone(),
            source: event.source.clone(),
            subject: event.subject.clone(),
            time: event.time.clone(),
            datacontenttype: event.datacontenttype.clone(),
            dataschema: event.dataschema.clone(),
            extensions: encode_extensions(event),
            correlation: event.extensions.get(CORRELATION_ID).cloned(),
            correlation_source: event.extensions.get(CORRELATION_SOURCE).cloned(),
            holder: holder(&event.source, event.producer.clone()),
            data: event.data.as_deref().map(<[u8]>::to_vec),
            stored_at: signed(now.0),
            bytes: signed(event.size_bytes() as u64),
        });
    }

    pub(super) fn set_state(&mut self, key: StateKey, value: Vec<u8>, version: Version) {
        self.bytes += value.len();
        self.state.insert(key, (value, signed(version.0)));
    }

    pub(super) fn delete_state(&mut self, key: StateKey) {
        self.state.remove(&key);
        self.state_deletes.insert(key);
    }

    /// Whether the state of a plugin has changes that were not sent.
    pub(super) fn changes_state_of(&self, plugin: &str) -> bool {
        let first = (plugin.to_owned(), Vec::new());
        let of_plugin = |key: Option<&StateKey>| key.is_some_and(|key| key.0 == plugin);
        of_plugin(self.state.range(first.clone()..).next().map(|(key, _)| key))
            || of_plugin(self.state_deletes.range(first..).next())
    }

    pub(super) fn value(&self, key: &StateKey) -> ValueState {
        if let Some((value, version)) = self.state.get(key) {
            return ValueState::Known(Some((value.clone(), Version(u64::try_from(*version).unwrap_or(0)))));
        }
        if self.state_deletes.contains(key) {
            return ValueState::Known(None);
        }
        self.cache.state.get(key).map_or(ValueState::Unknown, |value| ValueState::Known(value.clone()))
    }

    pub(super) fn put_pending(&mut self, row: &PendingRow<'_>) {
        let insert = PendingInsert {
            key: row.key.map(|key| key.as_bytes().to_vec()),
            attempts: i64::from(row.attempts),
            due: encode_due(row.due),
            replayed: row.redriven_replay.map_or(0, crate::bus::DeadLetterId::number),
            history: row.history.to_vec(),
            edited: row.edited.map(<[u8]>::to_vec),
            redriven_at: row.redriven_at.map(|time| signed(time.0)),
        };
        self.pending.insert((row.subscription, signed(row.position.0)), insert);
    }

    pub(super) fn delete_pending(&mut self, subscription: i64, position: Position) {
        let key = (subscription, signed(position.0));
        self.pending.remove(&key);
        self.pending_deletes.insert(key);
    }

    pub(super) fn pending(&self, subscription: i64, position: Position) -> PendingState<'_> {
        let key = (subscription, signed(position.0));
        match self.pending.get(&key) {
            Some(row) => PendingState::Put(&row.history),
            None if self.pending_deletes.contains(&key) => PendingState::Deleted,
            None => PendingState::Unchanged,
        }
    }

    pub(super) fn move_cursor(&mut self, subscription: i64, cursor: Position) {
        self.cursors.insert(subscription, signed(cursor.0));
    }

    pub(super) fn put_log_bytes(&mut self, holder: &str, bytes: u64) {
        self.log_bytes.insert(holder.to_owned(), signed(bytes));
    }

    pub(super) fn put_log(&mut self, log: Log) {
        self.log = Some(log);
    }

    /// Notes that events are no longer in the log, because the transaction has deleted them.
    pub(super) fn forget_logged(&mut self, identities: &HashSet<EventIdentity>) {
        for identity in identities {
            self.cache.logged.insert(identity.clone(), false);
        }
    }

    /// Takes the changes, to send them in the middle of a transaction. The values that they write stay in the cache.
    pub(super) fn take_changes(&mut self) -> Self {
        let cache = std::mem::take(&mut self.cache);
        let changes = std::mem::replace(self, Self { cache, ..Self::default() });
        for key in &changes.state_deletes {
            self.cache.state.insert(key.clone(), None);
        }
        for (key, (value, version)) in &changes.state {
            let version = Version(u64::try_from(*version).unwrap_or(0));
            self.cache.state.insert(key.clone(), Some((value.clone(), version)));
        }
        changes
    }

    /// The changes, as columns.
    pub(super) fn into_columns(self) -> BatchColumns {
        let Self { events, state_deletes, state, pending_deletes, pending, cursors, log_bytes, log, .. } = self;
        let mut columns = BatchColumns::default();
        columns.add_events(events);
        for (plugin, key) in state_deletes {
            columns.state_deletes.0.push(plugin);
            columns.state_deletes.1.push(key);
        }
        for ((plugin, key), (value, version)) in state {
            columns.state.plugins.push(plugin);
            columns.state.keys.push(key);
            columns.state.values.push(value);
            columns.state.versions.push(version);
        }
        for (subscription, position) in pending_deletes {
            columns.pending_deletes.0.push(subscription);
            columns.pending_deletes.1.push(position);
        }
        columns.add_pending(pending);
        (columns.cursors.0, columns.cursors.1) = cursors.into_iter().unzip();
        (columns.log_bytes.0, columns.log_bytes.1) = log_bytes.into_iter().unzip();
        columns.log = log.map(|log| [signed(log.head.0), signed(log.floor.0), signed(log.bytes), signed(log.newest.0)]);
        columns
    }
}

/// The changes of a batch, as the columns of its statements.
#[derive(Default)]
pub(super) struct BatchColumns {
    events: EventArrays,
    state_deletes: (Vec<String>, Vec<Vec<u8>>),
    state: StateArrays,
    pending_deletes: (Vec<i64>, Vec<i64>),
    pending: PendingArrays,
    cursors: (Vec<i64>, Vec<i64>),
    log_bytes: (Vec<String>, Vec<i64>),
    log: Option<[i64; 4]>,
}

#[derive(Default)]
struct EventArrays {
    positions: Vec<i64>,
    identities: Vec<Vec<u8>>,
    types: Vec<i64>,
    ids: Vec<String>,
    sources: Vec<String>,
    subjects: Vec<Option<String>>,
    times: Vec<Option<String>>,
    datacontenttypes: Vec<Option<String>>,
    dataschemas: Vec<Option<String>>,
    extensions: Vec<Option<String>>,
    correlations: Vec<Option<String>>,
    correlation_sources: Vec<Option<String>>,
    holders: Vec<Option<String>>,
    data: Vec<Option<Vec<u8>>>,
    stored_at: Vec<i64>,
    bytes: Vec<i64>,
}

#[derive(Default)]
struct StateArrays {
    plugins: Vec<String>,
    keys: Vec<Vec<u8>>,
    values: Vec<Vec<u8>>,
    versions: Vec<i64>,
}

#[derive(Default)]
struct PendingArrays {
    subscriptions: Vec<i64>,
    positions: Vec<i64>,
    keys: Vec<Option<Vec<u8>>>,
    attempts: Vec<i64>,
    due: Vec<i64>,
    replayed: Vec<i64>,
    histories: Vec<String>,
    edited: Vec<Option<Vec<u8>>>,
    redriven_at: Vec<Option<i64>>,
}

impl BatchColumns {
    fn add_events(&mut self, events: Vec<EventInsert>) {
        let columns = &mut self.events;
        for event in events {
            columns.positions.push(event.position);
            columns.identities.push(event.identity);
            columns.types.push(event.type_number);
            columns.ids.push(event.id);
            columns.sources.push(event.source);
            columns.subjects.push(event.subject);
            columns.times.push(event.time);
            columns.datacontenttypes.push(event.datacontenttype);
            columns.dataschemas.push(event.dataschema);
            columns.extensions.push(event.extensions);
            columns.correlations.push(event.correlation);
            columns.correlation_sources.push(event.correlation_source);
            columns.holders.push(event.holder);
            columns.data.push(event.data);
            columns.stored_at.push(event.stored_at);
            columns.bytes.push(event.bytes);
        }
    }

    fn add_pending(&mut self, pending: BTreeMap<(i64, i64), PendingInsert>) {
        let columns = &mut self.pending;
        for ((subscription, position), row) in pending {
            columns.subscriptions.push(subscription);
            columns.positions.push(position);
            columns.keys.push(row.key);
            columns.attempts.push(row.attempts);
            columns.due.push(row.due);
            columns.replayed.push(row.replayed);
            columns.histories.push(to_json(&row.history));
            columns.edited.push(row.edited);
            columns.redriven_at.push(row.redriven_at);
        }
    }

    /// The statements. Deletions come before insertions of the same rows.
    pub(super) fn requests(&self) -> Vec<Request<'_>> {
        let Self { events, state_deletes, state, pending_deletes, pending, cursors, log_bytes, log } = self;
        let mut all: Vec<Request<'_>> = Vec::new();
        if !pending_deletes.0.is_empty() {
            all.push(Request {
                sql: "DELETE FROM pending p USING unnest($1::bigint[], $2::bigint[]) AS d (subscription, position)
                     WHERE p.subscription = d.subscription AND p.position = d.position",
                values: vec![&pending_deletes.0, &pending_deletes.1],
            });
        }
        if !pending.subscriptions.is_empty() {
            all.push(Request {
                sql: "INSERT INTO pending (subscription, position, key, attempts, due, replayed, history, edited, redriven_at)
                     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[],
                       $7::text[], $8::bytea[], $9::bigint[])
                     ON CONFLICT (subscription, position) DO UPDATE SET key = excluded.key, attempts = excluded.attempts,
                       due = excluded.due, replayed = excluded.replayed, history = excluded.history,
                       edited = excluded.edited, redriven_at = excluded.redriven_at",
                values: vec![
                    &pending.subscriptions,
                    &pending.positions,
                    &pending.keys,
                    &pending.attempts,
                    &pending.due,
                    &pending.replayed,
                    &pending.histories,
                    &pending.edited,
                    &pending.redriven_at,
                ],
            });
        }
        if !state_deletes.0.is_empty() {
            all.push(Request {
                sql: "DELETE FROM state s USING unnest($1::text[], $2::bytea[]) AS d (plugin, key)
                     WHERE s.plugin = d.plugin AND s.key = d.key",
                values: vec![&state_deletes.0, &state_deletes.1],
            });
        }
        if !state.plugins.is_empty() {
            all.push(Request {
                sql: "INSERT INTO state (plugin, key, value, version, made)
                     SELECT plugin, key, value, version, version
                     FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bigint[]) AS n (plugin, key, value, version)
                     ON CONFLICT (plugin, key) DO UPDATE SET value = excluded.value, version = excluded.version",
                values: vec![&state.plugins, &state.keys, &state.values, &state.versions],
            });
        }
        if !cursors.0.is_empty() {
            all.push(Request {
                sql: "UPDATE subscriptions s SET cursor = n.cursor
                     FROM unnest($1::bigint[], $2::bigint[]) AS n (number, cursor) WHERE s.number = n.number",
                values: vec![&cursors.0, &cursors.1],
            });
        }
        if !log_bytes.0.is_empty() {
            all.push(Request {
                sql: "INSERT INTO publishers (plugin, bytes) SELECT * FROM unnest($1::text[], $2::bigint[])
                     ON CONFLICT (plugin) DO UPDATE SET bytes = excluded.bytes",
                values: vec![&log_bytes.0, &log_bytes.1],
            });
        }
        if !events.positions.is_empty() {
            all.push(Request {
                sql: "INSERT INTO events (position, identity, type, id, source, subject, time, datacontenttype, dataschema, extensions,
                       correlation, correlation_source, holder, data, stored_at, bytes)
                     SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::text[], $5::text[], $6::text[],
                       $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[],
                       $14::bytea[], $15::bigint[], $16::bigint[])",
                values: vec![
                    &events.positions,
                    &events.identities,
                    &events.types,
                    &events.ids,
                    &events.sources,
                    &events.subjects,
                    &events.times,
                    &events.datacontenttypes,
                    &events.dataschemas,
                    &events.extensions,
                    &events.correlations,
                    &events.correlation_sources,
                    &events.holders,
                    &events.data,
                    &events.stored_at,
                    &events.bytes,
                ],
            });
        }
        if let Some(log) = log {
            all.push(Request {
                sql: "UPDATE log SET head = $1, floor = $2, bytes = $3, newest = $4",
                values: vec![&log[0], &log[1], &log[2], &log[3]],
            });
        }
        all
    }
}
