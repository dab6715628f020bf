//! Files and rows that are not fit: each is told why, and nothing is spent or lost.

use crate::BINARY;
use moondrop_shared::drop::DropState;
use moondrop_tests::processes::Deployment;
use moondrop_tests::rows::{assert_all_rows, good_file, with_error};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_is_refused_with_code_and_line_and_no_job_is_made() {
    let world = Deployment::start(BINARY).await;
    let cases: [(&str, &[u8], &str, &str); 9] = [
        ("empty", b"", "E_EMPTY", "1,0,,E_EMPTY,"),
        ("header-only", b"ref_id,type,content\n", "E_EMPTY", "1,0,,E_EMPTY,"),
        ("no-column", b"ref_id,type\n1,text\n", "E_HEADER", "1,0,,E_HEADER,"),
        ("semicolons", b"ref_id;type;content\n1;text;x\n", "E_HEADER", "1,0,,E_HEADER,"),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "E_ENCODING", "1,0,,E_ENCODING,"),
        ("utf16", b"\xff\xfer\0e\0f\0_\0i\0d\0", "E_ENCODING", "1,0,,E_ENCODING,"),
        (
            "open-quote",
            b"ref_id,type,content\n1,text,x\n2,text,\"y\n3,text,z\n",
            "E_QUOTE",
            "3,29,,E_QUOTE,",
        ),
        ("fields", b"ref_id,type,content\n1,text,x\n2,text,a,b\n", "E_FIELDS", "3,29,,E_FIELDS,"),
        ("nul", b"ref_id,type,content\n1,text,x\0y\n", "E_ENCODING", "2,20,,E_ENCODING,"),
    ];
    for (name, file, code, line) in cases {
        let ended = world.process(&format!("incoming/{name}.csv"), file).await;
        ended.assert_state(DropState::Rejected);
        assert!(ended.results.is_none(), "{name}");
        let problem = ended.status.problem.as_ref().unwrap();
        assert_eq!(problem.code.as_str(), code, "{name}");
        assert!(problem.next_step.contains("Nothing was sent"), "{name}: {problem:?}");
        let lines: Vec<&str> = ended.rejected().lines().collect();
        assert_eq!(lines[0], "line,byte_offset,ref_id,code,message");
        assert!(lines.len() == 2 && lines[1].starts_with(line), "{name}: {lines:?}");
    }
    assert!(world.sandbox().jobs().is_empty(), "nothing is spent on a file that is refused");
    let rejected = world.aws().events();
    let rejected: Vec<_> =
        rejected.iter().filter(|e| e["detail-type"] == "Drop Rejected").collect();
    assert_eq!(rejected.len(), cases.len());
    assert!(
        rejected.iter().all(|e| e["detail"]["problem"]["code"].as_str().unwrap().starts_with("E_"))
    );
    world.stop().await;
}

const BAD_ROWS: &str = "ref_id,type,content\n\
    a,text,fine\n\
    b,video,x\n\
    c,text,\n\
    ,text,x\n\
    d,image_url,not an address\n\
    a,text,again\n\
    e,image_url,https://example.com/x.png\n";

#[tokio::test(flavor = "multi_thread")]
async fn rejected_rows_keep_their_place_with_their_error_and_the_others_are_evaluated() {
    let world = Deployment::start_with(BINARY, |config| config.rows_per_job = 2).await;
    let ended = world.process("incoming/bad.csv", BAD_ROWS).await;
    ended.assert_state(DropState::CompletedWithErrors);
    let rows = assert_all_rows(BAD_ROWS.as_bytes(), ended.results());
    let starts = [
        "",
        "rejected: E_TYPE ",
        "rejected: E_CONTENT ",
        "rejected: E_REF_ID ",
        "rejected: E_CONTENT ",
        "rejected: E_REF_ID ",
        "",
    ];
    for (row, start) in rows.iter().zip(starts) {
        assert!(
            row["error"].starts_with(start) && row["error"].is_empty() == start.is_empty(),
            "{row:?}"
        );
    }
    let lines: Vec<&str> =
        ended.rejected().lines().skip(1).map(|l| l.split(",E_").next().unwrap()).collect();
    assert_eq!(lines, ["3,32,b", "4,42,c", "5,50,", "6,58,d", "7,85,a"]);
    // Two of the four parts have nothing to send, and so no job.
    assert_eq!(world.jobs_with_rows().len(), 2);
    assert_eq!(ended.status.rows.outcomes.rejected, 5);
    assert_eq!(ended.status.rows.outcomes.evaluated, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_rows_hold_back_the_file_if_the_setting_says_so() {
    let world = Deployment::start_with(BINARY, |config| config.reject_file = true).await;
    let ended = world.process("incoming/bad.csv", BAD_ROWS).await;
    ended.assert_state(DropState::Rejected);
    assert_eq!(ended.status.problem.as_ref().unwrap().code.as_str(), "E_ROWS");
    assert_eq!(ended.rejected().lines().count(), 6);
    assert!(ended.results.is_none() && world.sandbox().jobs().is_empty());
    let good = world.process("incoming/good.csv", good_file(3)).await;
    good.assert_state(DropState::Completed);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_bad_rows_only_comes_out_whole_without_a_job() {
    let world = Deployment::start(BINARY).await;
    let file = "ref_id,type,content\n1,video,x\n2,text, \n3,Text,y\n";
    let ended = world.process("incoming/bad.csv", file).await;
    ended.assert_state(DropState::Failed);
    let problem = ended.status.problem.as_ref().unwrap();
    assert_eq!(problem.code.as_str(), "E_NOTHING");
    assert!(problem.message.contains("3 were rejected, most often E_TYPE (2)"), "{problem:?}");
    let rows = assert_all_rows(file.as_bytes(), ended.results());
    assert_eq!(with_error(&rows, "rejected: ").len(), 3);
    assert!(world.sandbox().jobs().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_of_a_refused_file_is_listed_and_counted_by_code() {
    let world = Deployment::start(BINARY).await;
    let file = b"ref_id,type,content\n1,text,a,\n2,text,b\n3,text\n4,text,\xff\n5,Text,c\n";
    let ended = world.process("incoming/posts.csv", file).await;
    ended.assert_state(DropState::Rejected);
    let lines: Vec<&str> = ended
        .rejected()
        .lines()
        .skip(1)
        .map(|l| l.split_at(l.find(",E_").unwrap() + 7).0)
        .collect();
    assert_eq!(lines, ["2,20,,E_FIEL", "4,39,,E_FIEL", "5,46,,E_ENCO", "6,55,,E_TYPE"]);
    assert!(ended.rejected().contains("(the first of 2 errors E_FIELDS)"), "{}", ended.rejected());
    let status = serde_json::to_value(&ended.status).unwrap();
    assert_eq!(status["errors"], json!({"E_ENCODING": 1, "E_FIELDS": 2, "E_TYPE": 1}));
    let message = status["problem"]["message"].as_str().unwrap();
    assert!(message.starts_with("line 2: ") && message.contains("In all 2 E_FIELDS"), "{message}");
    assert!(world.sandbox().jobs().is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgiven_is_no_row_and_status_json_says_so_with_its_lines() {
    let world = Deployment::start(BINARY).await;
    let part = "\u{feff}ref_id,type,content\r\n";
    let file = format!("{part}1,text,a\r\n  \r\n{part}2,text,b\r\n");
    let ended = world.process("incoming/posts.csv", file).await;
    ended.assert_state(DropState::Completed);
    let status = serde_json::to_value(&ended.status).unwrap();
    let notices: Vec<_> = status["notices"].as_array().unwrap().iter().collect();
    let seen: Vec<_> = notices.iter().map(|n| (&n["code"], &n["count"], &n["lines"])).collect();
    let (blank, again) = (json!("N_BLANK_LINES"), json!("N_HEADER_AGAIN"));
    assert_eq!(seen, [(&blank, &json!(1), &json!([3])), (&again, &json!(1), &json!([4]))]);
    assert_eq!(status["rows"]["total"], 2);
    assert!(ended.results().starts_with("\u{feff}ref_id,type,labels".as_bytes()));
    assert_eq!(String::from_utf8_lossy(ended.results()).lines().count(), 3);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_policy_is_refused_in_clear_words() {
    let no_default = |config: &mut moondrop_local::local_stack::LocalStackConfig| {
        config.settings.insert("DEFAULT_POLICY".to_owned(), String::new());
        config.settings.insert("POLICY_ALIASES".to_owned(), r#"{"hate":"policy-7"}"#.to_owned());
    };
    let world = Deployment::start_with(BINARY, no_default).await;
    let ended = world.process("incoming/posts.csv", good_file(2)).await;
    ended.assert_state(DropState::Rejected);
    let problem = ended.status.problem.as_ref().unwrap();
    assert_eq!(problem.code.as_str(), "E_POLICY");
    assert!(problem.message.contains("folder"), "{problem:?}");
    let aliased = world.process("incoming/hate/posts.csv", good_file(2)).await;
    aliased.assert_state(DropState::Completed);
    assert_eq!(aliased.status.policy.as_deref(), Some("policy-7"));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_job_that_the_api_refuses_come_out_as_failed() {
    let world = Deployment::start_with(BINARY, |config| config.rows_per_job = 2).await;
    let file = "ref_id,type,content\n1,text,a\n2,text,b\n3,video,c\n4,text,d\n";
    let ended = world.process("incoming/invalid-policy/posts.csv", file).await;
    ended.assert_state(DropState::Failed);
    let rows = assert_all_rows(file.as_bytes(), ended.results());
    assert_eq!(
        with_error(&rows, "failed: the API refuses to create a job: INVALID_POLICY").len(),
        3
    );
    assert_eq!(with_error(&rows, "rejected: E_TYPE").len(), 1);
    assert_eq!((ended.status.rows.outcomes.failed, ended.status.rows.outcomes.rejected), (3, 1));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_overwritten_before_it_was_read_ends_as_failed_and_says_so() {
    let world = Deployment::start(BINARY).await;
    world.set_paused(true).await;
    let overwritten = world.drop_file("incoming/posts.csv", good_file(2)).await;
    world.wait_for(&overwritten.id, "it is recorded", |record| record.retry_at.is_some()).await;
    let last = world.drop_file("incoming/posts.csv", good_file(3)).await;
    world.wait_for(&last.id, "it is recorded", |record| record.retry_at.is_some()).await;
    assert!(world.jobs_with_rows().is_empty(), "nothing is begun in a pause");
    world.set_paused(false).await;
    let ended = world.end_of(&overwritten.id).await;
    ended.assert_state(DropState::Failed);
    assert_eq!(ended.status.problem.as_ref().unwrap().code.as_str(), "E_GONE");
    world.end_of(&last.id).await.assert_state(DropState::Completed);
    assert_eq!(
        world.jobs_with_rows().len(),
        1,
        "the rows that stand there now were not evaluated for it"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_event_becomes_a_dead_letter_and_the_others_go_on() {
    let world = Deployment::start_with(BINARY, |config| config.redelivery.max_receives = 2).await;
    world.put_event("Drop Stalled", &json!({"bucket": "nonsense"})).await;
    let ended = world.process("incoming/posts.csv", good_file(2)).await;
    ended.assert_state(DropState::Completed);
    while world.aws().dead_letters().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(world.aws().dead_letters()[0].to_string().contains("nonsense"));
    world.stop().await;
}
