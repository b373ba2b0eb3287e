//! SMART App Launch 2 scopes: `patient|user|system / Type . cruds [? search]`, those of version 1 mapped onto them.
//!
//! They only ever narrow: the grant of the decision gets one more condition ([`store::Pred::TypeRules`]), so that reads,
//! searches, chains, includes, history and totals obey it in the store's own filter. There is no second path.

use crate::params;
use fhir::Pack;

/// Most scopes of a token that are looked at; a token with more opens nothing by them.
pub const MAX_SCOPES: usize = 200;
/// Longest search in a scope, bytes.
const MAX_FILTER_BYTES: usize = 2_000;

/// Whose data a scope is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// One patient, told with the token.
    Patient,
    /// What the user may see.
    User,
    /// What the client may see.
    System,
}

/// What a scope permits: a set of interactions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(u8);

impl Permissions {
    /// Create.
    pub const CREATE: Self = Self(1);
    /// Read, vread, history of an instance.
    pub const READ: Self = Self(2);
    /// Update, patch.
    pub const UPDATE: Self = Self(4);
    /// Delete.
    pub const DELETE: Self = Self(8);
    /// Search, history of a type or of all.
    pub const SEARCH: Self = Self(16);
    /// All of them.
    pub const ALL: Self = Self(31);

    /// Both sets together.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether they share an interaction.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// `read`, `write`, `*` of version 1, or letters of `cruds` in this order.
    fn parse(text: &str) -> Option<Self> {
        match text {
            "read" => return Some(Self::READ.or(Self::SEARCH)),
            "write" => return Some(Self::CREATE.or(Self::UPDATE).or(Self::DELETE)),
            "*" => return Some(Self::ALL),
            _ => {}
        }
        let mut letters = "cruds".char_indices();
        let mut found = Self::default();
        for wanted in text.chars() {
            let (at, _) = letters.find(|(_, letter)| *letter == wanted)?;
            found = found.or(Self(1 << at));
        }
        (found != Self::default()).then_some(found)
    }
}

/// One scope on resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Whose data.
    pub context: Context,
    /// Resource type; `None` = every type.
    pub rtype: Option<String>,
    /// What may be done.
    pub permissions: Permissions,
    /// Search conditions that must hold besides, decoded.
    pub conditions: Vec<(String, String)>,
    /// The same as written; part of the shape of a filter.
    pub written: String,
}

impl Scope {
    /// `None` for what is no well-formed scope on resources.
    pub fn parse(text: &str) -> Option<Self> {
        let (context, rest) = text.split_once('/')?;
        let context = match context {
            "patient" => Context::Patient,
            "user" => Context::User,
            "system" => Context::System,
            _ => return None,
        };
        let (what, query) = match rest.split_once('?') {
            Some((what, query)) => (what, query),
            None => (rest, ""),
        };
        if query.len() > MAX_FILTER_BYTES || (query.is_empty() && rest.ends_with('?')) {
            return None;
        }
        let (rtype, permissions) = what.rsplit_once('.')?;
        let rtype = match rtype {
            "*" => None,
            rtype => Some(Pack::r4().resource_type(rtype).map(|_| rtype.to_owned())?),
        };
        let conditions = params::decode(query.as_bytes());
        if conditions
            .iter()
            .any(|(name, _)| params::is_result_parameter(name))
        {
            return None;
        }
        Some(Self {
            context,
            rtype,
            permissions: Permissions::parse(permissions)?,
            conditions,
            written: query.to_owned(),
        })
    }

    /// Whether it is about a type.
    pub fn is_for(&self, rtype: &str) -> bool {
        self.rtype.as_deref().is_none_or(|own| own == rtype)
    }
}

/// Who the patient of `patient/` scopes is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Launch {
    /// Nobody: such scopes open nothing.
    #[default]
    Nobody,
    /// The one that the request names: clinical repositories answer about one patient at a time.
    Request,
    /// The one whom the token names: an id of this repository.
    Patient(String),
}

/// The resource scopes of one token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    scopes: Vec<Scope>,
    /// Whose `patient/` means.
    pub launch: Launch,
}

impl Scopes {
    /// The resource scopes among a token's scopes; `None` when it has none, and is not narrowed. One that is malformed opens
    /// nothing, but narrows all the same.
    pub fn of<'t>(texts: impl IntoIterator<Item = &'t str>, launch: Launch) -> Option<Self> {
        let mut count = 0;
        let mut scopes = Vec::new();
        for text in texts {
            if !is_resource_scope(text) {
                continue;
            }
            count += 1;
            scopes.extend(Scope::parse(text));
        }
        if count > MAX_SCOPES {
            scopes.clear();
        }
        (count > 0).then_some(Self { scopes, launch })
    }

    /// Scopes that permit one of these interactions on a type.
    pub fn permitting<'s>(
        &'s self,
        rtype: &'s str,
        wanted: Permissions,
    ) -> impl Iterator<Item = &'s Scope> {
        self.scopes
            .iter()
            .filter(move |s| s.is_for(rtype) && s.permissions.meets(wanted))
            .filter(|s| s.context != Context::Patient || self.launch != Launch::Nobody)
    }

    /// Whether an interaction on a type is permitted at all.
    pub fn permits(&self, rtype: &str, wanted: Permissions) -> bool {
        self.permitting(rtype, wanted).next().is_some()
    }

    /// Those that permit one of these interactions.
    #[must_use]
    pub fn only(&self, wanted: Permissions) -> Self {
        Self {
            scopes: self
                .scopes
                .iter()
                .filter(|s| s.permissions.meets(wanted))
                .cloned()
                .collect(),
            launch: self.launch.clone(),
        }
    }

    /// Whether an interaction is permitted on some type.
    pub fn permits_somewhere(&self, wanted: Permissions) -> bool {
        self.scopes.iter().any(|s| s.permissions.meets(wanted))
    }
}

/// Whether a scope speaks of resources, well-formed or not.
pub fn is_resource_scope(text: &str) -> bool {
    ["patient/", "user/", "system/"]
        .iter()
        .any(|prefix| text.starts_with(prefix))
}
