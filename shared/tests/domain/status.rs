//! `status.json`: what a user sees of a drop at each stage, made from the ledger's records alone.

use jiff::Timestamp;
use moondrop_shared::check::Counts;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::drop::stack::StackProblems;
use moondrop_shared::drop::status::{Snapshot, Status};
use moondrop_shared::drop::{DropRecord, DropState, OnBadRows, Plan, Times};
use moondrop_shared::form::SCHEMA;
use moondrop_shared::job::SignedUrl;
use moondrop_shared::object_key::ObjectKey;
use moondrop_shared::part::{CollectedPart, PartFailure, PartRecord, PartState};
use moondrop_shared::plan::{PartLimits, PlannedPart};
use moondrop_shared::problem::{Code, Problem};
use moondrop_shared::results::tally::{Outcomes, Tally};
use moondrop_shared::source::Source;
use serde_json::{Value, json};

fn meta(state: DropState, rows: Option<(u64, u64)>) -> DropRecord {
    let source = Source {
        bucket: "drops".to_owned(),
        key: "incoming/posts.csv".to_owned(),
        version_id: Some("v1".to_owned()),
        etag: "e".to_owned(),
        sequencer: None,
        size: 4096,
    };
    DropRecord {
        schema: SCHEMA,
        id: source.id(),
        source,
        dropped_at: Timestamp::UNIX_EPOCH,
        policy: Some("policy".to_owned()),
        folder: "results/posts/1970-01-01T00-00-00Z".to_owned(),
        limits: PartLimits::default(),
        on_bad_rows: OnBadRows::SubmitValid,
        rules: Rules::NEWEST,
        mapping: None,
        state,
        check: None,
        rejections_in_work: true,
        plan: rows.map(|(rows, rejected)| Plan {
            header: "ref_id,type,content".to_owned(),
            parts: 2,
            rows,
            rejected,
        }),
        errors: Counts::new(),
        notices: Vec::new(),
        problem: None,
        check_problem: None,
        create_problem: None,
        publish_problem: None,
        policy_versions: Vec::new(),
        reports_due: std::collections::BTreeSet::new(),
        results_upload: None,
        reported_open: None,
        reported_at: None,
        refused_since: None,
        invalid_since: None,
        waits_since: None,
        retry_at: None,
        cancelled_at: None,
        overdue_at: None,
        times: Times::default(),
        active_at: Timestamp::UNIX_EPOCH,
        results_bytes: None,
        wants_safe: false,
        safe_attempts: 0,
        safe: None,
        closed_at: None,
    }
}

fn part(number: u32, rows: u64, accepted: u64, outcomes: Option<Outcomes>) -> PartRecord {
    let plan = PlannedPart {
        number,
        first_line: 2,
        first_row: Some(1),
        offset: 20,
        end: 90,
        rows,
        accepted,
        upload_bytes: 70,
        rejected_offset: 37,
        rejected_bytes: 0,
    };
    let mut part = PartRecord::planned(meta(DropState::Checking, None).id, plan);
    part.collected = outcomes.map(|rows| CollectedPart {
        key: ObjectKey::listed("parts/1"),
        bytes: 99,
        digest: "d".to_owned(),
        etag: None,
        source_missing: false,
        tally: Tally { rows, duplicates: 1, ..Tally::default() },
    });
    part
}

fn status(meta: &DropRecord, parts: &[PartRecord], checked: u64) -> Value {
    serde_json::to_value(written(meta, parts, checked)).unwrap()
}

fn written(drop: &DropRecord, parts: &[PartRecord], checked: u64) -> Status {
    let (stack, now) = (&StackProblems::default(), Timestamp::UNIX_EPOCH);
    Status::of(&Snapshot { drop, parts, stack, checked, now })
}

#[test]
fn while_a_file_is_checked_its_total_is_not_known() {
    let seen = status(&meta(DropState::Checking, None), &[], 1234);
    assert_eq!(seen["schema"], "moondrop.status/2");
    assert_eq!(seen["state"], "checking");
    let none = json!({"total": null, "checked": 1234, "evaluated": 0, "failed": 0, "rejected": 0, "missing": 0, "pending": 0});
    assert_eq!(seen["rows"], none);
    assert_eq!(seen["files"], json!({"status": "results/posts/1970-01-01T00-00-00Z/status.json"}));
}

#[test]
fn outcomes_and_pending_rows_add_up_to_the_total_as_parts_come_in() {
    let outcomes = Outcomes { evaluated: 5, failed: 1, rejected: 2, missing: 0 };
    let mut waiting = part(2, 4, 4, None);
    waiting.state = PartState::Uploaded;
    (waiting.job_id, waiting.uploaded_at) = (Some("job-2".to_owned()), Some(Timestamp::UNIX_EPOCH));
    let mut collected = part(1, 8, 6, Some(outcomes));
    collected.state = PartState::Collected;
    let seen = status(&meta(DropState::Evaluating, Some((12, 2))), &[collected, waiting], 0);
    let rows = json!({"total": 12, "checked": 12, "evaluated": 5, "failed": 1, "rejected": 2, "missing": 0, "pending": 4});
    assert_eq!(seen["rows"], rows);
    assert_eq!(seen["results"]["duplicates"], 1);
    assert_eq!(seen["parts_by_state"], json!({"COLLECTED": 1, "UPLOADED": 1}));
    assert_eq!(
        (&seen["parts"][0]["rejected"], &seen["parts"][1]["job"]),
        (&json!(2), &json!("job-2"))
    );
    assert_eq!(seen["sizes"], json!({"source": 4096, "uploaded": 70}));
    assert_eq!(seen["files"]["rejected"], "results/posts/1970-01-01T00-00-00Z/rejected.csv");
    assert_eq!(seen["files"].get("results"), None);
}

#[test]
fn a_finished_drop_names_its_results_and_has_nothing_pending() {
    let mut meta = meta(DropState::CompletedWithErrors, Some((8, 0)));
    meta.results_bytes = Some(321);
    let mut failed = part(1, 8, 8, Some(Outcomes { failed: 8, ..Outcomes::default() }));
    failed.failure = Some(PartFailure::failed("the job was cancelled"));
    let seen = status(&meta, &[failed], 0);
    assert_eq!((&seen["rows"]["failed"], &seen["rows"]["pending"]), (&json!(8), &json!(0)));
    assert_eq!(seen["files"]["results"], "results/posts/1970-01-01T00-00-00Z/results.csv");
    assert_eq!(seen["files"].get("rejected"), None);
    assert_eq!(seen["sizes"]["results"], 321);
    assert_eq!(seen["parts"][0]["reason"], "the job was cancelled");
}

#[test]
fn a_refused_file_says_why_and_points_at_its_rejections() {
    let mut meta = meta(DropState::Rejected, Some((8, 3)));
    meta.problem = Some(Problem::new(Code::Rows, "why").with_next_step("fix"));
    let seen = status(&meta, &[], 0);
    assert_eq!(seen["problem"], json!({"code": "E_ROWS", "message": "why", "next_step": "fix"}));
    assert_eq!((&seen["rows"]["rejected"], &seen["rows"]["pending"]), (&json!(3), &json!(0)));
    assert_eq!(seen["files"]["rejected"], "results/posts/1970-01-01T00-00-00Z/rejected.csv");
    meta.plan = None;
    assert_eq!(
        status(&meta, &[], 0)["rows"]["total"],
        Value::Null,
        "a file refused as a whole was not counted"
    );
}

#[test]
fn a_signed_address_never_stands_in_a_status() {
    let mut created = part(1, 8, 8, None);
    created.upload_url =
        Some(SignedUrl::new("https://upload.example/?X-Amz-Signature=abc".to_owned()));
    let seen = status(&meta(DropState::Uploading, Some((8, 0))), &[created], 0);
    assert!(!seen.to_string().contains("upload.example"));
}

#[test]
fn a_status_reads_back_as_it_was_written() {
    let outcomes = Outcomes { evaluated: 8, ..Outcomes::default() };
    let seen =
        written(&meta(DropState::Completed, Some((8, 0))), &[part(1, 8, 8, Some(outcomes))], 0);
    assert_eq!(
        serde_json::from_str::<Status>(&serde_json::to_string(&seen).unwrap()).unwrap(),
        seen
    );
}
