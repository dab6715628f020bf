//! Moondrop on one machine: the functions of AWS, unmodified, with S3, DynamoDB, EventBridge, Secrets Manager, the Lambda
//! Runtime API and a sandbox of the Batch API served to them on loopback, behind their real protocols.

pub mod sandbox;
