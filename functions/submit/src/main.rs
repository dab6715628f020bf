//! The `submit` function: `bootstrap` on AWS Lambda.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    moondrop_submit::run().await
}
