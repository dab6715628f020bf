//! Multipart uploads outlive a kill.

use super::parts::{Begun, KEY, MIB};
use super::*;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use std::process::{Command, Stdio};

async fn complete(upload: &Begun, number: i32, body: Vec<u8>) {
    let sent = upload.part(number, body).send().await.unwrap();
    let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = upload.s3.complete_multipart_upload().bucket(RESULTS).key(KEY);
    complete.upload_id(&upload.id).multipart_upload(parts).send().await.unwrap();
}

fn note(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join("note.new"), text).unwrap();
    fs::rename(dir.join("note.new"), dir.join(name)).unwrap();
}

/// Not a test: a process that completes uploads, one after the other, and adds parts to another one
/// until it is killed. It names what has been answered.
#[tokio::test]
async fn uploading_process() {
    let Ok(dir) = std::env::var("MOONDROP_UPLOAD_INTO") else {
        return;
    };
    let dir = Path::new(&dir);
    let stack = servers(dir).await;
    let open = Begun::new(&stack.s3(), None).await;
    note(dir, "open", &open.id);
    for n in 1..=10_000 {
        open.part(n, n.to_string()).send().await.unwrap();
        complete(&Begun::new(&stack.s3(), None).await, n, vec![n as u8; MIB]).await;
        note(dir, "answered", &n.to_string());
    }
}

#[tokio::test]
async fn what_was_answered_of_uploads_outlives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let command = this_test("uploads_killed::uploading_process");
    let answered = || fs::read_to_string(dir.path().join("answered")).ok()?.parse::<i32>().ok();
    for _ in 0..3 {
        let _ = fs::remove_file(dir.path().join("answered"));
        let mut process = Command::new(&command[0]);
        let process = process.args(&command[1..]).env("MOONDROP_UPLOAD_INTO", dir.path());
        let mut process = process.stdout(Stdio::null()).spawn().unwrap();
        eventually("some uploads", || answered().filter(|n| *n >= 10)).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..40))).await;
        // On Unix this is SIGKILL.
        process.kill().unwrap();
        process.wait().unwrap();
        let answered = answered().unwrap();

        let stack = servers(dir.path()).await;
        let s3 = stack.s3();
        let id = fs::read_to_string(dir.path().join("open")).unwrap();
        let list = s3.list_parts().bucket(RESULTS).key(KEY).upload_id(&id).send().await.unwrap();
        assert!((answered..=answered + 1).contains(&(list.parts().len() as i32)), "{list:?}");
        // The last that was answered or, if it was decided, the next one: whole, and its own ETag.
        let object = s3.get_object().bucket(RESULTS).key(KEY).send().await.unwrap();
        assert!(object.e_tag().unwrap().ends_with("-1\""), "{object:?}");
        let bytes = object.body.collect().await.unwrap().to_vec();
        let version = i32::from(bytes[0]);
        assert!((answered..=answered + 1).contains(&version), "{version} of {answered}");
        assert!(bytes.len() == MIB && bytes.iter().all(|byte| *byte == bytes[0]));
        complete(&Begun { s3, id }, 10_000, b"went on".to_vec()).await;
        stack.stop().await;
    }
}
