//! Entries with ordering keys, some of them retried and some rejected, while the host is killed.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use fastrand::Rng;
use sandbus_tests::pause_for;
use serde_json::{Value, json};

use crate::host::{Client, PATIENCE, event};
use crate::report::FaultReport;
use crate::run_options::RunOptions;

const PRODUCERS: usize = 3;
const ACCOUNTS: usize = 8;

pub(crate) fn run(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let mut rng = options.rng("ordered-load");
    let mut report = FaultReport { rounds: options.choose(3, 100), ..FaultReport::default() };
    let host_dir = options.host_dir_with("ordered-load", &["keyed"])?;
    let mut node = host_dir.start()?;
    let mut producers: Vec<_> = (0..PRODUCERS).map(|name| Producer::new(name, rng.fork())).collect();
    for _ in 0..report.rounds {
        let delay = Duration::from_millis(rng.u64(200..options.choose(600, 1_500)));
        let target = node.target.clone();
        thread::scope(|scope| {
            let started: Vec<_> = producers
                .iter_mut()
                .map(|producer| {
                    let client = target.client();
                    scope.spawn(move || producer.work(&client))
                })
                .collect();
            pause_for(delay);
            node.kill();
            started.into_iter().try_for_each(|one| one.join().ok().context("a producer panicked")?)
        })?;
        node = host_dir.start()?;
        report.recovery.push(node.started_in());
    }
    let client = node.target.client();
    for producer in &mut producers {
        producer.settle(&client)?;
    }
    client.wait_until_idle(PATIENCE * 5)?;

    let sum = |pick: fn(&Producer) -> u64| producers.iter().map(pick).sum::<u64>();
    let (sent, poison) = (sum(|one| one.sent), sum(|one| one.poison));
    report.acknowledge(sent);
    let seen = client.get("/keyed")?;
    report.compare("entries handled", seen["handled"].as_u64().context("a number")?, sent - poison);
    report.compare("entries rejected", client.count_dead_letters()?, poison);
    let out_of_order = seen["out_of_order"].as_u64().context("a number")?;
    report.counts.get_or_insert_default().out_of_order += out_of_order;
    report.check(out_of_order == 0, || format!("{out_of_order} entries were handled before an earlier one"));
    for producer in &producers {
        for (account, last) in producer.last.iter().enumerate() {
            let (account, last) = (producer.account(account), last);
            let seen = &seen["last"][&account];
            report.check(seen.as_u64() == *last, || format!("the last of {account} is {seen} instead of {last:?}"));
        }
    }
    report.remark(&format!("{poison} rejected"));
    node.check_health(&mut report)?;
    drop(node);
    host_dir.remove()?;
    Ok(report)
}

/// Publishes entries of its own accounts, one after another.
struct Producer {
    name: usize,
    rng: Rng,
    number: u64,
    /// The entry that was sent and has no response yet. It is sent again before any other entry.
    pending: Option<Entry>,
    sent: u64,
    poison: u64,
    /// The number of the last entry of each account that must be handled.
    last: [Option<u64>; ACCOUNTS],
}

/// An entry of an account.
struct Entry {
    account: usize,
    number: u64,
    is_poison: bool,
    event: Value,
}

impl Producer {
    fn new(name: usize, rng: Rng) -> Self {
        Self { name, rng, number: 0, pending: None, sent: 0, poison: 0, last: [None; ACCOUNTS] }
    }

    fn account(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// Sends entries until there is no response.
    fn work(&mut self, client: &Client) -> anyhow::Result<()> {
        loop {
            if self.pending.is_none() {
                self.pending = Some(self.next());
            }
            if !self.send(client)? {
                return Ok(());
            }
            pause_for(Duration::from_millis(2));
        }
    }

    /// Sends the pending entry, to which there must be a response.
    fn settle(&mut self, client: &Client) -> anyhow::Result<()> {
        ensure!(self.send(client)?, "no answer");
        Ok(())
    }

    fn next(&mut self) -> Entry {
        self.number += 1;
        let (number, account) = (self.number, self.rng.usize(0..ACCOUNTS));
        let is_poison = self.rng.u8(0..20) == 0;
        let fail_until = if self.rng.u8(0..8) == 0 { self.rng.u8(2..=3) } else { 0 };
        let name = self.account(account);
        let data = json!({ "account": name, "number": number, "fail_until": fail_until, "poison": is_poison });
        let event = event("keyed.entry", &format!("{name}-{number}"), data);
        Entry { account, number, is_poison, event }
    }

    /// Sends the pending entry. Returns whether there was a response.
    fn send(&mut self, client: &Client) -> anyhow::Result<bool> {
        let Some(entry) = self.pending.take() else { return Ok(true) };
        let Ok(answer) = client.post("/events", "application/cloudevents+json", &entry.event) else {
            self.pending = Some(entry);
            return Ok(false);
        };
        ensure!(answer.status == 202, "the response to an entry is {}: {}", answer.status, answer.body);
        self.sent += 1;
        if entry.is_poison {
            self.poison += 1;
        } else {
            self.last[entry.account] = Some(entry.number);
        }
        Ok(true)
    }
}
