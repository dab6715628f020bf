//! `moondrop check`, as a user meets it: the verdict, what it counts, and what it leaves alone.

mod schema;

use crate::{ALONE, BINARY};
use moondrop_tests::POSTS;
use moondrop_tests::files::find_one;
use moondrop_tests::processes::command;
use moondrop_tests::rows::{good_file, read};
use schema::validate;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

fn check(dir: &Path, args: &[&str]) -> (i32, String) {
    let args: Vec<&str> = ["check"].into_iter().chain(args.iter().copied()).collect();
    let (code, out, err) = command(BINARY, dir, &args).unwrap();
    assert_eq!(err, "", "{args:?} says nothing beside its report: {out}");
    (code, out)
}

/// The report as JSON, which is as documented.
fn check_json(dir: &Path, args: &[&str]) -> (i32, Value) {
    let (code, out) = check(dir, &[args, &["--json"]].concat());
    let report = serde_json::from_str(&out).unwrap();
    validate(&report, true).unwrap_or_else(|error| panic!("{error}\n{out}"));
    (code, report)
}

fn folder_with(files: &[(&str, &[u8])]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, body) in files {
        std::fs::write(dir.path().join(name), body).unwrap();
    }
    dir
}

#[test]
fn a_good_file_is_accepted_with_its_jobs_bytes_types_and_days() {
    let file = b"content,ref_id,type\nhttps://x.io/a.png,1,image_url\nb,2,text\n\"c, d\",3,text\n";
    let dir = folder_with(&[("good.csv", file)]);
    let (code, out) = check(dir.path(), &["good.csv", "--rows-per-job", "2", "--daily-limit", "2"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(
        out,
        "good.csv would be accepted: 3 rows would be evaluated.\n\
        \x20 types     2 text, 1 image_url\n\
        \x20 jobs      2, with at most 2 rows per job\n\
        \x20 bytes     74 in the file, 94 in its uploads\n\
        \x20 repeated  no row has the type and content of an earlier row, by 64-bit hashes\n\
        \x20 days      2, at 2 rows per day\n\n"
    );
}

#[test]
fn rejected_rows_are_listed_with_line_and_code_and_the_file_is_accepted() {
    let file =
        b"ref_id,type,content\n1,text,a\n2,video,b\n\n1,text,c\n,text,d\n5,text,\"\"\n6,film,e\n";
    let dir = folder_with(&[("rows.csv", file)]);
    let (code, out) = check(dir.path(), &["rows.csv"]);
    assert_eq!(code, 0, "{out}");
    let listed = "  errors    2 E_REF_ID, 2 E_TYPE, 1 E_CONTENT
    line 3: E_TYPE `type` is neither `text` nor `image_url`
    line 5: E_REF_ID the `ref_id` stands on line 2 already; the first row with it is kept
    line 6: E_REF_ID `ref_id` is empty
    line 7: E_CONTENT `content` is empty: there is nothing to evaluate
    line 8: E_TYPE `type` is neither `text` nor `image_url`
  Rejected rows come out in results.csv with their error.";
    assert!(out.starts_with("rows.csv would be accepted: 1 of 6 rows would be evaluated, and 5 "));
    assert!(out.contains(listed), "{out}");
}

#[test]
fn a_refused_file_gives_exit_code_3_and_says_where_what_and_what_to_do() {
    let long = format!("ref_id,type,content\n1,text,a\n2,text,\"{}\"\n", "a".repeat(17 << 20));
    let cases: [(&[u8], &str, &str); 9] = [
        (b"", "E_EMPTY", "line 1: the file is empty; it needs a header and rows"),
        (b"ref_id,type,content\n", "E_EMPTY", "line 1: the file has a header and no rows"),
        (b"ref_id;type;content\n", "E_HEADER", "line 1: the columns are separated by semicolons"),
        (b"ref_id,type\n1,text\n", "E_HEADER", "line 1: the column `content` is missing"),
        (b"ref_id,type,content\n1,text,\xe9\n", "E_ENCODING", "line 2: column 3: bytes that are"),
        (b"PK\x03\x04.......", "E_ENCODING", "line 1: the file is a zip archive or a spreadsheet"),
        (b"ref_id,type,content\n1,text,\"a\nb", "E_QUOTE", "line 2: column 3: a quote is opened"),
        (b"ref_id,type,content\n1,text,a,b\n", "E_FIELDS", "line 2: the row has 4 fields, the"),
        (long.as_bytes(), "E_LIMIT", "line 3: a quote is opened here, and its row is longer than"),
    ];
    for (file, error, words) in cases {
        let dir = folder_with(&[("bad.csv", file)]);
        let (code, out) = check(dir.path(), &["bad.csv"]);
        assert_eq!(code, 3, "{out}");
        let begins = format!("bad.csv would be refused.\n  {error}: {words}");
        assert!(out.starts_with(&begins), "{out} does not begin with {begins}");
        assert!(out.contains("\n  Fix the file and check it again.\n"), "{out}");
        let (code, report) = check_json(dir.path(), &["bad.csv"]);
        assert_eq!((code, &report["files"][0]["rows"]), (3, &Value::Null));
        assert_eq!(report["files"][0]["errors"]["by_code"], json!({error: 1}));
    }
}

#[test]
fn rows_refuse_the_file_if_the_option_says_so_or_none_is_valid() {
    let one_in_two = b"ref_id,type,content\n1,text,a\n2,video,b\n";
    let dir = folder_with(&[("rows.csv", one_in_two), ("none.csv", &one_in_two[..20])]);
    let none = b"ref_id,type,content\n1,video,a\n2,video,b\n";
    std::fs::write(dir.path().join("none.csv"), none).unwrap();
    let cases: [(&[&str], &str); 2] = [
        (
            &["rows.csv", "--on-bad-rows", "reject-file"],
            "rows.csv would be refused.\n  E_ROWS: 1 of 2 rows are invalid, and --on-bad-rows reject-file refuses such a file\n  Fix the rows, or ",
        ),
        (
            &["none.csv"],
            "none.csv would be refused.\n  E_NOTHING: no row would be evaluated: every row would be rejected\n  Fix the rows and ",
        ),
    ];
    for (args, begins) in cases {
        let (code, out) = check(dir.path(), args);
        assert!(code == 3 && out.starts_with(begins), "{code} {out}");
        assert!(out.contains("\n    line 3: E_TYPE "), "its rows are listed: {out}");
        let (code, report) = check_json(dir.path(), args);
        assert_eq!((code, &report["total"]["jobs"]), (3, &json!(0)));
        assert_eq!(report["total"]["upload_bytes"], 0);
    }
}

#[test]
fn of_several_files_the_gravest_verdict_counts_and_their_sums_are_said() {
    let refused = b"ref_id,type\n1,text\n";
    let rows = b"ref_id,type,content\n1,text,a\n2,video,b\n";
    let dir = folder_with(&[("a.csv", &good_file(7)), ("b.csv", refused), ("c.csv", rows)]);
    let args = ["a.csv", "b.csv", "c.csv", "--daily-limit", "3", "--rows-per-job", "5"];
    let (code, out) = check(dir.path(), &args);
    assert_eq!(code, 3, "{out}");
    assert!(
        out.starts_with("1 of 3 files would be refused.\n\na.csv would be accepted: "),
        "{out}"
    );
    assert!(out.contains("\n\nb.csv would be refused.\n"), "{out}");
    assert!(out.contains("\n\nc.csv would be accepted: 1 of 2 rows"), "{out}");
    assert!(out.contains("\nIn all\n  rows      8 would be evaluated, in 3 jobs\n"), "{out}");
    assert!(out.ends_with("\n  days      3, at 3 rows per day\n"), "{out}");
    let (code, report) = check_json(dir.path(), &args);
    assert_eq!((code, &report["verdict"]), (3, &json!("refused")));
    let of_each = |field: &str| -> Vec<Value> {
        report["files"].as_array().unwrap().iter().map(|file| file[field].clone()).collect()
    };
    assert_eq!(of_each("verdict"), ["accepted", "refused", "accepted_with_rejected_rows"]);
    assert_eq!(of_each("jobs"), [2, 0, 1]);
    assert_eq!(of_each("days"), [json!(3), Value::Null, json!(1)]);
    let (code, out) = check(dir.path(), &["a.csv", "c.csv"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("All 2 files would be accepted.\n"), "{out}");
}

#[test]
fn repeated_content_is_that_of_earlier_valid_rows_of_the_same_type() {
    let file = "ref_id,type,content\n1,text,a\n2,text,\"a\"\n3,text,a \n4,text,https://x.io/\n\
        5,image_url,https://x.io/\n6,video,a\n7,text,a\n1,text,a\n8,image_url,https://x.io/\n";
    let dir = folder_with(&[("posts.csv", file.as_bytes())]);
    let (_, report) = check_json(dir.path(), &["posts.csv"]);
    let found = &report["files"][0];
    assert_eq!(found["rows"], json!({"total": 9, "text": 5, "image_url": 2, "rejected": 2}));
    assert_eq!(found["repeated"], json!({"rows": 3, "share": 3.0 / 7.0}), "rows 2, 7 and 8");
    let (_, out) = check(dir.path(), &["posts.csv"]);
    assert!(out.contains("  repeated  42.9 %: 3 rows have the type and content of an earlier"));
}

#[test]
fn run_comes_to_the_same_verdict_counts_and_errors() {
    let none = b"ref_id,type,content\n1,video,a\n2,text,\n";
    let dir = folder_with(&[("none.csv", none), ("bad.csv", b"ref_id,type,content\n1,text\n")]);
    let cases: [&[&str]; 4] = [
        &[POSTS, "--rows-per-job", "40"],
        &[POSTS, "--on-bad-rows", "reject-file"],
        &["none.csv"],
        &["bad.csv"],
    ];
    for (i, args) in cases.into_iter().enumerate() {
        let (code, report) = check_json(dir.path(), args);
        let (out, state) = (format!("out{i}"), format!("state{i}"));
        let quick =
            ["--job-time", "300ms", "--poll-every", "50ms", "--out", &out, "--state", &state];
        let run = [&["run"], args, &quick].concat();
        let (run_code, said, err) = command(BINARY, dir.path(), &run).unwrap();
        assert_eq!(code, run_code, "{args:?}: {said}{err}");
        let (found, out) = (&report["files"][0], dir.path().join(out));
        let status: Value = serde_json::from_slice(&find_one(&out, "status.json")).unwrap();
        let parts = status["parts"].as_array().unwrap();
        let jobs = parts.iter().filter(|part| !part["job"].is_null()).count();
        assert_eq!(found["jobs"], jobs, "{status:#}");
        assert_eq!(found["bytes"], status["sizes"]["source"]);
        assert_eq!(found["upload_bytes"], status["sizes"]["uploaded"]);
        if !found["rows"].is_null() {
            assert_eq!(found["rows"]["total"], status["rows"]["total"]);
            assert_eq!(found["rows"]["rejected"], status["rows"]["rejected"]);
        }
        if code == 3 {
            assert_eq!(found["problem"]["code"], status["problem"]["code"]);
        }
        let rejected = read(&find_one(&out, "rejected.csv"));
        let listed = found["errors"]["listed"].as_array().unwrap();
        assert_eq!(listed.len(), rejected.len());
        for (listed, row) in listed.iter().zip(&rejected) {
            for field in ["line", "byte_offset"] {
                assert_eq!(listed[field].to_string(), row[field]);
            }
            assert_eq!(
                (&listed["code"], &listed["message"]),
                (&json!(row["code"]), &json!(row["message"]))
            );
        }
    }
}

#[test]
fn the_schema_refuses_what_is_not_documented() {
    let dir = folder_with(&[("a.csv", b"ref_id,type,content\n1,text,a\n2,video,b\n")]);
    let (_, good) = check_json(dir.path(), &["a.csv", "--daily-limit", "5"]);
    let changes: [(&str, Value); 5] = [
        ("/files/0/verdict", json!("fine")),
        ("/files/0/rows/total", json!(-1)),
        ("/files/0/errors/listed/0/line", json!("3")),
        ("/files/0/problem", json!({"code": "E_ROWS"})),
        ("/form", json!("moondrop.check/2")),
    ];
    for (place, value) in changes {
        let mut changed = good.clone();
        *changed.pointer_mut(place).unwrap() = value;
        assert!(validate(&changed, false).is_err(), "{place}");
    }
    let mut more = good;
    more["files"][0]["rows"]["more"] = json!(1);
    validate(&more, false).unwrap();
    assert!(validate(&more, true).is_err(), "fields may be added, once documented");
}

#[test]
fn what_cannot_be_checked_gives_exit_code_2_and_says_why() {
    let dir = folder_with(&[("a.csv", &good_file(1))]);
    let cases: [(&[&str], &str); 6] = [
        (&["check"], "FILE"),
        (&["check", "a.csv", "absent.csv"], "absent.csv"),
        (&["check", "."], ". is not a file"),
        (&["check", "a.csv", "--daily-limit", "0"], "daily-limit"),
        (&["check", "a.csv", "--rows-per-job", "0"], "rows-per-job"),
        (&["check", "a.csv", "--on-bad-rows", "ignore"], "submit-valid"),
    ];
    for (args, words) in cases {
        let (code, out, err) = command(BINARY, dir.path(), args).unwrap();
        assert!(code == 2 && out.is_empty() && err.contains(words), "{args:?}: {code} {out}{err}");
    }
}

#[test]
fn it_needs_no_environment_leaves_nothing_behind_and_prints_no_content() {
    let file = "ref_id,type,content,secret-column\nsecret-id,text,secret-text,secret-cell\n\
        secret-id,text,secret-text,secret-cell\nsecret-2,secret-type,secret-text,\n\
        secret-3,image_url,https://secret host/,\n";
    let broken = format!("{file}secret-4,text,\"secret\"-text,\n");
    let dir = folder_with(&[("a.csv", file.as_bytes()), ("b.csv", broken.as_bytes())]);
    for more in [&["--json"][..], &[]] {
        let mut check = Command::new(BINARY);
        check.args(["check", "a.csv", "b.csv"]).args(more).env_clear().current_dir(dir.path());
        let done = check.output().unwrap();
        let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
        assert!(done.status.code() == Some(3) && said.contains("E_QUOTE"), "{said}");
        assert!(said.contains("E_TYPE") && said.contains("E_CONTENT"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

/// Some 250 bytes per row. One row in a hundred has an unknown type, so that the file is read twice.
fn large_file(rows: usize) -> Vec<u8> {
    let words = "a quiet evening by the sea, she said, and nothing more ".repeat(4);
    let row = |i: usize| {
        let kind = if i % 100 == 99 { "video" } else { "text" };
        format!("post-{i:09},{kind},\"{words}{}\"\n", i / 2)
    };
    (0..rows).fold(b"ref_id,type,content\n".to_vec(), |mut file, i| {
        file.extend_from_slice(row(i).as_bytes());
        file
    })
}

/// Checks a file, and gives its report and the most memory that the process has had, in MiB.
#[cfg(target_os = "linux")]
fn check_measured(dir: &Path, file: &str) -> (Value, f64) {
    let mut check = Command::new(BINARY);
    check.args(["check", file, "--json"]).current_dir(dir).stdout(Stdio::piped());
    let out = dir.join("report.json");
    check.stdout(std::fs::File::create(&out).unwrap());
    let mut check = check.spawn().unwrap();
    let mut peak: f64 = 0.0;
    while check.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(format!("/proc/{}/status", check.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        peak = peak.max(kib.unwrap_or(0.0) / 1024.0);
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    (serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap(), peak)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_of_300_000_rows_is_checked_in_bounded_memory_and_1_000_errors_listed() {
    let _alone = ALONE.lock().await;
    let (small, large) = (large_file(20_000), large_file(300_000));
    let dir = folder_with(&[("small.csv", &small), ("large.csv", &large)]);
    let (_, before) = check_measured(dir.path(), "small.csv");
    let (report, after) = check_measured(dir.path(), "large.csv");
    validate(&report, true).unwrap();
    let found = &report["files"][0];
    assert_eq!(found["rows"]["total"], 300_000);
    assert_eq!(found["errors"]["by_code"], json!({"E_TYPE": 3000}));
    let listed = found["errors"]["listed"].as_array().unwrap();
    assert_eq!((listed.len(), &listed[999]["line"]), (1000, &json!(100_001)));
    assert_eq!(found["repeated"]["rows"], 150_000 - 3000);
    println!("{} bytes; peak memory in MiB: {before:.1}, then {after:.1}", large.len());
    // Two hashes of each row are 4.3 MiB more; the rest is what the allocator leaves over.
    assert!(before > 0.0 && after < 32.0 && after - before < 8.0, "{before:.1} {after:.1} MiB");
    let (_, out) = check(dir.path(), &["large.csv"]);
    assert!(out.contains("\n    and 2,000 more\n"), "no more than 1,000 are printed");
}

#[cfg(unix)]
#[test]
fn on_a_terminal_a_large_file_has_a_bar_and_elsewhere_none() {
    let dir = folder_with(&[("large.csv", &large_file(60_000)), ("small.csv", &good_file(9))]);
    let terminal = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
    let said = |file: &str| {
        let mut python = Command::new("python3");
        python.args(["-c", terminal, BINARY, "check", file]).current_dir(dir.path());
        let done = python.env("TERM", "xterm").stdin(Stdio::null()).output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    let large = said("large.csv");
    assert!(large.contains("%  ") && large.contains("again for its rejected rows"), "{large}");
    assert!(!said("small.csv").contains('\u{1b}'));
    // Without a terminal `check` itself sees to it that nothing is said.
    let (code, out) = check(dir.path(), &["large.csv"]);
    assert!(code == 0 && !out.contains('\u{1b}') && !out.contains('\r'));
}
