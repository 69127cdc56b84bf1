//! **reloading**: from a saved file in `sandbus dev` to the first response of the new code, seen from outside. Scripts run
//! on the prepared runtime, and as the components that `sandbus build` makes of them.

use std::path::PathBuf;
use std::time::Instant;

use sandbus_tests::languages::run as succeed;
use sandbus_tests::measure::{Goal, Report, Samples};
use sandbus_tests::{Host, Setup, binary, eventually};

const SAVES: usize = 20;
/// A snapshot takes seconds.
const SAVES_OF_SNAPSHOTS: usize = 5;

/// A project of a language.
struct Language {
    name: &'static str,
    source: &'static str,
    text: &'static str,
    /// What to add to the manifest, so that each build makes a snapshot.
    snapshot: Option<(&'static str, &'static str, &'static str)>,
    /// The most milliseconds that a save may take.
    goal: f64,
}

const PACKAGE: Option<(&str, &str, &str)> =
    Some(("package.json", "\"private\": true", "\"private\": true, \"sandbus\": { \"prepared\": false }"));

const LANGUAGES: [Language; 4] = [
    Language {
        name: "js",
        source: "src/plugin.js",
        text: "import { plugin } from \"@sandbus/sdk\";\nexport default plugin().route(\"GET /answer\", () => ({ json: \"ANSWER\" }));\n",
        snapshot: PACKAGE,
        goal: 300.0,
    },
    Language {
        name: "ts",
        source: "src/plugin.ts",
        text: "import { plugin } from \"@sandbus/sdk\";\nconst answer: string = \"ANSWER\";\nexport default plugin().route(\"GET /answer\", () => ({ json: answer }));\n",
        snapshot: PACKAGE,
        goal: 300.0,
    },
    Language {
        name: "python",
        source: "src/greeter.py",
        text: "from sandbus import Plugin\n\nplugin = Plugin()\n\n\n@plugin.route(\"GET /answer\")\ndef answer(request):\n    return {\"answer\": \"ANSWER\"}\n",
        snapshot: Some(("pyproject.toml", "[project]", "[tool.sandbus]\nprepared = false\n\n[project]")),
        goal: 500.0,
    },
    Language {
        name: "rust",
        source: "src/lib.rs",
        text: "use sandbus_sdk::prelude::*;\n\n#[route(GET, \"/answer\")]\nfn answer() -> Result<Json<String>, Problem> {\n    Ok(Json(\"ANSWER\".to_owned()))\n}\n\nplugin! { handlers: [], routes: [answer] }\n",
        snapshot: None,
        goal: 500.0,
    },
];

pub(crate) fn run() {
    let mut report =
        Report::new(format!("reloading: saved to answered, {SAVES} saves ({SAVES_OF_SNAPSHOTS} of snapshots), ms"));
    for language in &LANGUAGES {
        report.goal(language.name, &measure(language, SAVES, false), Goal::AtMost(language.goal));
        if language.snapshot.is_some() {
            let snapshots = measure(language, SAVES_OF_SNAPSHOTS, true);
            report.figure(&format!("{}, as a snapshot", language.name), &snapshots);
        }
    }
    println!("{report}");
}

fn measure(language: &Language, saves: usize, as_snapshot: bool) -> Samples {
    let home = tempfile::tempdir().expect("a directory for the project");
    let mut new = std::process::Command::new(binary());
    new.args(["new", "greeter", "--lang", language.name, "--route", "GET /answer"]).current_dir(home.path());
    succeed(&mut new);
    let project = home.path().join("greeter");
    if let Some((manifest, from, to)) = language.snapshot.filter(|_| as_snapshot) {
        let path = project.join(manifest);
        let text = std::fs::read_to_string(&path).expect("the project has a manifest");
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replacen(from, to, 1)).expect("the disk has room");
    }
    let source = project.join(language.source);
    save(&source, language, "first");
    let host = Setup::new().develop_project(&project);
    answers(&host, "first");
    let mut times = Samples::default();
    for number in 0..saves {
        let answer = format!("answer {number}");
        let began = Instant::now();
        save(&source, language, &answer);
        answers(&host, &answer);
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times
}

fn save(source: &PathBuf, language: &Language, answer: &str) {
    std::fs::write(source, language.text.replace("ANSWER", answer)).expect("the disk has room");
}

fn answers(host: &Host, expected: &str) {
    eventually("the new code answers", || {
        let answer = host.get("/answer");
        (answer.status == 200 && answer.body.contains(expected)).then_some(())
    });
}
