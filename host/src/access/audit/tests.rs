use super::*;

const NOW: Timestamp = Timestamp(1_893_456_000_000);

fn append(log: &AuditLog, operation: &str) -> String {
    let request = "POST /v1/plugins/mailer/drain";
    log.append(NOW, "token 12345678", operation, request, AuditOutcome::Begun).unwrap().1
}

fn lines(data: &Path) -> Vec<PathBuf> {
    Segments::of(&data.join(DIRECTORY)).unwrap().oldest_first().map(Path::to_owned).collect()
}

#[test]
fn entries_are_chained_over_restarts() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(verify(data.path(), None).unwrap(), None);
    let log = AuditLog::open(data.path(), u64::MAX).unwrap();
    let first = append(&log, "drain_plugin");
    drop(log);
    let log = AuditLog::open(data.path(), u64::MAX).unwrap();
    let ended = AuditOutcome::Ended { begun: 1, status: 200 };
    let (entry, head) = log.append(NOW, "loopback", "drain_plugin", "POST /x", ended).unwrap();
    assert_eq!((entry.sequence, entry.outcome), (2, ended));
    let chain = Chain { entries: 2, first: 1, last: 2, head: head.clone() };
    assert_eq!(verify(data.path(), Some(&first)).unwrap(), Some(chain));
    assert!(matches!(verify(data.path(), Some("00ff")), Err(ChainFault::Missing(_))));
    let read = log.read(None, 10).unwrap().entries;
    assert_eq!(read.iter().map(|(entry, _)| entry.sequence).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(read[0].1, head);
    assert_eq!(log.read(Some(2), 10).unwrap().entries.len(), 1);
    assert_eq!(log.read(None, 1).unwrap().entries.len(), 1);
}

#[test]
fn every_change_of_the_file_is_found() {
    let data = tempfile::tempdir().unwrap();
    let log = AuditLog::open(data.path(), u64::MAX).unwrap();
    let hashes: Vec<_> = ["a", "b", "c", "d"].iter().map(|operation| append(&log, operation)).collect();
    let path = lines(data.path()).remove(0);
    let text = std::fs::read_to_string(&path).unwrap();
    let all: Vec<_> = text.lines().collect();
    let write =
        |lines: &[&str]| std::fs::write(&path, lines.iter().map(|line| format!("{line}\n")).collect::<String>());
    let fault = |lines: &[&str]| {
        write(lines).unwrap();
        verify(data.path(), Some(&hashes[3])).unwrap_err()
    };
    // A changed entry, also with a hash that fits it.
    let changed = all[1].replace("\"b\"", "\"x\"");
    assert!(matches!(fault(&[all[0], &changed, all[2], all[3]]), ChainFault::Changed { sequence: 2, line: 2, .. }));
    let (mut entry, _) = Link::parse(all[1]).unwrap().entry().unwrap();
    entry.operation = "x".to_owned();
    let forged = String::from_utf8(Link::new(&entry, &hashes[0]).line()).unwrap();
    assert!(matches!(fault(&[all[0], forged.trim(), all[2], all[3]]), ChainFault::Broken { sequence: 3, .. }));
    // Missing, exchanged and repeated entries.
    assert!(matches!(fault(&[all[0], all[2], all[3]]), ChainFault::Broken { sequence: 3, .. }));
    assert!(matches!(fault(&[all[1], all[0], all[2], all[3]]), ChainFault::Broken { sequence: 2, .. }));
    assert!(matches!(fault(&[all[0], all[0], all[1]]), ChainFault::Broken { sequence: 1, line: 2, .. }));
    // The end is missing: only the expected hash tells.
    assert!(matches!(fault(&all[..3]), ChainFault::Missing(_)));
    write(&all[..3]).unwrap();
    assert_eq!(verify(data.path(), None).unwrap().unwrap().last, 3);
    assert!(matches!(fault(&[all[0], "{}"]), ChainFault::Malformed { line: 2, .. }));
    write(&all).unwrap();
    assert_eq!(verify(data.path(), Some(&hashes[3])).unwrap().unwrap().last, 4);
}

#[test]
fn an_entry_that_was_cut_off_is_removed() {
    let data = tempfile::tempdir().unwrap();
    let log = AuditLog::open(data.path(), u64::MAX).unwrap();
    append(&log, "a");
    append(&log, "b");
    drop(log);
    let path = lines(data.path()).remove(0);
    let whole = std::fs::read(&path).unwrap();
    let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for length in first..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let log = AuditLog::open(data.path(), u64::MAX).unwrap();
        append(&log, "c");
        assert_eq!(verify(data.path(), None).unwrap().unwrap().last, 2, "cut to {length} bytes");
    }
}

#[test]
fn old_files_are_deleted_and_the_rest_is_still_a_chain() {
    let data = tempfile::tempdir().unwrap();
    let log = AuditLog::open(data.path(), MAX_FILE_BYTES).unwrap();
    let request = "x".repeat(1 << 20);
    for _ in 0..50 {
        log.append(NOW, "a", "b", &request, AuditOutcome::Begun).unwrap();
    }
    let files = lines(data.path());
    assert!(files.len() <= 3, "{files:?}");
    let chain = verify(data.path(), None).unwrap().unwrap();
    assert!(chain.first > 1 && chain.last == 50, "{chain:?}");
    drop(log);
    let log = AuditLog::open(data.path(), MAX_FILE_BYTES).unwrap();
    append(&log, "c");
    assert_eq!(verify(data.path(), None).unwrap().unwrap().last, 51);
}

#[test]
fn a_file_without_an_entry_continues_the_chain() {
    for torn in ["", "{\"previous\":\"abc"] {
        let data = tempfile::tempdir().unwrap();
        let log = AuditLog::open(data.path(), u64::MAX).unwrap();
        append(&log, "a");
        append(&log, "b");
        drop(log);
        // The host was killed after it had created the next file.
        std::fs::write(data.path().join("audit/00000000000000000003.jsonl"), torn).unwrap();
        let log = AuditLog::open(data.path(), u64::MAX).unwrap();
        append(&log, "c");
        let chain = verify(data.path(), None).unwrap().unwrap();
        assert_eq!((chain.entries, chain.first, chain.last), (3, 1, 3), "{torn}");
    }
}

#[test]
fn a_cut_beginning_is_found() {
    let data = tempfile::tempdir().unwrap();
    let log = AuditLog::open(data.path(), u64::MAX).unwrap();
    ["a", "b", "c"].iter().for_each(|operation| drop(append(&log, operation)));
    let path = lines(data.path()).remove(0);
    let text = std::fs::read_to_string(&path).unwrap();
    let rest: String = text.lines().skip(1).map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, rest).unwrap();
    assert!(matches!(verify(data.path(), None), Err(ChainFault::Broken { sequence: 2, line: 1, .. })));
    let first = Link::new(&Link::parse(text.lines().nth(1).unwrap()).unwrap().entry().unwrap().0, ZERO).line();
    std::fs::write(&path, first).unwrap();
    assert!(matches!(verify(data.path(), None), Err(ChainFault::Broken { sequence: 2, .. })));
    std::fs::write(&path, b"\xff\n").unwrap();
    assert!(matches!(verify(data.path(), None), Err(ChainFault::Malformed { line: 1, .. })));
}

#[test]
fn entries_go_where_they_are_found() {
    let data = tempfile::tempdir().unwrap();
    let log = AuditLog::open(data.path(), u64::MAX).unwrap();
    append(&log, "a");
    std::fs::remove_dir_all(data.path().join(DIRECTORY)).unwrap();
    append(&log, "b");
    let chain = verify(data.path(), None).unwrap().unwrap();
    assert_eq!((chain.first, chain.last), (2, 2), "the missing entry shows");
}
