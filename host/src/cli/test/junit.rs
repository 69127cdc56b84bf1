//! Writes results as JUnit XML, which CI systems read.
//!
//! There is no standard. The elements and attributes are those that the common readers share.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;

use super::FileResult;
use super::plugins::BuildError;
use crate::projects::display_path;

/// A test suite: the scenarios of a file, or the reason why no scenario was run.
struct Suite {
    name: String,
    file: Option<String>,
    cases: Vec<Case>,
}

/// A test case: a scenario, or a build.
struct Case {
    class: String,
    name: String,
    took: Duration,
    problem: Option<Problem>,
    /// The log lines of plugins.
    output: String,
}

/// Why a test case did not pass.
struct Problem {
    /// `failure` for an expectation that was not met, `error` if the test could not run.
    element: &'static str,
    message: String,
    text: String,
}

/// Writes results, or the error that prevented them, to a file.
pub(super) fn write(path: &Path, results: &anyhow::Result<Vec<FileResult>>) -> anyhow::Result<()> {
    let suites = match results {
        Ok(results) => results.iter().map(suite_of).collect(),
        Err(error) => vec![suite_of_error(error)],
    };
    let written = match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder),
        None => Ok(()),
    };
    let written = written.and_then(|()| std::fs::write(path, to_xml(&suites)));
    written.with_context(|| format!("cannot write the JUnit report to {}", path.display()))
}

fn suite_of(result: &FileResult) -> Suite {
    let (plugins, file) = (result.plugins.join(", "), display_path(&result.file));
    let case = |report: &crate::scenario::ScenarioReport| Case {
        class: plugins.clone(),
        name: report.name.clone(),
        took: report.took,
        problem: report.failures.first().map(|first| Problem {
            element: if report.completed { "failure" } else { "error" },
            message: first.clone(),
            text: report.failures.join("\n"),
        }),
        output: report.logs.join("\n"),
    };
    Suite { name: format!("{plugins}: {file}"), cases: result.reports.iter().map(case).collect(), file: Some(file) }
}

fn suite_of_error(error: &anyhow::Error) -> Suite {
    let case = |name: &str, message: String, text: String| Case {
        class: "sandbus test".to_owned(),
        name: name.to_owned(),
        took: Duration::ZERO,
        problem: Some(Problem { element: "error", message, text }),
        output: String::new(),
    };
    let cases = match error.downcast_ref::<BuildError>() {
        Some(BuildError { failed, messages }) => {
            let text = messages.join("\n");
            failed
                .iter()
                .map(|name| case(&format!("build {name}"), "the build failed".to_owned(), text.clone()))
                .collect()
        }
        None => vec![case("run", error.to_string(), format!("{error:#}"))],
    };
    Suite { name: "sandbus test".to_owned(), file: None, cases }
}

fn to_xml(suites: &[Suite]) -> String {
    let mut xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    let all = || suites.iter().flat_map(|suite| &suite.cases);
    element(&mut xml, "<testsuites", &[("name", "sandbus test")], Some(&totals(all())));
    for suite in suites {
        let file = suite.file.as_deref().map(|file| ("file", file));
        let attributes: Vec<_> = [("name", suite.name.as_str())].into_iter().chain(file).collect();
        element(&mut xml, "  <testsuite", &attributes, Some(&totals(suite.cases.iter())));
        suite.cases.iter().for_each(|case| put_case(&mut xml, case, suite.file.as_deref()));
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn put_case(xml: &mut String, case: &Case, file: Option<&str>) {
    let time = seconds(case.took);
    let mut attributes = vec![("classname", case.class.as_str()), ("name", &case.name), ("time", &time)];
    attributes.extend(file.map(|file| ("file", file)));
    element(xml, "    <testcase", &attributes, None);
    if let Some(Problem { element: name, message, text }) = &case.problem {
        let (message, text) = (escape(message), escape_text(text));
        // Writing to a string cannot fail.
        let _ = writeln!(xml, "      <{name} message=\"{message}\">{text}</{name}>");
    }
    if !case.output.is_empty() {
        let _ = writeln!(xml, "      <system-out>{}</system-out>", escape_text(&case.output));
    }
    xml.push_str("    </testcase>\n");
}

/// The attributes that count test cases.
fn totals<'a>(cases: impl Iterator<Item = &'a Case>) -> [(&'static str, String); 4] {
    let (mut tests, mut failures, mut errors, mut took) = (0_usize, 0_usize, 0_usize, Duration::ZERO);
    for case in cases {
        tests += 1;
        took += case.took;
        match &case.problem {
            Some(problem) if problem.element == "failure" => failures += 1,
            Some(_) => errors += 1,
            None => {}
        }
    }
    let [tests, failures, errors] = [tests, failures, errors].map(|count| count.to_string());
    [("tests", tests), ("failures", failures), ("errors", errors), ("time", seconds(took))]
}

fn seconds(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64())
}

fn element(xml: &mut String, start: &str, attributes: &[(&str, &str)], totals: Option<&[(&str, String)]>) {
    xml.push_str(start);
    let totals = totals.into_iter().flatten().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in attributes.iter().copied().chain(totals) {
        let _ = write!(xml, " {name}=\"{}\"", escape(value));
    }
    xml.push_str(">\n");
}

/// The value of an attribute. Readers turn line breaks and tabs in attributes into spaces, unless they are references.
fn escape(text: &str) -> String {
    escape_text(text).replace('\n', "&#10;").replace('\t', "&#9;")
}

/// Text with references for the characters that XML reserves. XML has no form for most control characters, so they are
/// replaced. Colours are omitted.
fn escape_text(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\r' => escaped.push_str("&#13;"),
            '\u{1b}' if rest.next_if_eq(&'[').is_some() => {
                // A control sequence ends with a letter.
                let _ = rest.by_ref().find(char::is_ascii_alphabetic);
            }
            '\n' | '\t' => escaped.push(character),
            '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_for_elements_and_attributes() {
        for (text, element, attribute) in [
            (
                "a < b && \"c\" > 'd'",
                "a &lt; b &amp;&amp; &quot;c&quot; &gt; 'd'",
                "a &lt; b &amp;&amp; &quot;c&quot; &gt; 'd'",
            ),
            ("]]>", "]]&gt;", "]]&gt;"),
            ("a\n\tb", "a\n\tb", "a&#10;&#9;b"),
            ("a\r\n", "a&#13;\n", "a&#13;&#10;"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red", "red"),
            ("\0\u{1b}\u{8}\u{ffff}", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
            ("é 🎉", "é 🎉", "é 🎉"),
        ] {
            assert_eq!((escape_text(text).as_str(), escape(text).as_str()), (element, attribute), "{text:?}");
        }
    }
}
