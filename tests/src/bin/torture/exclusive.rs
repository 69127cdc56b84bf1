//! Two hosts on one data directory: the second one is refused, and the first one is not affected.

use crate::audit::{Findings, audit};
use crate::client_record::ClientRecord;
use crate::host::{PATIENCE, last_lines};
use crate::load::{Load, wait_for};
use crate::report::FaultReport;
use crate::run_options::RunOptions;

pub(crate) fn run(options: &RunOptions) -> anyhow::Result<FaultReport> {
    let mut rng = options.rng("two-processes");
    let mut report = FaultReport { rounds: options.choose(5, 50), ..FaultReport::default() };
    let host_dir = options.host_dir("two-processes")?;
    let mut node = host_dir.start()?;
    let (target, client_record) = (node.target.clone(), ClientRecord::default());
    Load::mixed(&target, &client_record, rng.u64(..)).during(&|| 0, || {
        for _ in 0..report.rounds {
            let before = client_record.acknowledged();
            match host_dir.start() {
                Ok(_) => report.problems.push("a second host runs on the same data".to_owned()),
                Err(error) => {
                    let error = format!("{error:#}");
                    report
                        .check(error.contains("in use by another process"), || format!("it does not say why: {error}"));
                }
            }
            report.check(wait_for(&client_record, before + 20, PATIENCE), || {
                "the first host accepts no more events".to_owned()
            });
        }
    });
    report.check(node.runs(), || format!("the first host has ended: {}", last_lines(&node.log())));
    let Findings { counts, problems } = audit(&target.client(), &client_record, u64::MAX)?;
    report.add(counts, problems);
    drop(node);
    host_dir.remove()?;
    Ok(report)
}
