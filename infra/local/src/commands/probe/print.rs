//! The findings as they are printed.

use super::assumptions::{ASSUMPTIONS, Assumption};
use super::findings::{Finding, Verdict};
use super::state::State;
use anyhow::Result;
use serde_json::{Value, json};
use std::io::Write as _;

/// The form of the JSON; fields may be added to it.
const FORM: &str = "moondrop.probe/1";

/// Writes the findings to standard output.
pub(super) fn print(state: &State, as_json: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        writeln!(out, "{:#}", in_json(state))?;
        return Ok(());
    }
    let width = ASSUMPTIONS.iter().map(|known| known.name.len()).max().unwrap_or(0);
    for known in &ASSUMPTIONS {
        let Finding { verdict, seen } = state.findings.get(known.topic);
        let Assumption { name, assumes, if_not, .. } = known;
        writeln!(out, "{}", format!("{:<8}  {name:<width$}  {seen}", verdict.words()).trim_end())?;
        if verdict == Verdict::NotMet {
            writeln!(out, "          Moondrop assumes: {assumes}")?;
            writeln!(out, "          If it is not so: {if_not}")?;
        }
    }
    let [met, not_met, not_seen] = counts(state);
    writeln!(out)?;
    writeln!(out, "{met} met, {not_met} not met, {not_seen} not seen: {}", state.api)?;
    if !state.done {
        writeln!(out, "The probe has not come to its end. The same command continues it.")?;
    }
    Ok(())
}

fn counts(state: &State) -> [usize; 3] {
    [Verdict::Met, Verdict::NotMet, Verdict::NotSeen].map(|verdict| state.findings.count(verdict))
}

fn in_json(state: &State) -> Value {
    let assumption = |known: &Assumption| {
        let Finding { verdict, seen } = state.findings.get(known.topic);
        json!({
            "id": known.name,
            "verdict": verdict,
            "seen": Some(seen).filter(|seen| !seen.is_empty()),
            "assumes": known.assumes,
            "if_not": known.if_not,
        })
    };
    let [met, not_met, not_seen] = counts(state);
    json!({
        "form": FORM,
        "api": state.api,
        "policy": state.policy,
        "began_at": state.began_at.to_string(),
        "complete": state.done,
        "counts": {"met": met, "not_met": not_met, "not_seen": not_seen},
        "assumptions": ASSUMPTIONS.iter().map(assumption).collect::<Vec<_>>(),
    })
}
