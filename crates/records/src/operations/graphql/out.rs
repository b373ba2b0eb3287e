//! The answer in the making: members in the order asked for, each of one value or a list.

use crate::outcome::Failure;

/// A value of the answer.
#[derive(Debug)]
pub(super) enum Out {
    Null,
    /// JSON text of a primitive, as stored.
    Raw(String),
    Object(Object),
}

/// An object of the answer.
#[derive(Debug, Default)]
pub(super) struct Object {
    members: Vec<(String, Slot)>,
}

#[derive(Debug)]
struct Slot {
    values: Vec<Out>,
    is_list: bool,
    is_single: bool,
}

impl Out {
    /// A string.
    pub fn text(text: &str) -> Self {
        Self::Raw(serde_json::Value::from(text).to_string())
    }

    /// JSON text.
    pub fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Null => to.extend_from_slice(b"null"),
            Self::Raw(text) => to.extend_from_slice(text.as_bytes()),
            Self::Object(object) => object.write(to),
        }
    }
}

impl Object {
    /// Adds values to a member. `is_single` (`@singleton`): one value, whatever else is said.
    pub fn add(
        &mut self,
        name: &str,
        values: Vec<Out>,
        is_list: bool,
        is_single: bool,
    ) -> Result<(), Failure> {
        let place = self.members.iter().position(|(n, _)| n == name);
        let slot = match place.and_then(|at| self.members.get_mut(at)) {
            Some((_, slot)) => slot,
            None => {
                self.members.push((
                    name.to_owned(),
                    Slot {
                        values: Vec::new(),
                        is_list: false,
                        is_single: false,
                    },
                ));
                match self.members.last_mut() {
                    Some((_, slot)) => slot,
                    None => return Err(Failure::internal()),
                }
            }
        };
        slot.values.extend(values);
        slot.is_list |= is_list;
        slot.is_single |= is_single;
        if slot.is_single && slot.values.len() > 1 {
            return Err(Failure::bad(
                "value",
                "a field marked @singleton has more than one value",
            ));
        }
        Ok(())
    }

    fn write(&self, to: &mut Vec<u8>) {
        to.push(b'{');
        let mut is_first = true;
        for (name, slot) in &self.members {
            if !is_first {
                to.push(b',');
            }
            is_first = false;
            to.extend_from_slice(
                serde_json::Value::from(name.as_str())
                    .to_string()
                    .as_bytes(),
            );
            to.push(b':');
            match (slot.values.as_slice(), slot.is_list && !slot.is_single) {
                (values, true) => write_list(values, to),
                ([], false) => to.extend_from_slice(b"null"),
                ([one], false) => one.write(to),
                // More values than the definition says: shown as they are.
                (many, false) => write_list(many, to),
            }
        }
        to.push(b'}');
    }
}

fn write_list(values: &[Out], to: &mut Vec<u8>) {
    to.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            to.push(b',');
        }
        value.write(to);
    }
    to.push(b']');
}
