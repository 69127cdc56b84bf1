//! **developing**: what a developer waits for, in each language that has an SDK: new, dev, a mistake, an edit that is
//! swapped in, build, test, canary, swap, rollback. Each is done once and by the binary, as a person does it; the
//! language's tools are installed before, and what cargo has compiled for another project is not used.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sandbus_tests::languages::run as succeed;
use sandbus_tests::{Host, Setup, binary, eventually, put};
use serde_json::json;

/// How many events there are for the canary.
const HISTORY: u32 = 50;

struct Language {
    name: &'static str,
    source: &'static str,
}

const LANGUAGES: [Language; 4] = [
    Language { name: "rust", source: "src/lib.rs" },
    Language { name: "js", source: "src/plugin.js" },
    Language { name: "ts", source: "src/plugin.ts" },
    Language { name: "python", source: "src/greeter.py" },
];

pub(crate) fn run() {
    println!("**developing: seconds**\n");
    let columns = LANGUAGES.map(|language| Developer::new(language).develops());
    println!("| step | {} |", LANGUAGES.map(|language| language.name).join(" | "));
    println!("|---|{}", "---:|".repeat(LANGUAGES.len()));
    for (row, (step, _)) in columns[0].iter().enumerate() {
        let times = columns.each_ref().map(|column| format!("{:.2}", column[row].1.as_secs_f64()));
        println!("| {step} | {} |", times.join(" | "));
    }
}

struct Developer {
    language: Language,
    home: tempfile::TempDir,
    times: Vec<(&'static str, Duration)>,
}

impl Developer {
    fn new(language: Language) -> Self {
        Self { language, home: tempfile::tempdir().expect("a directory for the project"), times: Vec::new() }
    }

    fn develops(mut self) -> Vec<(&'static str, Duration)> {
        let name = self.language.name;
        let new = ["new", "greeter", "--lang", name, "--on", "user.registered", "--route", "GET /greeted"];
        self.timed("new", |it| succeed(it.sandbus(&new).current_dir(it.home.path())));
        let original = std::fs::read_to_string(self.source()).expect("the project has its source");

        let host = self.timed("dev, until it runs", |it| {
            let host = Setup::new().develop_project(&it.project());
            let _ = digest(&host);
            host
        });
        handles(&host, "handling");
        self.timed("a mistake is saved, until it is shown", |it| {
            let said = host.log().len();
            it.save(&format!("{original}\n("));
            let file = Path::new(it.language.source).file_name().expect("it is a file").to_string_lossy();
            eventually("the mistake is shown", || host.log()[said..].contains(&*file).then_some(()));
        });
        self.timed("an edit is saved, until an event is handled by it", |it| {
            let former = digest(&host);
            it.save(&original.replace("handling", "greeting"));
            eventually("it is swapped in", || (digest(&host) != former).then_some(()));
            handles(&host, "greeting");
        });
        drop(host);

        self.timed("build", |it| succeed(it.sandbus(&["build"]).current_dir(it.project())));
        self.timed("test", |it| succeed(it.sandbus(&["test"]).current_dir(it.project())));

        let setup = Setup::new();
        std::fs::copy(self.component(), setup.path().join("plugins/greeter.wasm")).expect("the disk has room");
        let host = setup.start_measured();
        for _ in 0..HISTORY {
            publish(&host);
        }
        host.wait_until_idle();
        self.save(&original.replace("handling", "caring for"));
        self.timed("build, after another edit", |it| succeed(it.sandbus(&["build"]).current_dir(it.project())));
        self.timed("canary over the last 50 events", |it| {
            let component = it.component();
            succeed(it.sandbus(&["canary", "--events", "50"]).arg(component).env("SANDBUS_ADMIN", host.admin_url("")));
        });
        let former = digest(&host);
        self.timed("the file is dropped in, until an event is handled by it", |it| {
            put(&host.file("greeter.wasm"), &std::fs::read(it.component()).expect("it was built"));
            eventually("it is swapped in", || (digest(&host) != former).then_some(()));
            handles(&host, "caring for");
        });
        self.timed("rollback", |it| {
            succeed(it.sandbus(&["rollback", "greeter"]).env("SANDBUS_ADMIN", host.admin_url("")));
            eventually("the former one runs", || (digest(&host) == former).then_some(()));
        });
        handles(&host, "greeting");
        self.times
    }

    fn timed<T>(&mut self, step: &'static str, does: impl FnOnce(&Self) -> T) -> T {
        let started = Instant::now();
        let done = does(self);
        self.times.push((step, started.elapsed()));
        done
    }

    fn sandbus(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments);
        command
    }

    fn project(&self) -> PathBuf {
        self.home.path().join("greeter")
    }

    fn source(&self) -> PathBuf {
        self.project().join(self.language.source)
    }

    fn component(&self) -> PathBuf {
        self.project().join("dist/greeter.wasm")
    }

    fn save(&self, text: &str) {
        std::fs::write(self.source(), text).expect("the disk has room");
    }
}

/// What runs.
fn digest(host: &Host) -> String {
    eventually("the plugin runs", || {
        host.plugin("greeter.wasm").and_then(|plugin| plugin["digest"].as_str().map(str::to_owned))
    })
}

fn publish(host: &Host) -> String {
    let id = format!("{:x}", fastrand::u128(..));
    assert_eq!(host.publish("user.registered", &id, json!({ "name": "Ada" })).status, 202);
    id
}

/// Publishes an event, and waits until the plugin says that it does so with it.
fn handles(host: &Host, what: &str) {
    let _ = host.wait_for_log(&[what, &publish(host)]);
}
