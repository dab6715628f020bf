//! The name of a job.

use crate::source::DropId;

/// The name that Moondrop gives a job: `moondrop:<stack>:<drop>:<part>`. The stack's name keeps two
/// stacks on one account from sweeping each other's jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobName {
    /// The stack's name.
    pub stack: String,
    /// The drop.
    pub drop: DropId,
    /// The part's number.
    pub part: u32,
}

impl std::fmt::Display for JobName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "moondrop:{}:{}:{:05}", self.stack, self.drop, self.part)
    }
}

impl JobName {
    /// Reads a job's name; `None` for one that is not ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let mut fields = name.split(':');
        let (Some("moondrop"), Some(stack), Some(drop), Some(part), None) =
            (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return None;
        };
        Some(JobName {
            stack: stack.to_owned(),
            drop: DropId::from(drop),
            part: part.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_name_is_read_back_and_others_are_not() {
        let name = JobName { stack: "moon".into(), drop: DropId::of("b", "k", "v"), part: 7 };
        assert_eq!(JobName::parse(&name.to_string()), Some(name));
        for other in
            ["", "moondrop", "moondrop:a:b", "moondrop:a:b:x", "moondrop:a:b:1:2", "other:a:b:1"]
        {
            assert_eq!(JobName::parse(other), None, "{other}");
        }
    }
}
