//! The wall clock is set, an hour forward and an hour back, while the host works.

use std::time::Duration;

use sandbus_tests::pause_for;

use crate::account::Account;
use crate::audit::{Findings, audit};
use crate::load::{Load, MIXED, Work};
use crate::plan::Plan;
use crate::row::Row;
use crate::shim::Slot;
use crate::site::{Node, last_lines};

const HOUR: i64 = 3_600;
/// How soon everything must be handled when the clock has settled.
const SOON: Duration = Duration::from_secs(15);

pub(crate) fn run(plan: &Plan) -> anyhow::Result<Row> {
    let mut rng = plan.rng("clock");
    let mut row = Row { rounds: plan.choose(6, 100), ..Row::default() };
    let site = plan.site("clock")?;
    let (launch, control) = plan.shim.attach(site.launch(), site.data(), None)?;
    let mut node = Node::start(&launch)?;
    let (target, account) = (node.target.clone(), Account::default());
    // Those whose handlers fail at first wait for another attempt while the clock is set.
    let clients = [&MIXED[..], &[Work::Flaky, Work::Flaky]].concat();
    let load = Load {
        target: &target,
        account: &account,
        clients: &clients,
        rest: Duration::from_millis(3),
        seed: rng.u64(..),
    };
    load.during(&|| 0, || {
        for round in 0..row.rounds {
            let before = account.acknowledged();
            // Back from the future in between, and into the past.
            control.set(Slot::ClockOffset, [HOUR, 0, -HOUR, 0][round % 4])?;
            pause_for(Duration::from_millis(rng.u64(100..400)));
            row.check(account.acknowledged() > before, || format!("nothing was taken after jump {round}"));
        }
        // The last word is a clock that went back.
        control.set(Slot::ClockOffset, -HOUR)
    })?;
    row.check(node.runs(), || format!("the host has ended: {}", last_lines(&node.log())));
    // What waits for another attempt, for milliseconds, must not wait for the hour.
    if let Err(error) = target.client().wait_until_idle(SOON) {
        row.problems.push(format!("after the clock went back: {error:#}"));
        control.set(Slot::ClockOffset, 2 * HOUR)?;
    }
    let Findings { counts, problems } = audit(&target.client(), &account, u64::MAX)?;
    row.add(counts, problems);
    drop(node);
    site.remove()?;
    Ok(row)
}
