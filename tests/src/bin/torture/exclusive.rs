//! Two hosts on one data directory: the second is refused, and the first does not notice.

use crate::account::Account;
use crate::audit::{Findings, audit};
use crate::load::{Load, wait_for};
use crate::plan::Plan;
use crate::row::Row;
use crate::site::{PATIENCE, last_lines};

pub(crate) fn run(plan: &Plan) -> anyhow::Result<Row> {
    let mut rng = plan.rng("two-processes");
    let mut row = Row { rounds: plan.choose(5, 50), ..Row::default() };
    let site = plan.site("two-processes")?;
    let mut node = site.start()?;
    let (target, account) = (node.target.clone(), Account::default());
    Load::mixed(&target, &account, rng.u64(..)).during(&|| 0, || {
        for _ in 0..row.rounds {
            let before = account.acknowledged();
            match site.start() {
                Ok(_) => row.problems.push("a second host runs on the same data".to_owned()),
                Err(error) => {
                    let error = format!("{error:#}");
                    row.check(error.contains("in use by another process"), || format!("it does not say why: {error}"));
                }
            }
            row.check(wait_for(&account, before + 20, PATIENCE), || "the first host takes nothing more".to_owned());
        }
    });
    row.check(node.runs(), || format!("the first host has ended: {}", last_lines(&node.log())));
    let Findings { counts, problems } = audit(&target.client(), &account, u64::MAX)?;
    row.add(counts, problems);
    drop(node);
    site.remove()?;
    Ok(row)
}
