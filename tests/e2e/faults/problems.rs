//! Problems in `status.json`: each has an owner, and only what rids the owner of it removes it.

use jiff::Timestamp;
use moondrop_shared::drop::DropState;
use moondrop_shared::drop::problems::Owner;
use moondrop_shared::part::PartState;
use moondrop_shared::source::DropId;
use moondrop_tests::env::{DAY, Dropped, KEY};
use moondrop_tests::fake_batch_api::{Answer, Call};
use moondrop_tests::in_process::{InProcess, collect, submit};
use moondrop_tests::rows::{assert_all_rows, good_file};
use serde_json::{Value, json};

/// The problems of a drop as `status.json` lists them: code, owner, and part.
async fn listed(world: &InProcess, id: &DropId) -> Vec<(String, Owner, Option<u32>)> {
    let problems = world.status(id).await.problems.into_iter();
    problems.map(|one| (one.problem.code.to_string(), one.owner, one.part)).collect()
}

fn of(code: &str, owner: Owner, part: Option<u32>) -> (String, Owner, Option<u32>) {
    (code.to_owned(), owner, part)
}

async fn fed(rows: usize) -> (InProcess, Dropped) {
    let world = InProcess::start().await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(rows)).await;
    assert!(world.submit(&dropped).await);
    (world, dropped)
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_of_three_owners_stand_side_by_side_and_each_ends_by_itself() {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(6)).await;
    let id = &dropped.id;
    // The second upload fails, and no third job is created.
    world.api.next(Call::Create, [Answer::faithful(), Answer::faithful(), Answer::status(500)]);
    world.api.next(Call::Upload, [Answer::faithful(), Answer::status(500)]);
    assert!(!world.submit(&dropped).await);
    let (api, upload) = (of("E_API", Owner::Drop, None), of("E_UPLOAD", Owner::Part, Some(2)));
    assert_eq!(listed(&world, id).await, [api.clone(), upload.clone()]);

    // Results of the first part cannot be fetched.
    world.api.set_state("job-1", "COMPLETED");
    world.poll().await;
    world.api.next(Call::Download, [Answer::status(500)]);
    world.collect(id, 1).await.unwrap();
    let results = of("E_RESULTS", Owner::Part, Some(1));
    let three = [api.clone(), results.clone(), upload.clone()];
    assert_eq!(listed(&world, id).await, three);

    // The key is refused: the gravest problem, and the first.
    world.api.set_key("another");
    assert!(world.poll_at(Timestamp::now()).await.is_err());
    let key = of("E_API_KEY", Owner::Stack, None);
    assert_eq!(listed(&world, id).await, [&[key][..], &three].concat());
    assert_eq!(world.problem(id).await.as_deref(), Some("E_API_KEY"));

    world.api.set_key(KEY);
    world.poll().await;
    assert_eq!(listed(&world, id).await, three, "the key's problem alone has ended");
    world.collect(id, 1).await.unwrap();
    assert_eq!(listed(&world, id).await, [api, upload], "the first part's problem has ended");
    assert!(world.submit(&dropped).await);
    assert_eq!(listed(&world, id).await, []);
    let ended = world.end(&dropped).await;
    assert_eq!((ended.status.state, ended.status.problem), (DropState::Completed, None));
    assert_all_rows(&good_file(6), &ended.results.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tick_that_asks_nothing_does_not_take_the_key_for_accepted() {
    let (world, dropped) = fed(4).await;
    world.api.complete_all();
    world.poll().await;
    world.api.set_key("another");
    world.collect(&dropped.id, 1).await.unwrap();
    let key = [of("E_API_KEY", Owner::Stack, None)];
    assert_eq!(listed(&world, &dropped.id).await, key);
    let asked = world.api.count(Call::Get);
    world.poll().await;
    assert_eq!(world.api.count(Call::Get), asked, "both jobs have ended: nothing is asked");
    assert_eq!(listed(&world, &dropped.id).await, key);
    // Results that are fetched show that it is accepted.
    world.api.set_key(KEY);
    world.collect(&dropped.id, 2).await.unwrap();
    world.poll().await;
    assert_eq!(listed(&world, &dropped.id).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn success_of_one_part_ends_no_other_parts_problem() {
    let (world, dropped) = fed(6).await;
    world.api.complete_all();
    world.poll().await;
    world.api.next(Call::Download, [Answer::status(500), Answer::status(500)]);
    for part in [1, 2, 3] {
        world.collect(&dropped.id, part).await.unwrap();
    }
    let of_part = |part| of("E_RESULTS", Owner::Part, Some(part));
    assert_eq!(listed(&world, &dropped.id).await, [of_part(1), of_part(2)]);
    world.collect(&dropped.id, 2).await.unwrap();
    assert_eq!(listed(&world, &dropped.id).await, [of_part(1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_reported_for_every_open_drop_and_so_is_its_end() {
    let (world, first) = fed(2).await;
    let second = world.drop_file("incoming/second.csv", good_file(2)).await;
    world.api.set_key("another");
    assert!(!world.submit(&second).await);
    assert_eq!(world.problem(&second.id).await.as_deref(), Some("E_API_KEY"));
    assert!(world.poll_at(Timestamp::now()).await.is_err());
    assert_eq!(world.problem(&first.id).await.as_deref(), Some("E_API_KEY"));
    world.api.set_key(KEY);
    world.poll().await;
    for dropped in [&first, &second] {
        assert_eq!(world.problem(&dropped.id).await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_results_that_is_not_allowed_is_reported_when_the_job_completes() {
    let (world, dropped) = fed(2).await;
    let elsewhere = json!("https://results.example.net/out?X-Amz-Signature=s");
    world.api.change("job-1", |job| drop(job.fields.insert("outputFileUrl".into(), elsewhere)));
    world.api.complete_all();
    world.poll().await;
    let host = [of("E_HOST", Owner::Stack, None)];
    assert_eq!(listed(&world, &dropped.id).await, host);
    let problem = world.status(&dropped.id).await.problem.unwrap();
    assert!(problem.message.contains("results.example.net"), "{problem:?}");
    assert_eq!(world.api.count(Call::Download), 0);
    // That collect cannot fetch them either adds nothing, and a tick takes nothing away.
    world.collect(&dropped.id, 1).await.unwrap();
    world.poll().await;
    assert_eq!(listed(&world, &dropped.id).await, host);
    world.api.change("job-1", |job| drop(job.fields.remove("outputFileUrl")));
    world.collect_all(&dropped.id).await;
    world.ended(&dropped.id).await.assert_state(DropState::Completed);
    world.poll().await;
    let next = world.drop_file("incoming/next.csv", good_file(2)).await;
    assert!(world.submit(&next).await);
    assert_eq!(listed(&world, &next.id).await, [], "no part waits for that host any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_was_missed_is_made_at_the_next_tick() {
    let (world, dropped) = fed(2).await;
    world.api.set_state("job-1", "PREPROCESSING");
    let job_state = async || world.status(&dropped.id).await.parts[0].job_state.clone();
    // This tick records the job's state, and cannot write status.json.
    let without = world.cold_with("RESULTS_BUCKET", "no-such-bucket");
    let deadline = moondrop_shared::services::lambda::Deadline::after(DAY);
    moondrop_poll::handle(&without, Timestamp::now(), deadline).await.unwrap();
    assert_eq!(job_state().await, None);
    // The next one finds nothing new.
    world.poll().await;
    assert_eq!(job_state().await.as_deref(), Some("PREPROCESSING"));

    world.api.complete_all();
    world.poll().await;
    world.api.next(Call::Download, [Answer::status(500)]);
    collect(&without, &dropped.id, 1).await.unwrap();
    assert_eq!(listed(&world, &dropped.id).await, []);
    world.poll().await;
    assert_eq!(listed(&world, &dropped.id).await, [of("E_RESULTS", Owner::Part, Some(1))]);
    let due = world.record(&dropped.id).await.reports_due;
    assert_eq!(due.len(), 2, "the first tick and collect may still run and report: {due:?}");
    world.poll_in(21).await;
    assert!(world.record(&dropped.id).await.reports_due.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_problems_the_first_twenty_are_listed_and_all_are_counted() {
    let world = InProcess::start_with(&[("ROWS_PER_JOB", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(30)).await;
    world.api.always(Call::Upload, Some(Answer::status(500)));
    assert!(!world.submit(&dropped).await);
    let status = world.status(&dropped.id).await;
    assert_eq!((status.problems.len(), status.problem_count), (20, 30));
    let parts: Vec<_> = status.problems.iter().filter_map(|one| one.part).collect();
    assert_eq!(parts, (1..=20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_count_as_rejected_while_the_others_wait() {
    let world = InProcess::start().await;
    let file = "ref_id,type,content\n1,text,a\n2,video,b\n3,text,c\n4,text,\n5,text,e\n";
    let dropped = world.drop_file("incoming/posts.csv", file).await;
    assert!(world.submit(&dropped).await);
    let rows = world.status(&dropped.id).await.rows;
    assert_eq!((rows.total, rows.outcomes.rejected, rows.pending), (Some(5), 2, 3));
    world.api.complete_all();
    world.poll().await;
    world.collect(&dropped.id, 1).await.unwrap();
    // Of what goes well poll tells, at its next tick.
    let before = world.status(&dropped.id).await.rows;
    assert_eq!((before.outcomes.evaluated, before.pending), (0, 3));
    world.poll().await;
    let rows = world.status(&dropped.id).await.rows;
    assert_eq!((rows.outcomes.evaluated, rows.outcomes.rejected, rows.pending), (1, 2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_versions_that_judged_a_drop_are_shown_and_more_than_one_is_a_warning() {
    let (world, dropped) = fed(6).await;
    for (job, version) in [("job-1", "v-1"), ("job-2", "v-2")] {
        world.api.change(job, |job| {
            for (field, value) in [
                ("policyId", "policy-of-the-api"),
                ("policyVersionId", version),
                ("updatedAt", "2026-11-24T10:00:00Z"),
            ] {
                job.fields.insert(field.to_owned(), json!(value));
            }
        });
    }
    let ended = world.end(&dropped).await;
    ended.assert_state(DropState::Completed);
    let written = world.read(ended.status.files.status.as_str()).await.unwrap();
    let written: Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(written["policy_versions"], json!(["v-1", "v-2"]));
    assert_eq!(written["problem"]["code"], "W_MIXED_VERSIONS");
    assert_eq!(written["problems"][0]["owner"], "drop");
    let parts = written["parts"].as_array().unwrap();
    let of_job = |job: &str| parts.iter().find(|part| part["job"] == job).unwrap();
    let one = of_job("job-1");
    assert_eq!(
        (&one["policy_version"], &one["policy_id"], &one["job_updated_at"]),
        (&json!("v-1"), &json!("policy-of-the-api"), &json!("2026-11-24T10:00:00Z"))
    );
    // The API reports none of it for the third job, and nothing is guessed.
    for field in ["policy_version", "policy_id", "job_updated_at"] {
        assert!(of_job("job-3").as_object().unwrap().contains_key(field));
        assert_eq!(of_job("job-3")[field], Value::Null);
    }
    let event = world.events("Drop Completed", &dropped.id).remove(0);
    assert_eq!(event["policy_versions"], json!(["v-1", "v-2"]));
    assert_eq!(event["problem"]["code"], "W_MIXED_VERSIONS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_problem_of_creating_jobs_ends_when_one_is_created() {
    let world = InProcess::start_with(&[("UPLOADS_AT_ONCE", "1")]).await;
    let dropped = world.drop_file("incoming/posts.csv", good_file(4)).await;
    world.api.always(Call::Create, Some(Answer::refusal(400, 9, "no more jobs")));
    assert!(!world.submit(&dropped).await);
    let refused = [of("E_API_REFUSED", Owner::Drop, None)];
    assert_eq!(listed(&world, &dropped.id).await, refused);
    // An invocation without time asks for no job, and knows nothing new.
    let no_time = std::time::Duration::from_secs(10);
    assert_eq!(submit(&world.services, &[&dropped.message], no_time).await, ["0"]);
    assert_eq!(listed(&world, &dropped.id).await, refused);
    world.api.always(Call::Create, None);
    assert!(world.submit(&dropped).await);
    assert_eq!(listed(&world, &dropped.id).await, []);
    assert_eq!(world.states(&dropped.id).await, [PartState::Uploaded; 2]);
}
