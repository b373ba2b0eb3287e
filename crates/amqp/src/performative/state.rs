//! Delivery states (AMQP 1.0 part 3 §3.4) and errors.

use super::{Error, code};
use crate::codec::{Encode as _, Fault, Fields, ListWriter, Reader, Value};
use crate::port::{Disposition, Settlement};

/// State of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// So much has come; not an outcome.
    Received,
    Accepted,
    Rejected(Option<Error>),
    Released,
    Modified {
        delivery_failed: bool,
        undeliverable_here: bool,
    },
    /// Not of this specification.
    Other,
}

impl State {
    /// Whether it says what became of the delivery.
    pub fn is_outcome(&self) -> bool {
        !matches!(self, Self::Received | Self::Other)
    }

    /// What a receiver's state means. Settled without an outcome is as good as lost.
    pub fn settlement(self) -> Settlement {
        match self {
            Self::Accepted => Settlement::Accepted,
            Self::Released => Settlement::Released,
            Self::Modified {
                delivery_failed,
                undeliverable_here,
            } => Settlement::Modified {
                delivery_failed,
                undeliverable_here,
            },
            Self::Rejected(error) => {
                let (condition, description) =
                    error.map_or((None, None), |e| (Some(e.condition), e.description));
                Settlement::Rejected {
                    condition,
                    description,
                }
            }
            Self::Received | Self::Other => Settlement::Lost,
        }
    }

    pub(super) fn read(value: Value<'_>) -> Result<Option<Self>, Fault> {
        let described = match value {
            Value::Null => return Ok(None),
            Value::Described(described) => described,
            _ => return Err(Fault::Expected("a delivery state")),
        };
        let (descriptor, mut value) = described.parts();
        let code = match descriptor? {
            Value::Unsigned(code, _) => code,
            Value::Symbol(name) | Value::String(name) => {
                let found = code::NAMES.iter().find(|(known, _)| *known == name);
                found.map_or(0, |(_, code)| *code)
            }
            _ => return Err(Fault::Descriptor),
        };
        Ok(Some(match code {
            code::RECEIVED => Self::Received,
            code::ACCEPTED => Self::Accepted,
            code::RELEASED => Self::Released,
            code::REJECTED => Self::Rejected(Error::read(value.fields()?.value()?)?),
            code::MODIFIED => {
                let mut fields = value.fields()?;
                Self::Modified {
                    delivery_failed: fields.bool()?.unwrap_or(false),
                    undeliverable_here: fields.bool()?.unwrap_or(false),
                }
            }
            _ => Self::Other,
        }))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let code = match self {
            Self::Received | Self::Other => code::RECEIVED,
            Self::Accepted => code::ACCEPTED,
            Self::Rejected(_) => code::REJECTED,
            Self::Released => code::RELEASED,
            Self::Modified { .. } => code::MODIFIED,
        };
        out.described(code);
        out.list(|fields| match self {
            Self::Accepted | Self::Released => {}
            Self::Received | Self::Other => {
                fields.uint(0).ulong(0);
            }
            Self::Rejected(error) => {
                fields.error(error.as_ref());
            }
            Self::Modified {
                delivery_failed,
                undeliverable_here,
            } => {
                fields.bool(*delivery_failed).bool(*undeliverable_here);
            }
        });
    }
}

impl From<Disposition> for State {
    fn from(disposition: Disposition) -> Self {
        match disposition {
            Disposition::Accepted => Self::Accepted,
            Disposition::Released => Self::Released,
            Disposition::Rejected {
                condition,
                description,
            } => Self::Rejected(Some(Error {
                condition,
                description: Some(description),
            })),
        }
    }
}

impl From<Settlement> for State {
    fn from(settlement: Settlement) -> Self {
        match settlement {
            Settlement::Accepted => Self::Accepted,
            Settlement::Released | Settlement::Lost => Self::Released,
            Settlement::Modified {
                delivery_failed,
                undeliverable_here,
            } => Self::Modified {
                delivery_failed,
                undeliverable_here,
            },
            Settlement::Rejected {
                condition,
                description,
            } => Self::Rejected(condition.map(|condition| Error {
                condition,
                description,
            })),
        }
    }
}

impl Error {
    pub(super) fn read(value: Value<'_>) -> Result<Option<Self>, Fault> {
        let described = match value {
            Value::Null => return Ok(None),
            Value::Described(described) => described,
            _ => return Err(Fault::Expected("an error")),
        };
        let (_, mut value) = described.parts();
        let mut fields: Fields<'_> = value.fields()?;
        let condition = fields.text()?.ok_or(Fault::Missing("condition"))?;
        Ok(Some(Self {
            condition: condition.to_owned(),
            description: fields.text()?.map(str::to_owned),
        }))
    }
}

impl ListWriter<'_> {
    /// An error.
    pub(super) fn error(&mut self, error: Option<&Error>) -> &mut Self {
        self.field(error, |out, error| {
            out.described(code::ERROR);
            out.list(|fields| {
                fields
                    .symbol(error.condition.as_str())
                    .string(error.description.as_deref());
            });
        })
    }

    /// A delivery state.
    pub(super) fn state(&mut self, state: Option<&State>) -> &mut Self {
        self.field(state, |out, state| state.write(out))
    }
}

/// Whether bytes hold a descriptor that has one of our names.
pub(super) fn descriptor(reader: &mut Reader<'_>) -> Result<u64, Fault> {
    reader.descriptor(code::NAMES)
}
