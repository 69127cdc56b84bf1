//! kill -9 at random moments: under load, while a plugin is swapped, and within the very first start.

use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;
use sandbus_tests::{guest, pause_for, put};

use crate::account::Account;
use crate::audit::{Findings, audit};
use crate::load::{Load, wait_for};
use crate::plan::Plan;
use crate::row::Row;
use crate::site::{Client, Node, Site};

/// How many kills one data directory goes through. Its whole log is read at each audit.
const PER_SITE: usize = 100;
/// How many kills there are between two audits.
const PER_AUDIT: usize = 20;

pub(crate) fn run(plan: &Plan) -> anyhow::Result<Row> {
    let mut rng = plan.rng("kills");
    let mut row = Row { rounds: plan.rounds, ..Row::default() };
    let (mut done, mut swaps, mut first_starts) = (0, 0, 0);
    while done < plan.rounds {
        let site = plan.site(&format!("kills-{done}"))?;
        let mut survivor = Survivor::start(&site)?;
        for round in 0..PER_SITE.min(plan.rounds - done) {
            match rng.u8(0..10) {
                0 => {
                    first_starts += 1;
                    first_start(plan, &mut rng, &mut row)?;
                }
                1 => {
                    swaps += 1;
                    survivor.kill_during_swap(&mut rng, &mut row)?;
                }
                _ => survivor.kill_under_load(&mut rng, &mut row)?,
            }
            done += 1;
            if round % PER_AUDIT == PER_AUDIT - 1 {
                eprintln!("kills: {done} of {}", plan.rounds);
                survivor.audit(&mut row)?;
            }
        }
        let Findings { counts, problems } = survivor.audit(&mut row)?;
        row.add(counts, problems);
        drop(survivor);
        site.remove()?;
    }
    row.note = format!("{swaps} during swaps, {first_starts} during first starts");
    Ok(row)
}

/// A data directory that goes from kill to kill, with the host that runs on it.
struct Survivor<'a> {
    site: &'a Site,
    node: Node,
    account: Account,
}

impl<'a> Survivor<'a> {
    fn start(site: &'a Site) -> anyhow::Result<Self> {
        Ok(Self { site, node: site.start()?, account: Account::default() })
    }

    fn kill_under_load(&mut self, rng: &mut Rng, row: &mut Row) -> anyhow::Result<()> {
        let (target, seed) = (self.node.target.clone(), rng.u64(..));
        let goal = self.account.acknowledged() + rng.u64(1..60);
        let delay = Duration::from_micros(rng.u64(0..60_000));
        let by_count = rng.bool();
        Load::mixed(&target, &self.account, seed).during(&|| 0, || {
            if by_count {
                wait_for(&self.account, goal, Duration::from_secs(5));
            } else {
                pause_for(delay);
            }
            self.node.kill();
        });
        self.restart(row)
    }

    /// Replaces a plugin's file, in place or by renaming, and kills the host somewhere between noticing it
    /// and having swapped it.
    fn kill_during_swap(&mut self, rng: &mut Rng, row: &mut Row) -> anyhow::Result<()> {
        let (target, seed) = (self.node.target.clone(), rng.u64(..));
        let name = ["ledger", "ordered", "registration-handler"][rng.usize(0..3)];
        let (path, bytes) = (self.site.plugin(&format!("{name}.wasm")), variant(name, rng.u8(0..3)));
        let in_place = rng.bool();
        let delay = Duration::from_micros(rng.u64(0..300_000));
        let written = Load::mixed(&target, &self.account, seed).during(&|| 0, || {
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
        written.ok().context("the swap ended well")??;
        self.restart(row)
    }

    fn restart(&mut self, row: &mut Row) -> anyhow::Result<()> {
        self.node = self.site.start()?;
        row.recovery.push(self.node.started_in());
        self.glance(&self.node.target.client(), row)
    }

    /// What can be asked at any moment: nothing was done twice or out of order, and what was acknowledged
    /// last, which is most at risk, is in the log.
    fn glance(&self, client: &Client, row: &mut Row) -> anyhow::Result<()> {
        let (ledger, ordered) = (client.get("/ledger")?, client.get("/ordered")?);
        row.check(ledger["repeated"] == 0, || format!("handled again: {ledger}"));
        row.check(ordered["out_of_order"] == 0, || format!("out of order: {ordered}"));
        let book = self.account.book();
        let sent = book.sent.len() as u64;
        row.check(ledger["booked"].as_u64().is_some_and(|booked| booked <= sent), || format!("{sent} sent: {ledger}"));
        let last: Vec<_> = book.acknowledged.iter().rev().take(4).map(|one| one.id.clone()).collect();
        drop(book);
        for id in last {
            let found = client.admin(&format!("/events/{id}"));
            row.check(found.is_ok(), || format!("{id} was acknowledged and is gone: {found:?}"));
        }
        Ok(())
    }

    /// A full audit. Its problems are the row's, and its counts only the last time.
    fn audit(&self, row: &mut Row) -> anyhow::Result<Findings> {
        let findings = audit(&self.node.target.client(), &self.account, u64::MAX)?;
        row.problems.extend(findings.problems.iter().cloned());
        Ok(Findings { problems: Vec::new(), ..findings })
    }
}

/// Kills a host that has never run on its directory before, at any moment of its start. The next one must
/// find something that it can start from.
fn first_start(plan: &Plan, rng: &mut Rng, row: &mut Row) -> anyhow::Result<()> {
    let site = plan.site("first-start")?;
    let starting = site.launch().spawn();
    pause_for(Duration::from_micros(rng.u64(0..30_000)));
    starting.kill();
    let node = site.start()?;
    row.recovery.push(node.started_in());
    let account = Account::default();
    Load::mixed(&node.target, &account, rng.u64(..)).until_acknowledged(10, Duration::from_secs(10));
    let Findings { counts, problems } = audit(&node.target.client(), &account, u64::MAX)?;
    row.check(counts.acknowledged >= 10, || format!("only {} events were taken", counts.acknowledged));
    row.add(counts, problems);
    drop(node);
    site.remove()
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
