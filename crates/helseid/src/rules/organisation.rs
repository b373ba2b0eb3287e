//! Which organisation a token is for (spec §8.1): from the registration, narrowed or chosen by the structured claim.

use codes::ident::Orgnr;
use registers::directory::Directory;
use serde_json::{Map, Value};

use super::structures::malformed;
use crate::config::{Client, Tenancy};
use crate::error::{Code, OAuthError};

const SINGLE_TENANT_SYSTEMS: [&str; 2] = [
    "urn:oid:2.16.578.1.12.4.1.4.101",
    // An NHN sample uses this one.
    "urn:oid:2.16.578.1.12.4.1.2.101",
];
const MULTI_TENANT_SYSTEM: &str = "urn:oid:1.0.6523";

/// The organisation claims of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Organisations {
    /// Legal entity.
    pub parent: Option<String>,
    /// Sub-unit.
    pub child: Option<String>,
    /// Supplier, for multi-tenant clients.
    pub supplier: Option<String>,
    /// `single-tenant`, `multi-tenant` or `none`.
    pub tenancy: &'static str,
}

/// The organisation claims for a client, with the structure it sent, if any.
///
/// # Errors
/// `invalid_request` for a malformed structure, `access_denied` with a HID code for an organisation the client may not
/// act for.
pub fn resolve(
    client: &Client,
    structure: Option<&Map<String, Value>>,
    directory: &dyn Directory,
) -> Result<Organisations, OAuthError> {
    let identifier = structure.map(read_identifier).transpose()?;
    match (&client.tenancy, identifier) {
        (Tenancy::None, None) => Ok(Organisations {
            tenancy: "none",
            ..Organisations::default()
        }),
        (Tenancy::None, Some(_)) => Err(denied(
            1010,
            "the client's configuration does not support organisation numbers",
        )),
        (Tenancy::Single { parent, children }, identifier) => Ok(Organisations {
            parent: Some(parent.clone()),
            child: identifier
                .map(|identifier| single_child(&identifier, parent, children))
                .transpose()?,
            supplier: None,
            tenancy: "single-tenant",
        }),
        (Tenancy::Multi { supplier, .. }, None) => Ok(Organisations {
            supplier: Some(supplier.clone()),
            tenancy: "multi-tenant",
            ..Organisations::default()
        }),
        (
            Tenancy::Multi {
                supplier,
                delegations,
            },
            Some(identifier),
        ) => {
            let (parent, child) = multi_tenant(&identifier)?;
            if !delegations.contains(&parent) {
                return Err(denied(
                    1001,
                    "the organisation has not delegated to the supplier of this client",
                ));
            }
            if let Some(child) = &child {
                check_child_of(child, &parent, directory)?;
            }
            Ok(Organisations {
                parent: Some(parent),
                child,
                supplier: Some(supplier.clone()),
                tenancy: "multi-tenant",
            })
        }
    }
}

struct Identifier {
    system: String,
    value: String,
}

fn read_identifier(structure: &Map<String, Value>) -> Result<Identifier, OAuthError> {
    let identifier = structure
        .get("practitioner_role")
        .and_then(|role| role.get("organization"))
        .and_then(|organization| organization.get("identifier"))
        .and_then(Value::as_object)
        .ok_or_else(|| malformed("needs practitioner_role.organization.identifier"))?;
    let text = |name| {
        identifier
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if text("type").as_deref() != Some("ENH") {
        return Err(malformed("needs identifier.type ENH"));
    }
    Ok(Identifier {
        system: text("system").ok_or_else(|| malformed("needs identifier.system"))?,
        value: text("value").ok_or_else(|| malformed("needs identifier.value"))?,
    })
}

fn single_child(
    identifier: &Identifier,
    parent: &str,
    children: &std::collections::BTreeSet<String>,
) -> Result<String, OAuthError> {
    if identifier.system == MULTI_TENANT_SYSTEM {
        return Err(denied(
            1005,
            "the client is single-tenant and cannot pass a parent number; send the child in system urn:oid:2.16.578.1.12.4.1.4.101",
        ));
    }
    if !SINGLE_TENANT_SYSTEMS.contains(&identifier.system.as_str()) {
        return Err(malformed("has an unknown identifier.system"));
    }
    check_number(&identifier.value)?;
    // A unit without sub-units is its own child.
    if children.contains(&identifier.value) || identifier.value == parent {
        return Ok(identifier.value.clone());
    }
    if children.is_empty() {
        return Err(denied(
            1006,
            "child organisation numbers are not enabled for the client",
        ));
    }
    Err(denied(
        1002,
        "the child organisation number is not registered for the client",
    ))
}

/// `NO:ORGNR:<parent>`, with or without trailing colon, or `NO:ORGNR:<parent>:<child>`.
fn multi_tenant(identifier: &Identifier) -> Result<(String, Option<String>), OAuthError> {
    if identifier.system != MULTI_TENANT_SYSTEM {
        return Err(malformed(
            "of a multi-tenant client needs system urn:oid:1.0.6523",
        ));
    }
    let numbers = identifier
        .value
        .strip_prefix("NO:ORGNR:")
        .ok_or_else(|| malformed("needs a value of the form NO:ORGNR:<parent>[:<child>]"))?;
    let (parent, child) = match numbers.split_once(':') {
        None | Some((_, "")) => (numbers.trim_end_matches(':'), None),
        Some((parent, child)) => (parent, Some(child)),
    };
    check_number(parent)?;
    child.map(check_number).transpose()?;
    Ok((parent.to_owned(), child.map(str::to_owned)))
}

fn check_number(text: &str) -> Result<(), OAuthError> {
    let wrong = |what: &'static str| OAuthError::request(format!("HID-1004: {what}"));
    let number =
        Orgnr::parse_form(text).map_err(|_| wrong("an organisation number has nine digits"))?;
    // Two series of test organisations carry numbers that fail the check.
    let test_series = text.starts_with("100") || text.starts_with("999");
    if !number.check_digit_ok() && !test_series {
        return Err(wrong("the organisation number's control digit is wrong"));
    }
    Ok(())
}

fn check_child_of(child: &str, parent: &str, directory: &dyn Directory) -> Result<(), OAuthError> {
    let belongs = child == parent
        || directory
            .organisation(child)
            .is_some_and(|organisation| organisation.orgnr == parent);
    if belongs {
        Ok(())
    } else {
        Err(denied(
            1003,
            "the child organisation number does not belong to the parent",
        ))
    }
}

fn denied(number: u16, what: &str) -> OAuthError {
    OAuthError::new(Code::AccessDenied, format!("HID-{number}: {what}"))
}
