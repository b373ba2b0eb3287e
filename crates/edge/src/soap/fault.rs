//! Faults: what a caller is told when there is no answer.

use super::value::{Object, Value};
use std::borrow::Cow;

/// Namespace of [`Fault::generic`]'s detail.
pub const COMMON: &str = "http://register.nhn.no/Common";
/// Namespace of the codes of .NET's dispatcher.
pub(super) const DISPATCHER: &str =
    "http://schemas.microsoft.com/net/2005/12/windowscommunicationfoundation/dispatcher";
/// Namespace of the codes of WS-Security.
const SECURITY: &str =
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd";

/// Whose fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The caller's.
    Sender,
    /// Ours.
    Receiver,
    /// The envelope is of no version known here.
    VersionMismatch,
    /// A header that must be understood is not.
    MustUnderstand,
}

/// A more exact code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Subcode {
    /// Of WS-Addressing.
    ActionNotSupported,
    InvalidAddressingHeader,
    DestinationUnreachable,
    /// Of .NET's dispatcher.
    DeserializationFailed,
    InternalServiceFault,
    /// Of WS-Security.
    FailedAuthentication,
}

impl Subcode {
    /// Namespace (none: that of WS-Addressing in the version of the envelope) and name.
    pub(super) fn name(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::ActionNotSupported => (None, "ActionNotSupported"),
            Self::InvalidAddressingHeader => (None, "InvalidAddressingHeader"),
            Self::DestinationUnreachable => (None, "DestinationUnreachable"),
            Self::DeserializationFailed => (Some(DISPATCHER), "DeserializationFailed"),
            Self::InternalServiceFault => (Some(DISPATCHER), "InternalServiceFault"),
            Self::FailedAuthentication => (Some(SECURITY), "FailedAuthentication"),
        }
    }
}

/// What stands in the detail: an object of a type that the contract names as a fault of the operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Detail {
    pub(super) namespace: Cow<'static, str>,
    pub(super) name: Cow<'static, str>,
    pub(super) object: Object,
}

/// A fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Whose.
    pub code: Code,
    /// More exactly.
    pub subcode: Option<Subcode>,
    /// For people, in Norwegian, without national ids.
    pub reason: String,
    pub(super) detail: Option<Box<Detail>>,
}

impl Fault {
    fn new(code: Code, subcode: Option<Subcode>, reason: impl Into<String>) -> Self {
        Self {
            code,
            subcode,
            reason: reason.into(),
            detail: None,
        }
    }

    /// `GenericFault` with its code and message (spec/grunndata.md §1): what clients compare with.
    #[must_use]
    pub fn generic(error_code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let object = Object::new()
            .with("ErrorCode", error_code)
            .with("Message", message.clone());
        Self::typed(COMMON, "GenericFault", object, message)
    }

    /// Another fault that the contract names.
    #[must_use]
    pub fn typed(
        namespace: &'static str,
        name: &'static str,
        object: Object,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            detail: Some(Box::new(Detail {
                namespace: Cow::Borrowed(namespace),
                name: Cow::Borrowed(name),
                object,
            })),
            ..Self::new(Code::Sender, None, reason)
        }
    }

    /// The caller may not do this: as .NET says it.
    #[must_use]
    pub fn denied() -> Self {
        Self::new(
            Code::Sender,
            Some(Subcode::FailedAuthentication),
            "Access is denied.",
        )
    }

    /// The envelope cannot be read.
    #[must_use]
    pub fn malformed(reason: impl Into<String>) -> Self {
        Self::new(Code::Sender, None, reason)
    }

    /// A parameter cannot be read.
    #[must_use]
    pub fn unreadable(reason: impl Into<String>) -> Self {
        Self::new(Code::Sender, Some(Subcode::DeserializationFailed), reason)
    }

    /// The envelope is of another version.
    #[must_use]
    pub fn version(reason: impl Into<String>) -> Self {
        Self::new(Code::VersionMismatch, None, reason)
    }

    /// A header must be understood, and is not.
    #[must_use]
    pub fn not_understood(reason: impl Into<String>) -> Self {
        Self::new(Code::MustUnderstand, None, reason)
    }

    /// The addressing is wrong.
    #[must_use]
    pub fn addressing(subcode: Subcode, reason: impl Into<String>) -> Self {
        Self::new(Code::Sender, Some(subcode), reason)
    }

    /// Ours; what happened stands in the log under the request id.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            Code::Receiver,
            Some(Subcode::InternalServiceFault),
            "Tjenesten feilet. Prøv igjen; meld fra med forespørselens id hvis det vedvarer.",
        )
    }

    /// The error code of a [`Fault::generic`].
    #[must_use]
    pub fn error_code(&self) -> Option<&str> {
        match self.detail.as_ref()?.object.get("ErrorCode")? {
            Value::Text(code) => Some(code),
            _ => None,
        }
    }

    /// Name of the contract's fault, as it ends the action.
    pub(super) fn contract_name(&self) -> Option<&str> {
        self.detail.as_ref().map(|detail| &*detail.name)
    }
}
