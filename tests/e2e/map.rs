//! Files as other people have them, taken as they are with `--map` and its like alone.

use crate::BINARY;
use moondrop_tests::files::{find_all, find_one};
use moondrop_tests::processes::command;
use moondrop_tests::rows::read;
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

const QUICK: [&str; 4] = ["--job-time", "300ms", "--poll-every", "50ms"];

/// As pandas writes a data set of comments: its index is a column without a name.
const INDEXED: &str = ",comment_text,toxic\n0,\"You, sir, are kind\",0\n1,\"two\nlines\",1\n2,,0\n";
/// As a spreadsheet writes it where the comma is a decimal point.
const SEMICOLONS: &str = "id;body;score\r\n17;good, really;0,25\r\n18;\"a; b\";\"1,5\"\r\n";
/// As a collection of short messages: a label, a tab, a text, and no identifier.
const TABS: &str = "label\tmessage\nham\tGo until jurong point, crazy..\nspam\tFree entry in 2\n";

/// A data set, the options that take it, what is sent of it, and the columns of its results.
type DataSet =
    (&'static str, &'static [&'static str], &'static str, [(&'static str, &'static str); 3]);

const DATA_SETS: [DataSet; 3] = [
    (
        INDEXED,
        &["--map", "ref_id=", "--map", "content=comment_text", "--type", "text"],
        "ref_id,type,labels,content,error,,comment_text,toxic",
        [("ref_id", "1"), ("comment_text", "two\nlines"), ("toxic", "1")],
    ),
    (
        SEMICOLONS,
        &[
            "--map",
            "ref_id=id",
            "--map",
            "content=body",
            "--type",
            "text",
            "--separator",
            "semicolon",
        ],
        "ref_id,type,labels,content,error,id,body,score",
        [("ref_id", "18"), ("content", "a; b"), ("score", "1,5")],
    ),
    (
        TABS,
        &["--map", "ref_id=#", "--map", "content=message", "--type", "text", "--separator", "tab"],
        "ref_id,type,labels,content,error,label,message",
        [("ref_id", "2"), ("label", "spam"), ("content", "Free entry in 2")],
    ),
];

fn moondrop(dir: &Path, name: &str, args: &[&str]) -> (i32, String) {
    let args: Vec<&str> = [name].into_iter().chain(args.iter().copied()).collect();
    let (code, out, err) = command(BINARY, dir, &args).unwrap();
    (code, out + &err)
}

#[test]
fn three_data_sets_are_taken_with_a_mapping_alone() {
    for (file, options, header, values) in DATA_SETS {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("data.csv"), file).unwrap();
        let args = [&["data.csv"], options].concat();

        let (code, out) = moondrop(dir.path(), "check", &["data.csv"]);
        assert!(code == 3 && out.contains("E_HEADER"), "without a mapping: {out}");
        let (code, out) = moondrop(dir.path(), "check", &[&args[..], &["--json"]].concat());
        let report: Value = serde_json::from_str(&out).unwrap();
        let rows = &report["files"][0]["rows"];
        assert_eq!((code, &rows["text"]), (0, &2.into()), "{out}");

        let (code, out) = moondrop(dir.path(), "run", &[&args[..], &QUICK].concat());
        assert_eq!(code, 0, "{out}");
        let results = find_one(&dir.path().join("moondrop-results"), "results.csv");
        assert!(results.starts_with(format!("{header}\n").as_bytes()), "{header}");
        let came = read(&results);
        assert_eq!(rows["total"], came.len());
        for (column, value) in values {
            assert_eq!(came[1][column], value, "{column}");
        }
        assert!(came[..2].iter().all(|row| row["error"].is_empty() && row["type"] == "text"));
    }
}

#[test]
fn rows_are_numbered_over_all_jobs_and_another_mapping_is_another_drop() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("a.csv"), "id,body,title\nx,one,o\ny,two,t\n\nz,three,h\n")
        .unwrap();
    std::fs::write(dir.path().join("b.csv"), "id,body,title\nw,four,f\n").unwrap();
    let run = |options: &[&str]| {
        let args = [&["a.csv", "b.csv", "--rows-per-job", "1", "--type", "text"], options, &QUICK];
        let (code, out) = moondrop(dir.path(), "run", &args.concat());
        assert_eq!(code, 0, "{out}");
        find_all(&dir.path().join("moondrop-results/results/a"), "results.csv").len()
    };
    let numbered = ["--map", "ref_id=#", "--map", "content=body"];
    assert_eq!(run(&numbered), 1);
    let rows = read(&find_one(&dir.path().join("moondrop-results/results/a"), "results.csv"));
    let numbers: Vec<_> =
        rows.iter().map(|row| (row["ref_id"].as_str(), row["id"].as_str())).collect();
    assert_eq!(numbers, [("1", "x"), ("2", "y"), ("3", "z")]);
    assert_eq!(run(&numbered), 1, "the same again is the same drop");
    // A drop's folder has its second: the next one is another.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(run(&["--map", "ref_id=id", "--map", "content=title"]), 2);
}

#[test]
fn options_that_contradict_each_other_give_exit_code_2() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("a.csv"), "id,body\n1,a\n").unwrap();
    for name in ["_a.csv", "_moondrop.json"] {
        std::fs::write(dir.path().join(name), "id,body\n1,a\n").unwrap();
    }
    let cases: [(&str, &[&str], &str); 7] = [
        ("check", &["a.csv", "--map", "body"], "write ref_id=COLUMN"),
        ("check", &["a.csv", "--map", "content=#"], "only ref_id can be the row's number"),
        ("check", &["a.csv", "--map", "ref_id=#", "--map", "ref_id=id"], "is given twice"),
        ("run", &["a.csv", "--map", "type=id", "--type", "text"], "keep one"),
        ("run", &["a.csv", "--map", "type=id", "--map", "content=id"], "have the same column"),
        ("run", &["_a.csv"], "begins with `_` or `.` is no drop"),
        ("run", &["_moondrop.json"], "is a mapping"),
    ];
    for (name, args, says) in cases {
        let (code, out) = moondrop(dir.path(), name, args);
        assert!(code == 2 && out.contains(says), "{args:?}: {code} {out}");
    }
}
