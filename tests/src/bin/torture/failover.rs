//! kill -9 of the active host of a database, under load: its standby takes over.

use std::time::Instant;

use sandbus_tests::{PostgresServer, Starting};

use crate::audit::{Findings, audit};
use crate::client_record::ClientRecord;
use crate::host::{HostDirectory, HostProcess, PATIENCE};
use crate::load::{Load, wait_for};
use crate::report::FaultReport;
use crate::run_options::RunOptions;

pub(crate) fn run(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let mut rng = options.rng("failover");
    let mut report = FaultReport { rounds: options.choose(2, 20), ..FaultReport::default() };
    let server = PostgresServer::start();
    let host_dir = |name: &str| -> anyhow::Result<HostDirectory> {
        let host_dir = options.host_dir(name)?;
        host_dir.configure(&format!("[bus]\nurl = \"{}\"\nstandby = true", server.url("failover")));
        Ok(host_dir)
    };
    let mut directories = [host_dir("failover-a")?, host_dir("failover-b")?];
    let mut active = directories[0].start()?;
    let client_record = ClientRecord::default();
    for round in 0..report.rounds {
        let standby = start_standby(&directories[1]);
        let goal = client_record.acknowledged() + rng.u64(1..200);
        let target = active.target.clone();
        Load::mixed(&target, &client_record, rng.u64(..)).during(&|| 0, || {
            let is_busy = wait_for(&client_record, goal, PATIENCE);
            report.check(is_busy, || "the active host accepts no more events".to_owned());
            active.kill();
        });
        let killed = Instant::now();
        active = HostProcess::from_starting(standby)?;
        report.recovery.push(killed.elapsed());
        directories.swap(0, 1);
        let events = active.target.client().get("/ledger")?;
        report.check(events["repeated"] == 0, || format!("handled again: {events}"));
        eprintln!("failover: {} of {}", round + 1, report.rounds);
    }
    let Findings { counts, problems } = audit(&active.target.client(), &client_record, u64::MAX)?;
    report.add(counts, problems);
    drop(active);
    directories.into_iter().try_for_each(HostDirectory::remove)?;
    Ok(report)
}

/// Starts a standby, and waits until it stands by.
fn start_standby(directory: &HostDirectory) -> Starting {
    let standby = directory.launch().spawn();
    drop(standby.wait_until_standing_by());
    standby
}
