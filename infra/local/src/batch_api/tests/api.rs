use super::{Bench, HOUR, INPUT, KEY, answer};
use crate::batch_api::{JobState, MissingIds};
use futures_util::future::join_all;
use serde_json::json;

#[tokio::test]
async fn creates_a_job_that_waits_for_its_file() {
    let bench = Bench::new().await;
    let (id, url) = bench.create().await;
    assert!(url.starts_with(&format!("{}/upload/{id}?X-Amz-Algorithm=", bench.sandbox.url())));
    let record = bench.record(&id).await;
    assert_eq!(record["state"], "BATCH_JOB_STATE_INITIALIZED");
    assert_eq!((&record["name"], &record["policyId"]), (&json!("n"), &json!("p")));
    assert!(record["createdAt"].as_str().unwrap().ends_with('Z'));
    for absent in ["outputFileUrl", "policyVersionId", "error"] {
        assert!(record.get(absent).is_none(), "{absent}");
    }
    let [job] = bench.sandbox.jobs().try_into().unwrap();
    assert_eq!((job.id, job.uploads, job.started), (id, 0, false));
}

#[tokio::test]
async fn refuses_a_create_without_a_policy_or_without_sense() {
    let bench = Bench::new().await;
    for body in
        ["", "{", "[]", "{}", r#"{"policyId":" "}"#, r#"{"policyId":null}"#, r#"{"policyId":7}"#]
    {
        let (status, error) = answer(bench.post("/v1/batch-jobs").body(body)).await;
        assert_eq!((status, &error["code"]), (400, &json!(3)), "{body}");
        assert!(error["message"].is_string());
    }
    assert!(bench.sandbox.jobs().is_empty());
}

#[tokio::test]
async fn an_invalid_policy_is_a_200_without_a_url() {
    let bench = Bench::new().await;
    let request = bench.post("/v1/batch-jobs").json(&json!({"name": "n", "policyId": "invalid-1"}));
    let (status, body) = answer(request).await;
    assert_eq!(status, 200);
    assert_eq!(body["error"]["errorCode"], "BATCH_JOB_ERROR_INVALID_POLICY");
    assert!(body.get("inputFileUploadUrl").is_none());
    assert!(bench.sandbox.jobs().is_empty());
}

#[tokio::test]
async fn wants_its_key() {
    let bench = Bench::new().await;
    let url = format!("{}/v1/batch-jobs", bench.sandbox.url());
    for request in [
        bench.http.get(&url),
        bench.http.get(&url).bearer_auth("another"),
        bench.http.get(&url).basic_auth("a", Some(KEY)),
        bench.http.post(&url).json(&json!({"policyId": "p"})),
        bench.http.post(format!("{url}/x/cancel")).body("{}"),
    ] {
        let (status, error) = answer(request).await;
        assert_eq!((status, &error["code"]), (401, &json!(16)));
        assert!(!error.to_string().contains(KEY));
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_in_json() {
    let bench = Bench::new().await;
    let (status, error) = answer(bench.post("/v1/batch-job")).await;
    assert_eq!((status, &error["code"]), (404, &json!(5)));
    let url = format!("{}/v1/batch-jobs", bench.sandbox.url());
    let (status, error) = answer(bench.http.delete(url).bearer_auth(KEY)).await;
    assert_eq!((status, &error["code"]), (405, &json!(12)));
}

#[tokio::test]
async fn slows_down_who_creates_too_fast() {
    let bench = Bench::with(|config| config.max_create_per_second = Some(3)).await;
    let create = || bench.post("/v1/batch-jobs").json(&json!({"policyId": "p"})).send();
    let answers = join_all((0..12).map(|_| create())).await;
    let (good, slow): (Vec<_>, Vec<_>) =
        answers.into_iter().map(Result::unwrap).partition(|a| a.status() == 200);
    assert!(good.len() >= 3 && !slow.is_empty());
    for answer in slow {
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["retry-after"], "1");
        assert_eq!(answer.json::<serde_json::Value>().await.unwrap()["code"], 8);
    }
    while create().await.unwrap().status() != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn filters_by_ids_and_by_states() {
    let bench = Bench::new().await;
    let (waiting, _) = bench.create().await;
    let done = bench.upload(INPUT).await;
    bench.reach(&done, JobState::Completed).await;
    let ids = async |query: String| {
        let (status, body) = answer(bench.get(&query)).await;
        assert_eq!(status, 200, "{body}");
        let jobs = body["batchJobs"].as_array().unwrap().clone();
        jobs.iter().map(|job| job["batchJobId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(String::new()).await, [waiting.as_str(), &done]);
    assert_eq!(ids(format!("?batchJobIds={done}&batchJobIds={done}")).await, [done.as_str()]);
    assert_eq!(ids(format!("?batchJobIds={done}&batchJobIds={waiting}")).await.len(), 2);
    assert_eq!(ids("?states=BATCH_JOB_STATE_INITIALIZED".to_owned()).await, [waiting.as_str()]);
    let none = format!(
        "?batchJobIds={waiting}&states=BATCH_JOB_STATE_COMPLETED&states=BATCH_JOB_STATE_ERROR"
    );
    assert_eq!(ids(none).await, [""; 0]);
    let (status, error) = answer(bench.get("?states=COMPLETED")).await;
    assert_eq!((status, &error["code"]), (400, &json!(3)));
}

#[tokio::test]
async fn one_missing_id_hides_them_all() {
    let bench = Bench::new().await;
    let (id, _) = bench.create().await;
    let (status, error) = answer(bench.get(&format!("?batchJobIds={id}&batchJobIds=gone"))).await;
    assert_eq!((status, &error["code"]), (404, &json!(5)));

    let lenient = Bench::with(|config| config.missing_ids = MissingIds::LeftOut).await;
    let (id, _) = lenient.create().await;
    let (status, body) = answer(lenient.get(&format!("?batchJobIds=gone&batchJobIds={id}"))).await;
    assert_eq!(status, 200);
    assert_eq!(body["batchJobs"].as_array().unwrap().len(), 1);
    assert_eq!(body["batchJobs"][0]["batchJobId"], json!(id));
}

#[tokio::test]
async fn a_job_is_archived_after_30_days() {
    let bench = Bench::new().await;
    let id = bench.upload(INPUT).await;
    bench.reach(&id, JobState::Completed).await;
    bench.sandbox.advance_clock(HOUR * 24 * 29);
    bench.reach(&id, JobState::Completed).await;
    bench.sandbox.advance_clock(HOUR * 24);
    let (status, error) = answer(bench.get(&format!("?batchJobIds={id}"))).await;
    assert_eq!((status, &error["code"]), (404, &json!(5)));
    let (_, all) = answer(bench.get("")).await;
    assert_eq!(all, json!({"batchJobs": []}));
    let cancel = bench.post(&format!("/v1/batch-jobs/{id}/cancel")).body("{}");
    assert_eq!(answer(cancel).await.0, 404);
    assert_eq!(bench.sandbox.jobs().len(), 1);
}

#[tokio::test]
async fn cancels_what_is_not_over() {
    let bench = Bench::new().await;
    let cancel = |id: &str| bench.post(&format!("/v1/batch-jobs/{id}/cancel")).json(&json!({}));
    let (id, url) = bench.create().await;
    let (status, body) = answer(cancel(&id)).await;
    assert_eq!(
        (status, body),
        (200, json!({"batchJobId": id, "state": "BATCH_JOB_STATE_CANCELLED"}))
    );
    let (status, error) = answer(cancel(&id)).await;
    assert_eq!((status, &error["code"]), (400, &json!(9)));

    // The bucket knows nothing of jobs.
    assert_eq!(bench.put(&url, INPUT).await.status(), 200);
    let [job] = bench.sandbox.jobs().try_into().unwrap();
    assert_eq!((job.state, job.uploads, job.started), (JobState::Cancelled, 1, false));

    let done = bench.upload(INPUT).await;
    bench.reach(&done, JobState::Completed).await;
    assert_eq!(answer(cancel(&done)).await.0, 400);
    assert_eq!(answer(cancel("unknown")).await.0, 404);
    let malformed = bench.post(&format!("/v1/batch-jobs/{done}/cancel")).body("[");
    assert_eq!(answer(malformed).await.1["code"], 3);
}

#[tokio::test]
async fn its_key_is_not_shown_by_its_config() {
    let bench = Bench::new().await;
    let config = crate::batch_api::SandboxConfig::new(bench.dir.path(), KEY);
    assert!(!format!("{config:?}").contains(KEY));
}
