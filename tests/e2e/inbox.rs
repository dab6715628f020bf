//! `moondrop up`: what it takes from its inbox and when, and what it says of the rest.

use crate::BINARY;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata as _;
use moondrop_local::aws::{DROPS, Endpoints};
use moondrop_tests::files::{find_all, find_one};
use moondrop_tests::rows::{assert_all_rows, good_file};
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

/// For tests whose files are whole at once.
const QUICK: [&str; 2] = ["--quiet-for", "300ms"];

/// A running `moondrop up`, killed in the end.
pub(super) struct Up {
    process: Child,
    said: Arc<Mutex<Vec<String>>>,
    dir: PathBuf,
}

impl Up {
    /// Starts it in a folder, and waits until it is up.
    pub(super) fn start(dir: &Path, args: &[&str]) -> Up {
        let mut up = Command::new(BINARY);
        let up = up.args(["up", "--poll-every", "50ms"]).args(args);
        if !args.contains(&"--job-time") {
            up.args(["--job-time", "300ms"]);
        }
        let mut up = up.current_dir(dir).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(up.stdout.take().unwrap()).lines();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = said.clone();
        thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| heard.lock().unwrap().push(line));
        });
        let up = Up { process: up, said, dir: dir.join(".moondrop") };
        up.hears("Results appear");
        up
    }

    fn inbox(&self, name: &str) -> PathBuf {
        let path = self.dir.join("inbox").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// The lines it has said with these words.
    fn said(&self, words: &str) -> Vec<String> {
        self.said.lock().unwrap().iter().filter(|line| line.contains(words)).cloned().collect()
    }

    /// Waits for a line with these words.
    fn hears(&self, words: &str) -> String {
        wait_for(words, || self.said(words).pop())
    }

    /// Waits for the results of a drop of this path.
    pub(super) fn results(&self, path: &str) -> Vec<u8> {
        let folder = self.dir.join("outbox/results").join(path);
        // The status is the last of the files to be brought out.
        wait_for(path, || find_all(&folder, "status.json").pop());
        find_one(&folder, "results.csv")
    }

    /// Drops another file and waits until it is taken: by then all that was there has been looked
    /// at.
    fn looks_again(&self, name: &str) {
        std::fs::write(self.inbox(name), good_file(1)).unwrap();
        self.hears(&format!("dropped {name}"));
    }

    fn s3(&self) -> Client {
        let line = self.hears("S3          http://");
        let s3 = line.split_whitespace().nth(1).unwrap().to_owned();
        let none = String::new;
        Endpoints { s3, dynamodb: none(), events: none(), secrets_manager: none() }.s3_client()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

pub(super) fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < Duration::from_secs(60), "waited too long for {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn up_takes_files_from_its_inbox_and_publishes_into_its_outbox() {
    let dir = TempDir::new().unwrap();
    let up = Up::start(dir.path(), &QUICK);
    assert_eq!(up.said("aws --endpoint-url http://127.0.0.1:").len(), 1);
    std::fs::write(up.inbox("my-policy/posts.csv"), good_file(4)).unwrap();
    assert_all_rows(&good_file(4), &up.results("my-policy/posts"));
    assert!(!up.inbox("my-policy/posts.csv").exists(), "the file has left the inbox");
}

/// Writes a file in two halves, with a pause, by a clock that is ahead; the file is not held open
/// in between.
fn write_with_a_pause(path: &Path, pause: Duration, ahead: Duration) {
    let rows = good_file(20);
    for half in [&rows[..rows.len() / 2], &rows[rows.len() / 2..]] {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(half).unwrap();
        file.set_modified(SystemTime::now() + ahead).unwrap();
        drop(file);
        thread::sleep(pause);
    }
}

#[test]
fn a_writer_that_pauses_loses_no_row_whatever_its_clock_says() {
    let dir = TempDir::new().unwrap();
    let up = Up::start(dir.path(), &[]);
    let cases = [("p2500", 2500, 0), ("p3000", 3000, 0), ("p4000", 4000, 0), ("ahead", 4000, 60)];
    thread::scope(|scope| {
        for (name, pause, ahead) in cases {
            let path = up.inbox(&format!("{name}.csv"));
            let (pause, ahead) = (Duration::from_millis(pause), Duration::from_secs(ahead));
            scope.spawn(move || write_with_a_pause(&path, pause, ahead));
        }
    });
    for (name, ..) in cases {
        assert_all_rows(&good_file(20), &up.results(name));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_a_process_still_has_open_for_writing_waits_however_long() {
    let dir = TempDir::new().unwrap();
    let up = Up::start(dir.path(), &QUICK);
    let rows = good_file(20);
    let mut file = File::create(up.inbox("held.csv")).unwrap();
    file.write_all(&rows[..rows.len() / 2]).unwrap();
    up.hears("held.csv waits");
    up.looks_again("another.csv");
    up.looks_again("yet-another.csv");
    file.write_all(&rows[rows.len() / 2..]).unwrap();
    drop(file);
    assert_all_rows(&rows, &up.results("held"));
    assert_eq!(up.said("held.csv waits").len(), 1);
}

impl Up {
    /// Waits until this file was dropped so many times.
    fn dropped(&self, name: &str, times: usize) {
        let line = format!("dropped {name}");
        wait_for(&line, || (self.said(&line).len() == times).then_some(()));
    }
}

#[test]
fn a_second_file_of_a_name_is_taken_when_the_drop_of_the_first_has_ended() {
    let dir = TempDir::new().unwrap();
    let up = Up::start(dir.path(), &[&QUICK[..], &["--job-time", "6s"]].concat());
    for (times, rows) in [(1, 3), (2, 5)] {
        std::fs::write(up.inbox("posts.csv"), good_file(rows)).unwrap();
        up.dropped("posts.csv", times);
    }
    let folder = dir.path().join(".moondrop/outbox/results/posts");
    let both = || find_all(&folder, "status.json").len() == 2;
    wait_for("both results", || both().then_some(()));
    let results = find_all(&folder, "results.csv");
    let mut results: Vec<_> = results.iter().map(|file| std::fs::read(file).unwrap()).collect();
    results.sort_by_key(Vec::len);
    assert_all_rows(&good_file(3), &results[0]);
    assert_all_rows(&good_file(5), &results[1]);
    // It was tried more than once meanwhile: the first drop took 6 s, and it is tried every 1.8 s.
    let said = up.said("posts.csv stays in the inbox");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with("is tried again every 1.8s"), "{said:?}");
}

/// Replaces the file as soon as some of its bytes are in S3, and the rest is under way.
fn replace_while_it_is_taken(dir: &Path, path: &Path, rows: &[u8]) {
    let next = path.with_extension("part");
    std::fs::write(&next, rows).unwrap();
    let is_under_way = || bytes_in(&dir.join(".moondrop/s3")) > 1024;
    while !is_under_way() {
        thread::sleep(Duration::from_millis(1));
    }
    std::fs::rename(next, path).unwrap();
}

/// How many bytes there are in a folder's files.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_in(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

#[test]
fn a_file_that_changed_while_it_was_taken_is_taken_again() {
    let dir = TempDir::new().unwrap();
    let up = Up::start(dir.path(), &[&QUICK[..], &["--job-time", "6s"]].concat());
    // 48 MB: there is time to replace it.
    let row = |n| format!("row-{n},text,{}\n", "a word ".repeat(3_000));
    let large: String = (0..2_300).map(row).collect();
    std::fs::write(up.inbox("posts.part"), format!("ref_id,type,content\n{large}")).unwrap();
    std::fs::rename(up.inbox("posts.part"), up.inbox("posts.csv")).unwrap();
    replace_while_it_is_taken(dir.path(), &up.inbox("posts.csv"), &good_file(4));
    up.hears("posts.csv stays in the inbox: it changed while it was taken");
    // By then the file as it was is under way.
    up.hears("posts.csv stays in the inbox: another file");
    up.dropped("posts.csv", 1);
    let folder = dir.path().join(".moondrop/outbox/results/posts");
    let both = || find_all(&folder, "status.json").len() == 2;
    wait_for("both results", || both().then_some(()));
    let results = find_all(&folder, "results.csv");
    let results = results.iter().map(|file| std::fs::read(file).unwrap()).min_by_key(Vec::len);
    assert_all_rows(&good_file(4), &results.unwrap());
    assert_eq!(up.said("posts.csv stays in the inbox").len(), 2);
}

#[test]
fn an_unfinished_name_is_never_taken_and_renaming_it_is_the_safe_way() {
    let dir = TempDir::new().unwrap();
    let up = Up::start(dir.path(), &QUICK);
    assert!(up.hears("The safe way").contains(".part"));
    let names = ["posts.csv.part", "a.csv.crdownload", "a.csv.tmp", "a.csv~", ".a.csv"];
    for name in names {
        std::fs::write(up.inbox(name), good_file(3)).unwrap();
    }
    up.looks_again("another.csv");
    up.looks_again("yet-another.csv");
    assert!(names.iter().all(|name| up.inbox(name).exists()));
    std::fs::rename(up.inbox("posts.csv.part"), up.inbox("posts.csv")).unwrap();
    assert_all_rows(&good_file(3), &up.results("posts"));
}

#[test]
fn a_mapping_in_the_inbox_is_for_the_files_of_its_folder() {
    let dir = TempDir::new().unwrap();
    let up = Up::start(dir.path(), &QUICK);
    let mapping = r#"{"columns": {"ref_id": "id", "content": "body"}, "type": "text"}"#;
    std::fs::create_dir(up.inbox("hate")).unwrap();
    std::fs::write(up.inbox("hate/_moondrop.json"), mapping).unwrap();
    std::fs::write(up.inbox("hate/posts.csv"), "id,body\nx,a\n").unwrap();
    let results = up.results("hate/posts");
    assert!(results.starts_with(b"ref_id,type,labels,content,error,id,body\nx,text,"));
    assert!(up.said("_moondrop.json is no drop").is_empty());
}

/// Objects below `control/` that cancel no drop.
const NO_REQUESTS: [&str; 3] = ["control/some.cancel", "control/posts.csv", "control/a/b"];

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn links_and_objects_that_are_no_drops_are_named_once() {
    let dir = TempDir::new().unwrap();
    let up = Up::start(dir.path(), &QUICK);
    std::fs::write(dir.path().join("elsewhere.csv"), good_file(3)).unwrap();
    let elsewhere = dir.path().join("elsewhere.csv");
    std::os::unix::fs::symlink(elsewhere, up.inbox("link.csv")).unwrap();
    let s3 = up.s3();
    let valid = format!("control/{}.cancel", "0".repeat(32));
    for key in ["posts.csv", "other/posts.csv", "other/posts.csv", "other/", "control/", &valid]
        .into_iter()
        .chain(NO_REQUESTS)
    {
        s3.put_object().bucket(DROPS).key(key).send().await.unwrap();
    }
    up.looks_again("another.csv");
    up.looks_again("yet-another.csv");
    assert_eq!(up.said("link.csv is a link").len(), 1);
    for key in ["s3://drops/posts.csv is no drop", "s3://drops/other/posts.csv is no drop"] {
        assert_eq!(up.said(key).len(), 1, "{key}");
    }
    assert_eq!(up.said("is no drop").len(), 2);
    for key in NO_REQUESTS {
        assert_eq!(up.said(&format!("s3://drops/{key} is no valid request")).len(), 1, "{key}");
    }
    assert_eq!(up.said("is no valid request").len(), NO_REQUESTS.len());
    assert!(up.inbox("link.csv").is_symlink(), "it stays where it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_name_has_results_and_a_longer_one_is_refused_before_it_is_evaluated() {
    let dir = TempDir::new().unwrap();
    let up = Up::start(dir.path(), &QUICK);
    let name = |bytes: usize| "n".repeat(bytes - 4);
    for bytes in [82, 125] {
        std::fs::write(up.inbox(&format!("{}.csv", name(bytes))), good_file(3)).unwrap();
        assert!(
            up.hears(&format!("{}.csv stays in the inbox", name(bytes))).contains("up to 81"),
            "{bytes}"
        );
    }
    std::fs::write(up.inbox(&format!("{}.csv", name(81))), good_file(3)).unwrap();
    assert_all_rows(&good_file(3), &up.results(&name(81)));
    let s3 = up.s3();
    for bytes in [125, 140, 154] {
        let key = format!("incoming/{}.csv", name(bytes));
        let put = s3.put_object().bucket(DROPS).key(key).body(good_file(3).into());
        let refused = put.send().await.unwrap_err();
        assert_eq!(refused.code(), Some("KeyTooLongError"), "{bytes}");
        assert!(refused.message().unwrap().contains("up to 90 bytes"), "{refused:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_name_that_has_to_be_encoded_comes_through_as_it_is() {
    let dir = TempDir::new().unwrap();
    let up = Up::start(dir.path(), &QUICK);
    let names = ["posts+v2 50%", "a%2Fb", "bell\u{7}"];
    for name in names {
        std::fs::write(up.inbox(&format!("{name}.csv")), good_file(3)).unwrap();
    }
    for name in names {
        assert_all_rows(&good_file(3), &up.results(name));
    }
    assert!(up.hears("dropped bell").contains("bell\\u{7}.csv"), "not a bell on the terminal");
}
