//! The report as it is printed, the verdict first.

use super::report::{FileReport, Repeated, Report, Total, Verdict};
use super::words::{count, percent};
use anyhow::Result;
use indicatif::HumanCount;
use moondrop_shared::check::Notice;
use std::cmp::Reverse;
use std::io::Write;

/// Writes the report to standard output as JSON.
pub(super) fn in_json(report: &Report) -> Result<()> {
    let json = serde_json::to_string_pretty(report)?;
    writeln!(std::io::stdout().lock(), "{json}")?;
    Ok(())
}

/// Writes the report to standard output in words.
pub(super) fn in_words(report: &Report) -> Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if report.files.len() > 1 {
        writeln!(out, "{}", verdict_on_all(&report.total))?;
        writeln!(out)?;
    }
    for file in &report.files {
        show_file(&mut out, file, report)?;
    }
    if report.files.len() > 1 {
        show_total(&mut out, report)?;
    }
    out.flush()?;
    Ok(())
}

fn verdict_on_all(total: &Total) -> String {
    let files = count(total.files, "file");
    match total.refused {
        0 => format!("All {files} would be accepted."),
        refused if refused == total.files => format!("All {files} would be refused."),
        refused => format!("{} of {files} would be refused.", HumanCount(refused)),
    }
}

fn show_file(out: &mut impl Write, file: &FileReport, report: &Report) -> Result<()> {
    writeln!(out, "{}", verdict_on(file))?;
    if let Some(problem) = &file.problem {
        writeln!(out, "  {}: {}", problem.code, problem.message)?;
        writeln!(out, "  {}", problem.next_step)?;
    }
    for (name, fact) in facts(file, report) {
        writeln!(out, "  {name:<9} {fact}")?;
    }
    show_errors(out, file)?;
    for notice in &file.notices {
        let Notice { code, message, count, lines } = notice;
        let lines: Vec<String> = lines.iter().map(u64::to_string).collect();
        let (count, lines) = (HumanCount(*count), lines.join(", "));
        writeln!(out, "  {:<9} {code} {message}; {count} in all, on lines {lines}", "notice")?;
    }
    Ok(writeln!(out)?)
}

fn verdict_on(file: &FileReport) -> String {
    let name = &file.file;
    let rows = file.rows.unwrap_or_default();
    let (total, valid) = (count(rows.total, "row"), HumanCount(rows.valid()));
    let rejected = HumanCount(rows.rejected);
    match file.verdict {
        Verdict::Accepted => format!("{name} would be accepted: {total} would be evaluated."),
        Verdict::AcceptedWithRejectedRows => format!(
            "{name} would be accepted: {valid} of {total} would be evaluated, and {rejected} rejected."
        ),
        Verdict::Refused => format!("{name} would be refused."),
    }
}

/// What else is known of the file, by name. One that would be refused makes no job.
fn facts(file: &FileReport, report: &Report) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if let Some(rows) = file.rows {
        let (text, image_url) = (HumanCount(rows.text), HumanCount(rows.image_url));
        facts.push(("types", format!("{text} text, {image_url} image_url")));
    }
    let bytes = HumanCount(file.bytes);
    if file.verdict == Verdict::Refused {
        facts.push(("bytes", format!("{bytes} in the file")));
    } else {
        let limit = count(report.rows_per_job, "row");
        facts.push(("jobs", format!("{}, with at most {limit} per job", HumanCount(file.jobs))));
        let uploads = if file.jobs == 1 { "its upload" } else { "its uploads" };
        let upload_bytes = HumanCount(file.upload_bytes);
        facts.push(("bytes", format!("{bytes} in the file, {upload_bytes} in {uploads}")));
    }
    facts.extend(file.repeated.map(|repeated| ("repeated", repeated_rows(repeated))));
    facts.extend(days(file.days, report.daily_limit));
    facts
}

fn repeated_rows(repeated: Repeated) -> String {
    let (rows, share) = (count(repeated.rows, "row"), percent(repeated.share));
    let what = "the type and content of an earlier row, by 64-bit hashes";
    match repeated.rows {
        0 => format!("no row has {what}"),
        1 => format!("{share}: {rows} has {what}"),
        _ => format!("{share}: {rows} have {what}"),
    }
}

fn days(days: Option<u64>, limit: Option<u64>) -> Option<(&'static str, String)> {
    let (days, limit) = (days?, limit?);
    Some(("days", format!("{}, at {} per day", HumanCount(days), count(limit, "row"))))
}

/// The errors of the rows. An error of the whole file is said beside the verdict.
fn show_errors(out: &mut impl Write, file: &FileReport) -> Result<()> {
    let errors = &file.errors;
    if errors.total == 0 || file.rows.is_none() && errors.total == 1 {
        return Ok(());
    }
    let mut codes: Vec<_> = errors.by_code.iter().collect();
    codes.sort_by_key(|(code, rows)| (Reverse(**rows), **code));
    let codes: Vec<String> =
        codes.into_iter().map(|(code, rows)| format!("{} {code}", HumanCount(*rows))).collect();
    writeln!(out, "  {:<9} {}", "errors", codes.join(", "))?;
    for error in &errors.listed {
        writeln!(out, "    line {}: {} {}", error.line, error.code, error.message)?;
    }
    let more = errors.total - errors.listed.len() as u64;
    if more > 0 {
        writeln!(out, "    and {} more", HumanCount(more))?;
    }
    if file.verdict == Verdict::AcceptedWithRejectedRows {
        writeln!(
            out,
            "  Rejected rows come out in results.csv with their error. Fix them first, or drop them in another file later."
        )?;
    }
    Ok(())
}

fn show_total(out: &mut impl Write, report: &Report) -> Result<()> {
    let Total { bytes, rows, jobs, upload_bytes, days: all_days, .. } = report.total;
    let (rows, jobs) = (HumanCount(rows), count(jobs, "job"));
    writeln!(out, "In all")?;
    writeln!(out, "  {:<9} {rows} would be evaluated, in {jobs}", "rows")?;
    let (bytes, uploads) = (HumanCount(bytes), HumanCount(upload_bytes));
    writeln!(out, "  {:<9} {bytes} in the files, {uploads} in the uploads", "bytes")?;
    if let Some((name, fact)) = days(all_days, report.daily_limit) {
        writeln!(out, "  {name:<9} {fact}")?;
    }
    Ok(())
}
