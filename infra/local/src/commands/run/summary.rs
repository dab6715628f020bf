//! The outcome: rows by outcome, labels by count, where the files are.

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use moondrop_shared::drop::DropState;
use moondrop_shared::drop::status::Status;
use std::io::Write as _;
use std::path::PathBuf;

/// Labels shown per drop.
const LABELS_SHOWN: usize = 12;

/// A drop that has reached its end.
pub(crate) struct Finished {
    /// The file.
    pub(crate) name: String,
    pub(crate) status: Status,
    /// Where its published files are.
    pub(crate) folder: PathBuf,
    /// Whether it was finished by a run before.
    pub(crate) before: bool,
}

/// Writes the summary to standard output.
pub(crate) fn show(finished: &[Finished], sandbox: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", outcomes(finished))?;
    for one in finished {
        writeln!(out)?;
        writeln!(out, "{}", one.name)?;
        if one.before {
            writeln!(
                out,
                "  was finished before, with the options of that run; --again evaluates it again"
            )?;
        }
        if let Some(problem) = &one.status.problem {
            writeln!(out, "  {}: {}", problem.code, problem.message)?;
            writeln!(out, "  {}", problem.next_step)?;
        }
        for line in labels(&one.status) {
            writeln!(out, "  {line}")?;
        }
        let files = &one.status.files;
        for (file, name) in [(&files.results, "results.csv"), (&files.rejected, "rejected.csv")] {
            if file.is_some() {
                writeln!(out, "  {}", one.folder.join(name).display())?;
            }
        }
        writeln!(out, "  {}", one.folder.join("status.json").display())?;
    }
    if sandbox && finished.iter().any(|one| one.status.rows.outcomes.evaluated > 0) {
        writeln!(out)?;
        writeln!(
            out,
            "Evaluated by the sandbox: labels are simulated, by word lists. Use --api-url for the real API."
        )?;
    }
    Ok(())
}

fn outcomes(finished: &[Finished]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["file", "state", "rows", "evaluated", "failed", "rejected", "missing"]);
    for one in finished {
        let rows = &one.status.rows;
        let o = rows.outcomes;
        let total = rows.total.map_or_else(|| "?".to_owned(), |n| n.to_string());
        let counts = [o.evaluated, o.failed, o.rejected, o.missing].map(|n| n.to_string());
        let mut cells = vec![one.name.clone(), state(one.status.state), total];
        cells.extend(counts);
        table.add_row(cells);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn state(state: DropState) -> String {
    state.as_str().replace('_', " ")
}

/// The most frequent labels, with the histogram of their scores as a row of small bars.
fn labels(status: &Status) -> Vec<String> {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let mut labels: Vec<_> = status.labels.iter().collect();
    labels.sort_by_key(|(name, count)| (std::cmp::Reverse(count.rows), (*name).clone()));
    let width =
        labels.iter().take(LABELS_SHOWN).map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut lines: Vec<String> = labels
        .iter()
        .take(LABELS_SHOWN)
        .map(|(name, count)| {
            let most = count.histogram.iter().max().copied().unwrap_or(0).max(1);
            let bars: String = count
                .histogram
                .iter()
                .map(|n| BARS[(n * 8).div_ceil(most).min(8) as usize])
                .collect();
            format!("{name:width$} {:>9}  scores 0▕{bars}▏1", count.rows)
        })
        .collect();
    if labels.len() > LABELS_SHOWN {
        lines.push(format!("and {} more labels in status.json", labels.len() - LABELS_SHOWN));
    }
    lines
}
