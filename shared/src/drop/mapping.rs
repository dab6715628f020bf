//! The mapping of a drop's file, as its record keeps it.

use crate::csv::mapping::Mapping;
use serde::{Deserialize, Serialize};

/// The mapping that a drop keeps from when it is accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropMapping {
    /// The object that it is in; absent if it is the setting's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<MappingObject>,
    /// The mapping; absent if it is invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Mapping>,
    /// What is wrong with an invalid one, which refuses the drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalid: Option<String>,
}

impl DropMapping {
    /// The mapping in an object with this body.
    #[must_use]
    pub fn of(object: MappingObject, body: &[u8]) -> Self {
        let (read, invalid) = match Mapping::read(body) {
            Ok(mapping) => (Some(mapping), None),
            Err(problem) => (None, Some(format!("`{}` is invalid: {problem}", object.key))),
        };
        DropMapping { object: Some(object), read, invalid }
    }
}

/// The version of the object that a mapping was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappingObject {
    /// Its key in the drop's bucket.
    pub key: String,
    /// Its version, in a versioned bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// Its ETag.
    pub etag: String,
}
