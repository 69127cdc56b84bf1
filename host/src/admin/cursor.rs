//! Cursors of lists. A cursor is opaque to clients, and belongs to one list of one store: with another one, it would
//! silently lead to the wrong place.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::Admin;
use crate::problem::Problem;

/// The lists that have pages. The numbers are part of the cursors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Plugins = 1,
    Subscriptions = 2,
    Schedules = 3,
    Scheduled = 4,
    Events = 5,
    DeadLetters = 6,
    Deliveries = 7,
    StateKeys = 8,
    Attempts = 9,
    Requests = 10,
    DeadLetterGroups = 11,
    Minutes = 12,
    Audit = 13,
}

/// The length of the parts around the place: the list and the store before it, and the checksum after it.
const HEAD: usize = 9;
const SUM: usize = 4;

/// Why a cursor is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum CursorError {
    #[error("it is not a cursor; pass the `next` of the previous page unchanged")]
    Malformed,
    #[error("it is a cursor of another list")]
    OtherList,
    #[error("it is a cursor of another store; begin with the first page")]
    OtherStore,
}

impl Admin {
    /// The cursor of a place in a list.
    pub(super) fn cursor(&self, list: List, place: &str) -> String {
        encode(list, self.bus.store_id(), place)
    }

    /// The place that a cursor of a list leads to.
    ///
    /// # Errors
    /// A problem with 400 if it is not a cursor of this list and this store.
    pub(super) fn decode_cursor(&self, list: List, cursor: Option<&str>) -> Result<Option<String>, Problem> {
        let place = cursor.map(|cursor| decode(list, self.bus.store_id(), cursor)).transpose();
        place.map_err(|error| Problem::bad_request("invalid-cursor", format!("`after`: {error}")))
    }

    /// The parsed place that a cursor of a list leads to.
    ///
    /// # Errors
    /// As [`Self::decode_cursor`].
    pub(super) fn parse_cursor<T: std::str::FromStr>(
        &self,
        list: List,
        cursor: Option<&str>,
    ) -> Result<Option<T>, Problem> {
        let place = self.decode_cursor(list, cursor)?.map(|place| place.parse()).transpose();
        place.map_err(|_| Problem::bad_request("invalid-cursor", format!("`after`: {}", CursorError::Malformed)))
    }
}

fn encode(list: List, store: u64, place: &str) -> String {
    let mut bytes = vec![list as u8];
    bytes.extend(store.to_be_bytes());
    bytes.extend(place.as_bytes());
    bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(list: List, store: u64, cursor: &str) -> Result<String, CursorError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).map_err(|_| CursorError::Malformed)?;
    let end = bytes.len().checked_sub(SUM).filter(|end| *end >= HEAD).ok_or(CursorError::Malformed)?;
    let (content, sum) = bytes.split_at(end);
    if crc32fast::hash(content).to_be_bytes() != sum {
        return Err(CursorError::Malformed);
    }
    if content[0] != list as u8 {
        return Err(CursorError::OtherList);
    }
    if content[1..HEAD] != store.to_be_bytes() {
        return Err(CursorError::OtherStore);
    }
    String::from_utf8(content[HEAD..].to_vec()).map_err(|_| CursorError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_to_its_place_in_its_list_of_its_store_only() {
        for place in ["", "7", "-1", "a/b c", "é"] {
            let cursor = encode(List::Events, 42, place);
            assert_eq!(decode(List::Events, 42, &cursor).as_deref(), Ok(place));
            assert_eq!(decode(List::Scheduled, 42, &cursor), Err(CursorError::OtherList));
            assert_eq!(decode(List::Events, 43, &cursor), Err(CursorError::OtherStore));
            let changed = |index: usize| {
                let other = if &cursor[index..=index] == "A" { "B" } else { "A" };
                format!("{}{other}{}", &cursor[..index], &cursor[index + 1..])
            };
            for index in 0..cursor.len() {
                assert_eq!(decode(List::Events, 42, &changed(index)), Err(CursorError::Malformed), "{index}");
                assert_eq!(decode(List::Events, 42, &cursor[..index]), Err(CursorError::Malformed), "{index}");
            }
        }
    }
}
