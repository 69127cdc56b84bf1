//! The wall clock jumps an hour forward and back while the host runs.

use std::time::Duration;

use sandbus_tests::pause_for;

use crate::audit::{Findings, audit};
use crate::client_record::ClientRecord;
use crate::host::{HostProcess, last_lines};
use crate::load::{Load, MIXED, Work};
use crate::report::FaultReport;
use crate::run_options::RunOptions;
use crate::shim::Slot;

const HOUR: i64 = 3_600;
/// The time limit for handling everything after the last jump.
const SOON: Duration = Duration::from_secs(15);

pub(crate) fn run(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let mut rng = options.rng("clock");
    let mut report = FaultReport { rounds: options.choose(6, 100), ..FaultReport::default() };
    let host_dir = options.host_dir("clock")?;
    let (launch, control) = options.shim.attach(host_dir.launch(), host_dir.data(), None)?;
    let mut node = HostProcess::start(&launch)?;
    let (target, client_record) = (node.target.clone(), ClientRecord::default());
    // Events whose handlers fail at first wait for a retry while the clock is set.
    let clients = [&MIXED[..], &[Work::Flaky, Work::Flaky]].concat();
    let load = Load {
        target: &target,
        client_record: &client_record,
        clients: &clients,
        rest: Duration::from_millis(3),
        seed: rng.u64(..),
    };
    load.during(&|| 0, || {
        for round in 0..report.rounds {
            let before = client_record.acknowledged();
            // An hour ahead, back to the present, an hour back, and again to the present.
            control.set(Slot::ClockOffset, [HOUR, 0, -HOUR, 0][round % 4])?;
            pause_for(Duration::from_millis(rng.u64(100..400)));
            report.check(client_record.acknowledged() > before, || {
                format!("nothing was acknowledged after jump {round}")
            });
        }
        // The last jump goes back.
        control.set(Slot::ClockOffset, -HOUR)
    })?;
    report.check(node.runs(), || format!("the host has ended: {}", last_lines(&node.log())));
    // Retries with delays of milliseconds must not wait for an hour.
    if let Err(error) = target.client().wait_until_idle(SOON) {
        report.problems.push(format!("after the clock went back: {error:#}"));
        control.set(Slot::ClockOffset, 2 * HOUR)?;
    }
    let Findings { counts, problems } = audit(&target.client(), &client_record, u64::MAX)?;
    report.add(counts, problems);
    drop(node);
    host_dir.remove()?;
    Ok(report)
}
