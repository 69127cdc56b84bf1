//! `docs/errors.md`, which a test compares with the table.

use std::fmt::Write as _;

use super::{Kind, Section, statuses};

const HEAD: &str = "# Error codes

`sandbus explain CODE` prints the entries for a code. Without a code, it lists all codes.

```console no-run
$ sandbus explain backlog-full
backlog-full (response with status 429)
...
```

Every error response has the type `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), a
stable `code` and a `detail` for people. An error response means that the host has stored nothing, with five exceptions.
After `in-doubt`, the event may be stored. After `no-reply` and `malformed-reply`, it is stored. After `stopping`, it is
stored if the response contains its id. After `no-response`, the handler may still commit its effects.

A failed attempt and a dead letter have a cause. `sandbus why` prints the reasons why a delivery waits.

A test generates this page from the table in `host/src/cli/explain`.
";

/// The text of the page.
pub(super) fn write(sections: &[Section]) -> String {
    let mut page = HEAD.to_owned();
    for section in sections {
        let has_status = section.entries.iter().any(|entry| entry.kind == Kind::Response);
        let _ = write!(page, "\n## {}\n\n", section.title);
        page += match has_status {
            true => "| Code | Status | Meaning | Usual cause | What to do |\n| --- | ---: | --- | --- | --- |\n",
            false => "| Code | Meaning | Usual cause | What to do |\n| --- | --- | --- | --- |\n",
        };
        for entry in &section.entries {
            let status = if has_status { format!(" {} |", statuses(entry)) } else { String::new() };
            let (code, meaning, cause, remedy) = (entry.code, entry.meaning, entry.cause, entry.remedy);
            let _ = writeln!(page, "| `{code}` |{status} {meaning} | {cause} | {remedy} |");
        }
    }
    page
}
