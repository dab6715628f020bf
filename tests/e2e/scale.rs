//! Size: many rows make the jobs they should and one file of results, in memory that does not grow
//! with the file.
//!
//! `MOONDROP_SCALE_ROWS` sets the number of rows; the peak memory of each function's process is
//! printed.

use crate::{ALONE, BINARY};
use moondrop_local::aws::Function;
use moondrop_tests::processes::Deployment;
use moondrop_tests::rows::assert_all_rows;
use std::collections::BTreeMap;

/// What a function's process may take, in MiB, whatever the file: some 37 of it the program itself
/// in a debug build, and for collect the answers of one part and the pieces of the upload under
/// way.
const FIXED_MIB: [(&str, f64); 3] = [("submit", 46.0), ("poll", 46.0), ("collect", 80.0)];
/// What it may take beyond that, a million rows.
const MIB_A_MILLION_ROWS: f64 = 14.0;
/// What submit may have read ahead of its check: a piece for each connection, or the whole file.
const READ_AHEAD_MIB: f64 = 64.0;
/// The rows of the file that shows the fixed amount: as many parts of full size as are uploaded at
/// the same time, published in several pieces.
const FIRST_ROWS: usize = 100_000;

/// About 220 bytes a row, one in ten an image.
fn source(rows: usize) -> Vec<u8> {
    const WORDS: [&str; 12] = [
        "moon",
        "cheap pills",
        "photo",
        "hello",
        "Übung",
        "世界",
        "weather",
        "kill",
        "love",
        "a quiet evening",
        "free",
        "cat",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    let mut file = b"ref_id,type,content,lang,author\n".to_vec();
    for i in 0..rows {
        if i % 10 == 9 {
            file.extend_from_slice(
                format!("post-{i:09},image_url,https://img.example.com/{i}/photo.jpg,en,user{i}\n")
                    .as_bytes(),
            );
            continue;
        }
        let words: Vec<&str> = (0..32).map(|_| WORDS[random.usize(..WORDS.len())]).collect();
        let words = words.join(" ");
        file.extend_from_slice(
            format!("post-{i:09},text,\"{words}, she said\n\",en,user{i}\n").as_bytes(),
        );
    }
    file
}

/// The most memory each process has had, in MiB, by function.
fn peaks(world: &Deployment) -> BTreeMap<&'static str, f64> {
    let mut peaks = BTreeMap::new();
    for function in Function::ALL {
        for id in world.aws().process_ids(function) {
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
            let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
            let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            let peak: &mut f64 = peaks.entry(function.name()).or_default();
            *peak = peak.max(kib / 1024.0);
        }
    }
    peaks
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn many_rows_make_a_job_for_each_25_000_and_one_file_of_results_in_bounded_memory() {
    let _alone = ALONE.lock().await;
    let rows: usize =
        std::env::var("MOONDROP_SCALE_ROWS").map_or(150_000, |text| text.parse().unwrap());
    let world = Deployment::start(BINARY).await;
    world.process("incoming/first.csv", source(FIRST_ROWS)).await;
    let before = peaks(&world);
    let file = source(rows);
    let path = world.dir().join("many.csv");
    std::fs::write(&path, &file).unwrap();
    let key = "incoming/many.csv";
    let placed = moondrop_local::upload::upload(&world.servers, &path, key, false).await.unwrap();
    let ended = world.end_of(placed.id()).await;
    // The sandbox finds no image where an address says 404.
    let outcomes = ended.status.rows.outcomes;
    assert_eq!((outcomes.evaluated + outcomes.failed, outcomes.missing), (rows as u64, 0));
    assert_eq!(ended.status.parts.len(), rows.div_ceil(25_000));
    assert_all_rows(&file, ended.results());
    assert_eq!(
        world
            .keys("")
            .await
            .iter()
            .filter(|key| key.contains("many") && key.ends_with("results.csv"))
            .count(),
        1
    );

    let after = peaks(&world);
    println!(
        "{rows} rows, {} bytes; peak memory in MiB: {before:.1?} after {FIRST_ROWS} rows, {after:.1?} after all",
        file.len()
    );
    // What submit keeps of each row is a hash; what the allocator leaves over beside it is granted
    // once.
    let grown = after["submit"] - before["submit"];
    let read_ahead = READ_AHEAD_MIB.min(file.len() as f64 / 1024.0 / 1024.0);
    let granted =
        4.0 + read_ahead + MIB_A_MILLION_ROWS * rows.saturating_sub(FIRST_ROWS) as f64 / 1e6;
    assert!(grown <= granted, "submit grew by {grown:.1} MiB; {granted:.1} are allowed");
    for (function, fixed) in FIXED_MIB {
        let read_ahead = if function == "submit" { READ_AHEAD_MIB } else { 0.0 };
        let allowed = fixed + read_ahead + MIB_A_MILLION_ROWS * rows as f64 / 1e6;
        assert!(
            after[function] <= allowed,
            "{function} took {:.1} MiB; {allowed:.1} are allowed",
            after[function]
        );
    }
    world.stop().await;
}
