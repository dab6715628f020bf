//! Update expressions of DynamoDB.

use super::item::{Item, drop_key};
use crate::source::DropId;
use anyhow::Result;
use aws_sdk_dynamodb::types::AttributeValue;
use serde::Serialize;
use std::collections::HashMap;

/// A builder of an update expression. Every attribute has a `#name`, since many names are reserved
/// words.
pub(super) struct Update {
    pub(super) pk: String,
    pub(super) sk: String,
    sets: Vec<(&'static str, bool)>,
    removes: Vec<&'static str>,
    /// Sets that get or lose members: the clause's word, and the attribute.
    members: Vec<(&'static str, &'static str)>,
    pub(super) condition: String,
    pub(super) values: Item,
    /// The attribute for the writer of this transition; see [`super::writers`].
    pub(super) writer: Option<&'static str>,
}

impl Update {
    pub(super) fn of(drop: &DropId, sk: &str) -> Self {
        Self::at(drop_key(drop), sk)
    }

    pub(super) fn at(pk: String, sk: &str) -> Self {
        Update {
            pk,
            sk: sk.to_owned(),
            sets: Vec::new(),
            removes: Vec::new(),
            members: Vec::new(),
            condition: String::new(),
            values: Item::new(),
            writer: None,
        }
    }

    pub(super) fn set(mut self, name: &'static str, value: &impl Serialize) -> Result<Self> {
        self.sets.push((name, false));
        self.value(&format!(":set_{name}"), value)
    }

    /// Sets an attribute that does not exist yet; an existing one is kept.
    pub(super) fn set_once(mut self, name: &'static str, value: &impl Serialize) -> Result<Self> {
        self.sets.push((name, true));
        self.value(&format!(":set_{name}"), value)
    }

    /// Sets or removes an attribute.
    pub(super) fn put(self, name: &'static str, value: Option<&impl Serialize>) -> Result<Self> {
        match value {
            Some(value) => self.set(name, value),
            None => Ok(self.remove(name)),
        }
    }

    /// Names the attribute for the writer of this transition; no other write changes it.
    pub(super) fn by(mut self, writer: &'static str) -> Self {
        self.writer = Some(writer);
        self
    }

    /// Adds to the condition that an attribute is as it was read.
    pub(super) fn and_still(
        mut self,
        name: &'static str,
        value: Option<&impl Serialize>,
    ) -> Result<Self> {
        let still = match value {
            Some(_) => format!("#{name} = :still_{name}"),
            None => format!("attribute_not_exists(#{name})"),
        };
        self.condition = if self.condition.is_empty() {
            still
        } else {
            format!("{} AND {still}", self.condition)
        };
        match value {
            Some(value) => self.value(&format!(":still_{name}"), value),
            None => Ok(self),
        }
    }

    pub(super) fn value(mut self, name: &str, value: &impl Serialize) -> Result<Self> {
        self.values.insert(name.to_owned(), serde_dynamo::to_attribute_value(value)?);
        Ok(self)
    }

    /// Removes an attribute. It may be called twice for one; DynamoDB would refuse that.
    pub(super) fn remove(mut self, name: &'static str) -> Self {
        if !self.removes.contains(&name) {
            self.removes.push(name);
        }
        self
    }

    /// Adds members to a set of strings, which comes to be with the first one.
    pub(super) fn add(self, name: &'static str, members: &[String]) -> Self {
        self.change_members(("ADD", name), members)
    }

    /// Takes members out of a set of strings, which ends with the last one.
    pub(super) fn delete(self, name: &'static str, members: &[String]) -> Self {
        self.change_members(("DELETE", name), members)
    }

    /// Takes a number out of a set of numbers, which ends with the last one.
    pub(super) fn take_number(mut self, name: &'static str, number: u32) -> Self {
        self.change_set(("DELETE", name), AttributeValue::Ns(vec![number.to_string()]));
        self
    }

    fn change_members(mut self, clause: (&'static str, &'static str), members: &[String]) -> Self {
        self.change_set(clause, AttributeValue::Ss(members.to_vec()));
        self
    }

    fn change_set(&mut self, clause: (&'static str, &'static str), members: AttributeValue) {
        self.values.insert(format!(":members_{}", clause.1), members);
        self.members.push(clause);
    }

    pub(super) fn only_if(mut self, condition: &str) -> Self {
        condition.clone_into(&mut self.condition);
        self
    }

    pub(super) fn expression(&self) -> String {
        let sets: Vec<String> = self
            .sets
            .iter()
            .map(|(name, once)| match once {
                true => format!("#{name} = if_not_exists(#{name}, :set_{name})"),
                false => format!("#{name} = :set_{name}"),
            })
            .collect();
        let removes: Vec<String> = self.removes.iter().map(|name| format!("#{name}")).collect();
        let clause = |keyword: &str, parts: Vec<String>| match parts.is_empty() {
            true => String::new(),
            false => format!("{keyword} {} ", parts.join(", ")),
        };
        let members: String = self
            .members
            .iter()
            .map(|(word, name)| format!("{word} #{name} :members_{name} "))
            .collect();
        clause("SET", sets) + &clause("REMOVE", removes) + &members
    }

    pub(super) fn names(&self) -> HashMap<String, String> {
        let in_condition = self.condition.split('#').skip(1).map(|rest| {
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
        });
        let all = self
            .sets
            .iter()
            .map(|(name, _)| *name)
            .chain(self.removes.iter().copied())
            .chain(self.members.iter().map(|(_, name)| *name))
            .chain(in_condition);
        all.map(|name| (format!("#{name}"), name.to_owned())).collect()
    }
}
