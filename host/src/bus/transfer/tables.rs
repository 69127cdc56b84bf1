//! The tables of every store, and their columns.

/// A table that every store has.
#[derive(Debug)]
pub(in crate::bus) struct Table {
    /// The name.
    pub(in crate::bus) name: &'static str,
    /// The columns. Stores derive further columns from them.
    pub(in crate::bus) columns: &'static [Column],
    /// The columns of the key, separated by commas.
    pub(in crate::bus) key: &'static str,
}

/// A column.
#[derive(Debug)]
pub(in crate::bus) struct Column {
    /// The name.
    pub(in crate::bus) name: &'static str,
    /// The type.
    pub(in crate::bus) kind: ColumnKind,
}

/// The type of a column. Each column may be null, as far as its store allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bus) enum ColumnKind {
    /// A number.
    Integer,
    /// A number that is zero or one.
    Flag,
    /// Text without U+0000.
    Text,
    /// Text that may have any character.
    AnyText,
    /// Bytes.
    Bytes,
}

use ColumnKind::{AnyText, Bytes, Flag, Integer, Text};

/// A column with a name and a type.
pub(in crate::bus) const fn column(name: &'static str, kind: ColumnKind) -> Column {
    Column { name, kind }
}

/// All tables with more than one row. The single rows are in [`StoreHeader`](super::StoreHeader).
pub(in crate::bus) const TABLES: [Table; 13] = [
    Table { name: "types", key: "id", columns: &[column("id", Integer), column("name", Text)] },
    Table {
        name: "events",
        key: "position",
        columns: &[
            column("position", Integer),
            column("type", Integer),
            column("id", Text),
            column("source", Text),
            column("subject", Text),
            column("time", Text),
            column("datacontenttype", Text),
            column("dataschema", Text),
            column("extensions", Text),
            column("data", Bytes),
            column("stored_at", Integer),
            column("bytes", Integer),
        ],
    },
    Table {
        name: "scheduled",
        key: "number",
        columns: &[
            column("number", Integer),
            column("due", Integer),
            column("id", Text),
            column("source", Text),
            column("event", Text),
        ],
    },
    Table {
        name: "schedules",
        key: "plugin, name",
        columns: &[column("plugin", Text), column("name", Text), column("schedule", Text), column("next", Integer)],
    },
    Table {
        name: "subscriptions",
        key: "number",
        columns: &[
            column("number", Integer),
            column("owner", Text),
            column("name", Text),
            column("dynamic", Flag),
            column("definition", Text),
            column("cursor", Integer),
            column("selects_after", Integer),
            column("paused_by", Integer),
            column("orphaned", Flag),
            column("replay_of", Integer),
            column("replay_until", Integer),
            column("replay_rate", Integer),
            column("replay_filter", Text),
        ],
    },
    Table { name: "drained", key: "plugin", columns: &[column("plugin", Text)] },
    Table {
        name: "pending",
        key: "subscription, position",
        columns: &[
            column("subscription", Integer),
            column("position", Integer),
            column("key", AnyText),
            column("attempts", Integer),
            column("due", Integer),
            column("replayed", Integer),
            column("history", Text),
            column("edited", Bytes),
            column("redriven_at", Integer),
        ],
    },
    Table {
        name: "dead_letters",
        key: "number",
        columns: &[
            column("number", Integer),
            column("subscription", Integer),
            column("position", Integer),
            column("key", AnyText),
            column("parks", Flag),
            column("replay", Flag),
            column("cause", Text),
            column("reason", AnyText),
            column("attempts", Integer),
            column("history", Text),
            column("dead_at", Integer),
            column("edited", Bytes),
        ],
    },
    Table {
        name: "group_marks",
        key: "number",
        columns: &[
            column("number", Integer),
            column("subscription", Integer),
            column("cause", Text),
            column("signature", AnyText),
            column("digest", Text),
            column("status", Integer),
            column("since", Integer),
            column("set_by", Text),
            column("newest", Integer),
        ],
    },
    Table {
        name: "state",
        key: "plugin, key",
        columns: &[
            column("plugin", Text),
            column("key", AnyText),
            column("value", Bytes),
            column("version", Integer),
            column("made", Integer),
        ],
    },
    Table {
        name: "sequences",
        key: "plugin, name",
        columns: &[column("plugin", Text), column("name", AnyText), column("next", Integer)],
    },
    Table { name: "publishers", key: "plugin", columns: &[column("plugin", Text), column("bytes", Integer)] },
    Table {
        name: "holds",
        key: "endpoint",
        columns: &[column("endpoint", Text), column("until", Integer), column("reason", AnyText)],
    },
];
