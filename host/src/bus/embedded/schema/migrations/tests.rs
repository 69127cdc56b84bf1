use std::path::PathBuf;

use super::super::{MIGRATIONS, add_functions};
use super::*;
use crate::bus::StoreErrorKind;

const NOW: Timestamp = Timestamp(1_900_000_000_123);

/// Data that a step must not lose.
const VALUE: &str = "SELECT value FROM state WHERE plugin = 'p' AND key = 'k'";

/// A store of the first version, and its directory.
struct Old {
    connection: Connection,
    directory: tempfile::TempDir,
}

impl Old {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let connection = open(&directory.path().join("bus.db"));
        connection.execute_batch(FIRST_TABLES).unwrap();
        let state = "INSERT INTO state VALUES ('p', 'k', x'31', 7, 7, checksum('p', 'k', x'31', 7, 7))";
        connection.execute(state, []).unwrap();
        connection.pragma_update(None, "user_version", FIRST).unwrap();
        Self { connection, directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("bus.db")
    }

    fn migrate(&mut self, migrations: &[Migration]) -> Result<(), StoreError> {
        let path = self.path();
        migrate(&mut self.connection, &path, migrations, NOW)
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name.starts_with("backup") && name.ends_with(".db")).collect();
        names.sort();
        names
    }
}

fn open(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    add_functions(&connection).unwrap();
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0").unwrap();
    connection
}

fn value(connection: &Connection) -> Vec<u8> {
    connection.query_row(VALUE, [], |row| row.get(0)).unwrap()
}

fn tables(connection: &Connection) -> Vec<(String, Option<String>)> {
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// A step that fails after it has changed something.
const FAILS: Migration =
    Migration { subject: "nothing that works", sql: "DELETE FROM state; INSERT INTO nowhere VALUES (1)", summed: &[] };

#[test]
fn an_older_store_is_backed_up_and_brought_up_to_date() {
    let mut old = Old::new();
    old.migrate(MIGRATIONS).unwrap();
    assert_eq!(version(&old.connection).unwrap(), newest(MIGRATIONS));
    assert_eq!(value(&old.connection), b"1");
    assert_eq!(writer(&old.connection, newest(MIGRATIONS)).as_deref(), Some(OWN));
    integrity::check_store(&old.connection, &summed(MIGRATIONS, newest(MIGRATIONS))).unwrap();

    assert_eq!(old.files(), ["backup-2-20300317T174640.123Z.db"]);
    let backup = open(&old.directory.path().join(&old.files()[0]));
    assert_eq!(version(&backup).unwrap(), FIRST);
    assert_eq!(value(&backup), b"1");
    integrity::check_store(&backup, &summed(MIGRATIONS, FIRST)).unwrap();

    old.migrate(MIGRATIONS).unwrap();
    assert_eq!(old.files().len(), 1, "what is up to date needs no backup");
}

#[test]
fn a_new_store_and_one_that_was_brought_up_to_date_have_the_same_tables() {
    let mut old = Old::new();
    old.migrate(MIGRATIONS).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bus.db");
    let mut new = open(&path);
    migrate(&mut new, &path, MIGRATIONS, NOW).unwrap();
    assert_eq!(tables(&new), tables(&old.connection));
    assert_eq!(version(&new).unwrap(), newest(MIGRATIONS));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3, "the store, its log and the log's index");
}

#[test]
fn sums_cover_what_the_code_writes() {
    let summed = summed(MIGRATIONS, newest(MIGRATIONS));
    for (table, columns) in [
        ("subscriptions", super::super::SUBSCRIPTION_SUMMED),
        ("dead_letters", super::super::DEAD_LETTER_SUMMED),
        ("pending", super::super::PENDING_SUMMED),
        ("group_marks", super::super::GROUP_MARK_SUMMED),
    ] {
        assert_eq!(summed[table], columns, "{table}");
    }
}

#[test]
fn a_step_that_fails_leaves_the_store_as_it_was() {
    let mut old = Old::new();
    let before = tables(&old.connection);
    let migrations: Vec<_> = MIGRATIONS.iter().copied().chain([FAILS]).collect();
    let error = old.migrate(&migrations).unwrap_err().to_string();
    assert!(error.contains("nowhere"), "{error}");
    assert_eq!((version(&old.connection).unwrap(), tables(&old.connection)), (FIRST, before));
    assert_eq!(value(&old.connection), b"1");
    assert!(old.files().is_empty());
    old.migrate(MIGRATIONS).unwrap();
}

/// A process that is killed leaves the files as they are at that moment.
#[test]
fn a_process_that_ends_within_a_step_leaves_the_old_store() {
    let old = Old::new();
    // All pages that change go to the log at once, as those of a large store do.
    old.connection.execute_batch("PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN").unwrap();
    old.connection.execute("DELETE FROM state", []).unwrap();
    for migration in MIGRATIONS {
        old.connection.execute_batch(migration.sql).unwrap();
    }
    let copy = tempfile::tempdir().unwrap();
    for name in ["bus.db", "bus.db-wal"] {
        std::fs::copy(old.directory.path().join(name), copy.path().join(name)).unwrap();
    }
    let path = copy.path().join("bus.db");
    integrity::check_wal(&path).unwrap();
    let mut again = open(&path);
    assert_eq!((version(&again).unwrap(), value(&again)), (FIRST, b"1".to_vec()));
    migrate(&mut again, &path, MIGRATIONS, NOW).unwrap();
    assert_eq!((version(&again).unwrap(), value(&again)), (newest(MIGRATIONS), b"1".to_vec()));
}

#[test]
fn a_start_that_was_killed_leaves_one_backup_and_no_parts() {
    let mut old = Old::new();
    std::fs::write(old.directory.path().join("backup-2-20300101T000000.000Z.partial"), "cut off").unwrap();
    let made = backup::make(&old.connection, &old.path(), FIRST, Timestamp(5)).unwrap();
    old.migrate(MIGRATIONS).unwrap();
    assert_eq!(old.files(), [made.file_name().unwrap().to_str().unwrap()]);
    let entries = std::fs::read_dir(old.directory.path()).unwrap();
    assert!(
        entries.map(|entry| entry.unwrap().path()).all(|path| path.extension().is_none_or(|kind| kind != "partial"))
    );
}

#[test]
fn a_backup_of_an_earlier_run_is_not_taken_for_the_present_one() {
    let mut old = Old::new();
    let made = backup::make(&old.connection, &old.path(), FIRST, Timestamp(5)).unwrap();
    old.connection.execute("UPDATE runs SET number = 1, sum = checksum(1)", []).unwrap();
    old.migrate(MIGRATIONS).unwrap();
    assert_eq!(old.files().len(), 2, "{}", made.display());
}

#[test]
fn a_damaged_store_is_neither_copied_nor_changed() {
    let mut old = Old::new();
    old.connection.execute("UPDATE state SET value = x'32'", []).unwrap();
    assert!(old.migrate(MIGRATIONS).unwrap_err().kind() == StoreErrorKind::Damaged);
    assert_eq!(version(&old.connection).unwrap(), FIRST);
    assert!(old.files().is_empty());
}

#[test]
fn a_backup_that_cannot_be_written_stops_the_change() {
    let mut old = Old::new();
    std::fs::create_dir(old.directory.path().join("backup-2-20300317T174640.123Z.partial")).unwrap();
    let error = old.migrate(MIGRATIONS).unwrap_err().to_string();
    assert!(error.contains("backup-2-") && error.contains("nothing has been changed"), "{error}");
    assert_eq!(version(&old.connection).unwrap(), FIRST);
}

#[test]
fn a_newer_store_is_refused_with_its_writer_and_the_backup_to_restore() {
    let mut old = Old::new();
    old.migrate(MIGRATIONS).unwrap();
    let newer = newest(MIGRATIONS) + 1;
    old.connection.execute("INSERT INTO writers VALUES (?1, '7.8.9', checksum(?1, '7.8.9'))", [newer]).unwrap();
    old.connection.pragma_update(None, "user_version", newer).unwrap();
    let refused = check(&old.connection, &old.path(), MIGRATIONS).unwrap_err().to_string();
    for part in ["written by Sandbus 7.8.9", "run Sandbus 7.8.9 or newer", &old.files()[0]] {
        assert!(refused.contains(part), "{refused}");
    }
}

#[test]
fn no_message_tells_anyone_to_give_data_up() {
    let errors = [
        EmbeddedError::Newer { found: 9, newest: 3, own: OWN, writer: None, backup: None },
        EmbeddedError::Older { found: 1, first: FIRST, own: OWN },
        EmbeddedError::NoSpaceForBackup { needed: 2, free: 1 },
        EmbeddedError::Damaged("a row".to_owned()),
    ];
    for error in errors.map(|error| error.to_string()) {
        for word in ["new data directory", "delete", "discard", "remove", "begin anew"] {
            assert!(!error.contains(word), "{error}");
        }
    }
}
