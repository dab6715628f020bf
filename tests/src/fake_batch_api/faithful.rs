//! What the API answers where a test sets nothing: what its contract says.

use super::*;

impl State {
    pub(super) fn answer(&mut self, url: &str, call: Call, request: &Request) -> Reply {
        let signed = matches!(call, Call::Upload | Call::Download);
        if !signed && request.header("authorization") != Some(&format!("Bearer {}", self.key)) {
            return refusal(401, 16, "unauthenticated");
        }
        match call {
            Call::Create => self.create(url, request),
            Call::Get => self.get(url, request),
            Call::Cancel => self.cancel(request),
            Call::Upload => self.upload(request),
            Call::Download => self.download(request),
        }
    }

    pub(super) fn create(&mut self, url: &str, request: &Request) -> Reply {
        let asked: Value = serde_json::from_slice(&request.body).unwrap();
        let id = format!("job-{}", self.jobs.len() + 1);
        let name = asked["name"].as_str().unwrap().to_owned();
        self.jobs.push(FakeJob {
            id: id.clone(),
            name: name.clone(),
            state: "INITIALIZED".to_owned(),
            created_at: Timestamp::now(),
            uploads: Vec::new(),
            fields: BTreeMap::new(),
            results: None,
        });
        let upload = format!("{url}/input/{id}?X-Amz-Signature={SIGNATURE}");
        Reply::json(200, &json!({"batchJobId": id, "name": name, "inputFileUploadUrl": upload}))
    }

    pub(super) fn get(&mut self, url: &str, request: &Request) -> Reply {
        let asked = |name: &str| -> Vec<String> {
            let pairs = request.query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.filter(|(n, _)| *n == name).map(|(_, value)| value.to_owned()).collect()
        };
        let (ids, states): (HashSet<String>, Vec<String>) =
            (asked("batchJobIds").into_iter().collect(), asked("states"));
        if self.forbidden.as_ref().is_some_and(|job| ids.contains(job)) {
            return refusal(403, 7, "permission denied");
        }
        if self.left_out.as_ref().is_some_and(|job| ids.contains(job)) {
            return refusal(500, 13, "scripted");
        }
        let known = self.jobs.iter().filter(|job| ids.contains(&job.id)).count();
        if !self.leave_out_missing && known < ids.len() {
            return refusal(404, 5, "not found");
        }
        let addresses = &mut self.addresses;
        let told = self.jobs.iter().filter(|job| ids.is_empty() || ids.contains(&job.id));
        let told = told.filter(|job| {
            states.is_empty() || states.contains(&format!("BATCH_JOB_STATE_{}", job.state))
        });
        let told: Vec<Value> = told
            .take(self.page.unwrap_or(usize::MAX))
            .map(|job| {
                let mut record = json!({"batchJobId": job.id, "name": job.name, "createdAt": job.created_at.to_string(),
                    "state": format!("BATCH_JOB_STATE_{}", job.state)});
                if job.state == "COMPLETED" {
                    *addresses += 1;
                    let address = format!("{url}/output/{}?fresh={addresses}&X-Amz-Signature={SIGNATURE}", job.id);
                    record["outputFileUrl"] = address.into();
                }
                for (name, value) in &job.fields {
                    record[name] = value.clone();
                }
                record
            })
            .collect();
        Reply::json(200, &json!({"batchJobs": told}))
    }

    pub(super) fn cancel(&mut self, request: &Request) -> Reply {
        let id = request
            .path
            .trim_start_matches("/v1/batch-jobs/")
            .trim_end_matches("/cancel")
            .to_owned();
        match self.jobs.iter_mut().find(|job| job.id == id) {
            None => refusal(404, 5, "not found"),
            Some(job) if ["COMPLETED", "ERROR"].contains(&job.state.as_str()) => {
                refusal(400, 9, "the job has ended")
            }
            Some(job) => {
                "CANCELLED".clone_into(&mut job.state);
                Reply::json(200, &json!({"batchJobId": id, "state": "BATCH_JOB_STATE_CANCELLED"}))
            }
        }
    }

    pub(super) fn upload(&mut self, request: &Request) -> Reply {
        // As S3: a body of unknown length, or a header that was not signed, is refused.
        if request.header("content-length").is_none() {
            return refusal(411, 0, "MissingContentLength");
        }
        if request.header("authorization").is_some() {
            return refusal(400, 0, "Only one auth mechanism allowed");
        }
        let id = request.path.trim_start_matches("/input/");
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) else {
            return refusal(403, 0, "no such job");
        };
        job.uploads.push(request.body.clone());
        if job.state == "INITIALIZED" {
            "QUEUED".clone_into(&mut job.state);
        }
        Reply { body: Vec::new(), ..Reply::json(200, &Value::Null) }
    }

    pub(super) fn download(&mut self, request: &Request) -> Reply {
        let id = request.path.trim_start_matches("/output/");
        let Some(job) = self.jobs.iter().find(|job| job.id == id) else {
            return refusal(403, 0, "no such job");
        };
        let made = || job.uploads.last().map(|upload| results_of(upload)).unwrap_or_default();
        let body = job.results.clone().unwrap_or_else(made);
        Reply { body, ..Reply::json(200, &Value::Null) }
    }
}
