//! kill -9 at random moments: under load, during a swap, and during the first start.

use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;
use sandbus_tests::{guest, pause_for, put};

use crate::audit::{Findings, audit};
use crate::client_record::ClientRecord;
use crate::host::{Client, HostDirectory, HostProcess};
use crate::load::{Load, wait_for};
use crate::report::FaultReport;
use crate::run_options::RunOptions;

/// The number of kills per data directory. Each audit reads its whole log, so this is limited.
const PER_SITE: usize = 100;
/// The number of kills between two audits.
const PER_AUDIT: usize = 20;

pub(crate) fn run(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let mut rng = options.rng("kills");
    let mut report = FaultReport { rounds: options.rounds, ..FaultReport::default() };
    let (mut done, mut swaps, mut first_starts) = (0, 0, 0);
    while done < options.rounds {
        let host_dir = options.host_dir(&format!("kills-{done}"))?;
        let mut survivor = Survivor::start(&host_dir)?;
        for round in 0..PER_SITE.min(options.rounds - done) {
            match rng.u8(0..10) {
                0 => {
                    first_starts += 1;
                    first_start(options, &mut rng, &mut report)?;
                }
                1 => {
                    swaps += 1;
                    survivor.kill_during_swap(&mut rng, &mut report)?;
                }
                _ => survivor.kill_under_load(&mut rng, &mut report)?,
            }
            done += 1;
            if round % PER_AUDIT == PER_AUDIT - 1 {
                eprintln!("kills: {done} of {}", options.rounds);
                survivor.audit(&mut report)?;
            }
        }
        let Findings { counts, problems } = survivor.audit(&mut report)?;
        report.add(counts, problems);
        drop(survivor);
        host_dir.remove()?;
    }
    report.note = format!("{swaps} during swaps, {first_starts} during first starts");
    Ok(report)
}

/// A data directory that survives many kills, with the host that runs on it.
struct Survivor<'a> {
    host_dir: &'a HostDirectory,
    node: HostProcess,
    client_record: ClientRecord,
}

impl<'a> Survivor<'a> {
    fn start(host_dir: &'a HostDirectory) -> anyhow::Result<Self> {
        Ok(Self { host_dir, node: host_dir.start()?, client_record: ClientRecord::default() })
    }

    fn kill_under_load(&mut self, rng: &mut Rng, report: &mut FaultReport) -> anyhow::Result<()> {
        let (target, seed) = (self.node.target.clone(), rng.u64(..));
        let goal = self.client_record.acknowledged() + rng.u64(1..60);
        let delay = Duration::from_micros(rng.u64(0..60_000));
        let by_count = rng.bool();
        Load::mixed(&target, &self.client_record, seed).during(&|| 0, || {
            if by_count {
                wait_for(&self.client_record, goal, Duration::from_secs(5));
            } else {
                pause_for(delay);
            }
            self.node.kill();
        });
        self.restart(report)
    }

    /// Replaces a plugin's file, in place or by renaming, and kills the host at a moment between the detection of the
    /// new file and the end of the swap.
    fn kill_during_swap(&mut self, rng: &mut Rng, report: &mut FaultReport) -> anyhow::Result<()> {
        let (target, seed) = (self.node.target.clone(), rng.u64(..));
        let name = ["ledger", "ordered", "registration-handler"][rng.usize(0..3)];
        let (path, bytes) = (self.host_dir.plugin(&format!("{name}.wasm")), variant(name, rng.u8(0..3)));
        let in_place = rng.bool();
        let delay = Duration::from_micros(rng.u64(0..300_000));
        let written = Load::mixed(&target, &self.client_record, seed).during(&|| 0, || {
            thread::scope(|scope| {
                let swap = scope.spawn(|| {
                    if in_place {
                        std::fs::write(&path, &bytes)
                    } else {
                        put(&path, &bytes);
                        Ok(())
                    }
                });
                pause_for(delay);
                self.node.kill();
                swap.join()
            })
        });
        written.ok().context("the swapping thread panicked")??;
        self.restart(report)
    }

    fn restart(&mut self, report: &mut FaultReport) -> anyhow::Result<()> {
        self.node = self.host_dir.start()?;
        report.recovery.push(self.node.started_in());
        self.check_quickly(&self.node.target.client(), report)
    }

    /// A quick check that is possible at any moment: nothing was handled twice or out of order, and the events that
    /// were acknowledged last, which are most at risk, are in the log.
    fn check_quickly(&self, client: &Client, report: &mut FaultReport) -> anyhow::Result<()> {
        let (ledger, ordered) = (client.get("/ledger")?, client.get("/ordered")?);
        report.check(ledger["repeated"] == 0, || format!("handled again: {ledger}"));
        report.check(ordered["out_of_order"] == 0, || format!("out of order: {ordered}"));
        let traffic = self.client_record.traffic();
        let sent = traffic.sent.len() as u64;
        report
            .check(ledger["booked"].as_u64().is_some_and(|booked| booked <= sent), || format!("{sent} sent: {ledger}"));
        let last: Vec<_> = traffic.acknowledged.iter().rev().take(4).map(|one| one.id.clone()).collect();
        drop(traffic);
        for id in last {
            let found = client.admin(&format!("/events/{id}"));
            report.check(found.is_ok(), || format!("{id} was acknowledged and is gone: {found:?}"));
        }
        Ok(())
    }

    /// A full audit. Its problems are always reported, and its counts only the last time.
    fn audit(&self, report: &mut FaultReport) -> anyhow::Result<Findings> {
        let findings = audit(&self.node.target.client(), &self.client_record, u64::MAX)?;
        report.problems.extend(findings.problems.iter().cloned());
        Ok(Findings { problems: Vec::new(), ..findings })
    }
}

/// Kills a host during its first start on a directory, at a random moment. The next host must be able to start there.
fn first_start(options: &RunOptions, rng: &mut Rng, report: &mut FaultReport) -> anyhow::Result<()> {
    let host_dir = options.host_dir("first-start")?;
    let starting = host_dir.launch().spawn();
    pause_for(Duration::from_micros(rng.u64(0..30_000)));
    starting.kill();
    let node = host_dir.start()?;
    report.recovery.push(node.started_in());
    let client_record = ClientRecord::default();
    Load::mixed(&node.target, &client_record, rng.u64(..)).until_acknowledged(10, Duration::from_secs(10));
    let Findings { counts, problems } = audit(&node.target.client(), &client_record, u64::MAX)?;
    report.check(counts.acknowledged >= 10, || format!("only {} events were accepted", counts.acknowledged));
    report.add(counts, problems);
    drop(node);
    host_dir.remove()
}

/// The same guest with another digest: a component may carry any number of custom sections.
fn variant(name: &str, number: u8) -> Vec<u8> {
    let mut bytes = guest(name);
    // A custom section of 9 bytes: its name's length, its name, its content.
    bytes.extend([0, 9, 7]);
    bytes.extend(b"variant");
    bytes.push(number);
    bytes
}
