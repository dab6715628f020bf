//! Update expressions of DynamoDB.

use super::item::{Item, drop_key};
use crate::drop::DropId;
use anyhow::Result;
use serde::Serialize;
use std::collections::HashMap;

/// An update expression in the making. Every attribute goes by a `#name`, since many are reserved words.
pub(super) struct Update {
    pub(super) pk: String,
    pub(super) sk: String,
    sets: Vec<&'static str>,
    removes: Vec<&'static str>,
    pub(super) condition: String,
    pub(super) values: Item,
}

impl Update {
    pub(super) fn of(drop: &DropId, sk: &str) -> Self {
        Update {
            pk: drop_key(drop),
            sk: sk.to_owned(),
            sets: Vec::new(),
            removes: Vec::new(),
            condition: String::new(),
            values: Item::new(),
        }
    }

    pub(super) fn set(mut self, name: &'static str, value: &impl Serialize) -> Result<Self> {
        self.sets.push(name);
        self.value(&format!(":set_{name}"), value)
    }

    pub(super) fn value(mut self, name: &str, value: &impl Serialize) -> Result<Self> {
        self.values.insert(name.to_owned(), serde_dynamo::to_attribute_value(value)?);
        Ok(self)
    }

    pub(super) fn remove(mut self, name: &'static str) -> Self {
        self.removes.push(name);
        self
    }

    pub(super) fn only_if(mut self, condition: &str) -> Self {
        condition.clone_into(&mut self.condition);
        self
    }

    pub(super) fn expression(&self) -> String {
        let sets: Vec<String> = self.sets.iter().map(|name| format!("#{name} = :set_{name}")).collect();
        let removes: Vec<String> = self.removes.iter().map(|name| format!("#{name}")).collect();
        let clause = |word: &str, parts: Vec<String>| match parts.is_empty() {
            true => String::new(),
            false => format!("{word} {} ", parts.join(", ")),
        };
        clause("SET", sets) + &clause("REMOVE", removes)
    }

    pub(super) fn names(&self) -> HashMap<String, String> {
        let in_condition = self
            .condition
            .split('#')
            .skip(1)
            .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default());
        let all = self.sets.iter().chain(&self.removes).copied().chain(in_condition);
        all.map(|name| (format!("#{name}"), name.to_owned())).collect()
    }
}
