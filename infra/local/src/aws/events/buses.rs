//! EventBridge: the buses, their rules, and where the events go.

use super::pattern::Pattern;
use crate::aws::lambda::Queue;
use crate::aws::names::{BUS, DEFAULT_BUS, DROPS};
use crate::sync::locked;
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// How many of the events put on our bus are kept, for tests and `moondrop up` to read.
const KEPT: usize = 10_000;

/// The buses with the rules of `infra/template.yaml`.
#[derive(Debug)]
pub(crate) struct Buses {
    rules: Vec<Rule>,
    put: Mutex<VecDeque<Value>>,
}

#[derive(Debug)]
struct Rule {
    bus: &'static str,
    pattern: Pattern,
    target: Arc<Queue>,
}

impl Buses {
    /// The buses, whose rules lead to the queues of `submit` and `collect`.
    pub(crate) fn new(submit: &Arc<Queue>, collect: &Arc<Queue>) -> Result<Self> {
        let rule = |bus, pattern: Value, target: &Arc<Queue>| {
            Ok(Rule { bus, pattern: Pattern::new(&pattern)?, target: target.clone() })
        };
        let rules = [
            rule(
                DEFAULT_BUS,
                json!({"source": ["aws.s3"], "detail-type": ["Object Created"],
                       "detail": {"bucket": {"name": [DROPS]}, "object": {"key": [{"prefix": "incoming/"}, {"prefix": "control/"}]}}}),
                submit,
            ),
            rule(BUS, json!({"source": ["moondrop"], "detail-type": ["Drop Stalled"]}), submit),
            rule(
                BUS,
                json!({"source": ["moondrop"], "detail-type": ["Job Completed", "Job Failed"]}),
                collect,
            ),
        ];
        Ok(Self { rules: rules.into_iter().collect::<Result<_>>()?, put: Mutex::default() })
    }

    /// Puts an event on a bus. One for a bus that does not exist is accepted and dropped, as on
    /// AWS.
    pub(crate) fn publish(&self, bus: &str, event: &Value) {
        if bus == BUS {
            let mut put = locked(&self.put);
            if put.len() == KEPT {
                put.pop_front();
            }
            put.push_back(event.clone());
        } else if bus != DEFAULT_BUS {
            tracing::warn!(bus, "an event went to a bus that does not exist");
        }
        for rule in self.rules.iter().filter(|rule| rule.bus == bus && rule.pattern.matches(event))
        {
            rule.target.send(event);
        }
    }

    /// The newest events put on our bus, oldest first.
    pub(crate) fn put(&self) -> Vec<Value> {
        locked(&self.put).iter().cloned().collect()
    }
}
