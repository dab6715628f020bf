//! The `poll` function: `bootstrap` on AWS Lambda.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    moondrop_poll::run().await
}
