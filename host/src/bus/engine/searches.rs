//! Searches of the log: by the index that fits the filter best, and a bounded number of events at a time.

use super::engine_state::EngineState;
use super::store::{Rows, SearchRange};
use crate::bus::{EventFilter, EventPage, StoreError};
use crate::clock::Timestamp;
use crate::event::Position;

/// The maximum number of events that one page examines.
const EXAMINED_LIMIT: usize = 10_000;
/// The number of positions that are read at a time.
const CHUNK: usize = 500;
/// With more types than this, the whole log is examined.
const TYPES_LIMIT: usize = 16;

/// How the events to examine are found: by an index, or in the order of the log.
enum AccessPath {
    /// These, newest first.
    Listed(Vec<Position>),
    ByCorrelation(String),
    ByTypes(Vec<i64>),
    WholeLog,
}

/// A page of the events that match a filter, newest first.
pub(super) fn search(
    rows: &dyn Rows,
    shared: &EngineState,
    filter: &EventFilter,
    before: Option<Position>,
    limit: usize,
) -> Result<EventPage, StoreError> {
    let mut range = range(rows, filter, before)?;
    let path = choose_path(rows, shared, filter, range)?;
    let mut page = EventPage::default();
    let mut examined = 0;
    while page.events.len() < limit {
        if examined >= EXAMINED_LIMIT {
            page.next = Some(range.high);
            break;
        }
        let chunk = path.next(rows, range)?;
        examined += chunk.len();
        for position in &chunk {
            range.high = *position;
            let event = rows.searched_event(*position, filter)?;
            if let Some(event) = event.filter(|event| filter.matches(event)) {
                page.events.push(event);
                if page.events.len() == limit {
                    page.next = Some(*position);
                    break;
                }
            }
        }
        if chunk.len() < CHUNK && page.next.is_none() {
            break;
        }
    }
    Ok(page)
}

/// The positions to search. The log's times never go back, so each time limit corresponds to a position.
fn range(rows: &dyn Rows, filter: &EventFilter, before: Option<Position>) -> Result<SearchRange, StoreError> {
    let position_before = |time: Timestamp| rows.position_before(time);
    let low = filter.since.map_or(Ok(Position(0)), position_before)?;
    let until = filter.until.map(position_before).transpose()?.map(|last| Position(last.0 + 1));
    let high = before.into_iter().chain(until).min().unwrap_or(Position(u64::MAX));
    Ok(SearchRange { low, high })
}

fn choose_path(
    rows: &dyn Rows,
    shared: &EngineState,
    filter: &EventFilter,
    range: SearchRange,
) -> Result<AccessPath, StoreError> {
    if let Some(correlation) = &filter.correlation {
        return Ok(AccessPath::ByCorrelation(correlation.clone()));
    }
    if let Some(prefix) = &filter.id_prefix
        && let Some(found) = rows.positions_with_id_prefix(prefix, range, EXAMINED_LIMIT)?
    {
        return Ok(AccessPath::Listed(found));
    }
    let pattern = filter.pattern.as_ref().filter(|pattern| !pattern.matches_everything());
    let types = pattern.map(|pattern| shared.types().matching(pattern));
    Ok(types.filter(|types| types.len() <= TYPES_LIMIT).map_or(AccessPath::WholeLog, AccessPath::ByTypes))
}

impl AccessPath {
    /// The next positions of a range, newest first. Fewer than a chunk if there are no more.
    fn next(&self, rows: &dyn Rows, range: SearchRange) -> Result<Vec<Position>, StoreError> {
        match self {
            Self::Listed(positions) => {
                Ok(positions.iter().copied().filter(|position| *position < range.high).take(CHUNK).collect())
            }
            Self::ByCorrelation(id) => rows.positions_correlated(id, range, CHUNK),
            Self::ByTypes(types) => {
                let mut found = Vec::new();
                for number in types {
                    found.extend(rows.positions_of_type(*number, range, CHUNK)?);
                }
                found.sort_unstable_by(|one, other| other.cmp(one));
                found.truncate(CHUNK);
                Ok(found)
            }
            Self::WholeLog => rows.positions_in(range, CHUNK),
        }
    }
}
