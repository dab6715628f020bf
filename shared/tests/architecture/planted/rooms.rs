//! Planted imports that go where they must not.

use super::assert_one;
use crate::rules::rooms::{adapters, functions, impure_rooms, raw_s3, room_order};
use crate::source_tree::Tree;

const PURE: &str = "pure rooms do no I/O";
const ORDER: &str = "rooms name only what is below them";
const ADAPTERS: &str = "adapters do not import each other";
const FUNCTIONS: &str = "functions do not import each other";
const RAW_S3: &str = "no raw S3 client outside services/s3";

#[test]
fn io_in_a_pure_room_is_found_in_every_form() {
    for source in [
        "use tokio::spawn;",
        "use ::{tokio as rt};",
        "fn f(client: &reqwest::Client) {}",
        "fn f() -> Option<aws_sdk_s3::Client> { None }",
        "fn f() { tracing::info!(\"looked\") }",
        "fn f() { log(format_args!(\"{:?}\", std::fs::read(\"x\"))) }",
        "#[tracing::instrument] fn f() {}",
        "#[serde(with = \"serde_dynamo::generic\")] struct S;",
        "extern crate tokio_util as util;",
        "fn f() { use std::env; }",
    ] {
        let tree = Tree::of(&[("shared/src/lib.rs", "mod csv;"), ("shared/src/csv.rs", source)]);
        assert_one(&impure_rooms(&tree), "shared/src/csv.rs:1", PURE);
    }
}

#[test]
fn what_a_pure_room_may_name() {
    let source = "use std::io::Read; use memchr::memchr; fn f() -> usize { let tokio = 1; std::cmp::max(tokio, 2) }
        #[cfg(test)] mod tests { use tokio::spawn; } #[cfg(test)] fn g() { tracing::info!(\"x\") }";
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod csv; mod services;"),
        ("shared/src/csv.rs", source),
        ("shared/src/services/logs.rs", "use tracing::info;"),
        ("shared/src/services.rs", "mod logs;"),
    ]);
    assert_eq!(impure_rooms(&tree), []);
}

#[test]
fn a_re_export_hides_no_io() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod csv; mod services; pub use services::rt as machine;"),
        ("shared/src/csv.rs", "use crate::machine::task;"),
        ("shared/src/services.rs", "pub use tokio as rt;"),
    ]);
    let message = assert_one(&impure_rooms(&tree), "shared/src/csv.rs:1", PURE);
    assert!(message.contains("`crate::machine::task`: it means `tokio::task`"), "{message}");
}

#[test]
fn a_room_that_names_one_above_is_found() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod csv; mod drop;"),
        ("shared/src/csv.rs", "fn f(_: crate::drop::status::Status) {}"),
        ("shared/src/drop.rs", "pub mod status; use crate::csv;"),
        ("shared/src/drop/status.rs", "pub struct Status;"),
    ]);
    assert_one(&room_order(&tree), "shared/src/csv.rs:1", ORDER);
}

#[test]
fn a_room_that_names_one_beside_it_is_found() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod check; mod results;"),
        ("shared/src/check.rs", "use super::results;"),
        ("shared/src/results.rs", ""),
    ]);
    assert_one(&room_order(&tree), "shared/src/check.rs:1", ORDER);
}

#[test]
fn a_re_export_hides_no_room() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod plan; mod services; pub use services::Ledger;"),
        ("shared/src/plan.rs", "use crate::Ledger;"),
        ("shared/src/services.rs", "mod ledger; pub use ledger::Ledger;"),
        ("shared/src/services/ledger.rs", "pub struct Ledger;"),
    ]);
    let message = assert_one(&room_order(&tree), "shared/src/plan.rs:1", ORDER);
    assert!(message.contains("`crate::Ledger`: it is of the room `services`"), "{message}");
}

#[test]
fn a_file_in_no_room_is_found() {
    let tree = Tree::of(&[("shared/src/lib.rs", "mod util;"), ("shared/src/util.rs", "")]);
    assert_one(&room_order(&tree), "shared/src/util.rs", ORDER);
}

#[test]
fn an_adapter_that_names_another_is_found() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod services;"),
        (
            "shared/src/services.rs",
            "mod ledger; mod metrics; mod s3; pub struct Services(ledger::Ledger, s3::Bucket);",
        ),
        (
            "shared/src/services/ledger.rs",
            "use super::metrics::Metrics; pub struct Ledger(Metrics);",
        ),
        ("shared/src/services/metrics.rs", "pub struct Metrics;"),
        ("shared/src/services/s3/mod.rs", "mod results_bucket; pub use results_bucket::Bucket;"),
        (
            "shared/src/services/s3/results_bucket.rs",
            "use crate::services::ledger::Ledger; pub struct Bucket(Ledger);",
        ),
    ]);
    assert_one(&adapters(&tree), "shared/src/services/s3/results_bucket.rs:1", ADAPTERS);
}

#[test]
fn a_re_export_hides_no_adapter() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod services;"),
        ("shared/src/services/mod.rs", "mod ledger; mod logs; pub use ledger::Ledger as Records;"),
        ("shared/src/services/ledger.rs", "pub struct Ledger;"),
        ("shared/src/services/logs.rs", "fn f() { drop(super::Records) }"),
    ]);
    assert_one(&adapters(&tree), "shared/src/services/logs.rs:1", ADAPTERS);
}

#[test]
fn an_adapter_that_names_the_composition_is_found() {
    let tree = Tree::of(&[
        ("shared/src/lib.rs", "mod services;"),
        ("shared/src/services.rs", "mod ledger; pub struct Services;"),
        ("shared/src/services/ledger.rs", "pub(super) struct Ledger; fn f(_: &super::Services) {}"),
    ]);
    assert_one(&adapters(&tree), "shared/src/services/ledger.rs:1", ADAPTERS);
}

#[test]
fn a_function_that_names_another_is_found() {
    for source in [
        "use moondrop_submit::accept;",
        "extern crate moondrop_submit as s; fn f() { s::accept() }",
    ] {
        let tree = Tree::of(&[
            ("functions/poll/src/lib.rs", "mod tick;"),
            ("functions/poll/src/tick.rs", source),
            ("functions/submit/src/lib.rs", "mod accept_drop; pub use accept_drop::accept;"),
            ("functions/submit/src/accept_drop.rs", "pub fn accept() {}"),
            ("functions/submit/src/main.rs", "fn main() { moondrop_submit::accept() }"),
        ]);
        let found: Vec<_> = functions(&tree)
            .into_iter()
            .filter(|v| !v.what.contains("`moondrop_submit`"))
            .collect();
        assert_one(&found, "functions/poll/src/tick.rs:1", FUNCTIONS);
    }
}

#[test]
fn a_raw_s3_client_is_found() {
    let tree = Tree::of(&[
        (
            "functions/collect/src/lib.rs",
            "use moondrop_shared::services::s3::raw; fn f(_: raw::Client) {}",
        ),
        ("shared/src/lib.rs", "pub mod services;"),
        (
            "shared/src/services.rs",
            "pub mod s3; pub struct AwsClients { pub s3: aws_sdk_s3::Client }",
        ),
        ("shared/src/services/s3.rs", "pub use aws_sdk_s3 as raw; pub struct Bucket(raw::Client);"),
    ]);
    let found: Vec<_> = raw_s3(&tree).into_iter().filter(|v| v.what.contains("Client")).collect();
    assert_one(&found, "functions/collect/src/lib.rs:1", RAW_S3);
}

#[test]
fn a_raw_s3_client_handed_out_by_the_composition_is_found() {
    for shown in [
        "pub struct Services { pub s3: Client }",
        "pub struct Services { pub clients: AwsClients }",
        "impl Services { pub fn s3(&self) -> &aws_sdk_s3::Client { &self.0 } }",
    ] {
        let source =
            format!("use aws_sdk_s3::Client; pub struct AwsClients {{ pub s3: Client }}\n{shown}");
        let tree = Tree::of(&[
            ("shared/src/lib.rs", "mod services;"),
            ("shared/src/services.rs", &source),
        ]);
        assert_one(&raw_s3(&tree), "shared/src/services.rs:2", RAW_S3);
    }
}
