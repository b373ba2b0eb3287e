//! Collaboration protocol profiles and agreements (CPP, CPA): the catalogue of processes, which of them two parties have
//! in common, and the documents (spec/messaging.md §3.2, §7).
//!
//! Read first: [`processes`], [`common_roles`], [`document::profile`], [`document::agreement`].

pub mod document;

use std::collections::HashMap;
use std::sync::LazyLock;

/// Over which channel an action goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The asynchronous one.
    Async,
    /// The synchronous one.
    Sync,
}

/// One action of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// The role sends it; otherwise it receives it.
    pub sends: bool,
    /// Name.
    pub name: &'static str,
    /// Package of the message.
    pub package: &'static str,
    /// Channel.
    pub channel: Channel,
}

/// One role of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Name.
    pub name: &'static str,
    /// Service.
    pub service: &'static str,
    /// Actions.
    pub actions: Vec<Action>,
}

/// A version of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Name.
    pub name: &'static str,
    /// Version.
    pub version: &'static str,
    /// Id of the process, the same for all its versions. Compared without regard to case.
    pub uuid: &'static str,
    /// Its roles.
    pub roles: Vec<Role>,
}

impl Process {
    /// A role by name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|r| r.name == name)
    }
}

/// A schema of a message in a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// File.
    pub location: &'static str,
    /// Version.
    pub version: &'static str,
    /// Namespace.
    pub namespace: &'static str,
}

struct Catalogue {
    processes: Vec<Process>,
    packages: HashMap<&'static str, Vec<Schema>>,
}

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let mut catalogue = Catalogue {
        processes: Vec::new(),
        packages: HashMap::new(),
    };
    for line in include_str!("processes.txt").lines() {
        let mut cells = line.split('\t');
        let mut next = || cells.next().unwrap_or_default();
        match next() {
            "process" => catalogue.processes.push(Process {
                name: next(),
                version: next(),
                uuid: next(),
                roles: Vec::new(),
            }),
            "role" => {
                let (name, service) = (next(), next());
                let actions = next().split(' ').filter_map(action).collect();
                if let Some(process) = catalogue.processes.last_mut() {
                    process.roles.push(Role {
                        name,
                        service,
                        actions,
                    });
                }
            }
            "package" => {
                let name = next();
                let schemas = next().split(' ').filter_map(schema).collect();
                catalogue.packages.insert(name, schemas);
            }
            _ => {}
        }
    }
    catalogue
});

fn action(text: &'static str) -> Option<Action> {
    let mut parts = text.split(':');
    Some(Action {
        sends: parts.next()? == "S",
        name: parts.next()?,
        package: parts.next()?,
        channel: match parts.next()? {
            "s" => Channel::Sync,
            _ => Channel::Async,
        },
    })
}

fn schema(text: &'static str) -> Option<Schema> {
    let mut parts = text.split('|');
    Some(Schema {
        location: parts.next()?,
        version: parts.next()?,
        namespace: parts.next()?,
    })
}

/// All versions of all processes.
#[must_use]
pub fn processes() -> &'static [Process] {
    &CATALOGUE.processes
}

/// One version of a process.
#[must_use]
pub fn process(uuid: &str, version: &str) -> Option<&'static Process> {
    processes()
        .iter()
        .find(|p| p.uuid.eq_ignore_ascii_case(uuid) && p.version == version)
}

/// What a package holds.
#[must_use]
pub fn package(name: &str) -> &'static [Schema] {
    CATALOGUE.packages.get(name).map_or(&[], Vec::as_slice)
}

/// A role that a party takes in a version of a process.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Taken {
    /// Id of the process.
    pub uuid: String,
    /// Version.
    pub version: String,
    /// Role.
    pub role: String,
}

impl Taken {
    /// In the catalogue.
    #[must_use]
    pub fn resolve(&self) -> Option<(&'static Process, &'static Role)> {
        let process = process(&self.uuid, &self.version)?;
        Some((process, process.role(&self.role)?))
    }
}

/// Order of versions: number by number, then letters (`0.9` < `0.91`? as numbers 9 < 91; `0.9a` after `0.9`).
fn version_key(version: &str) -> Vec<(u32, String)> {
    version
        .split('.')
        .map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            let rest = part.get(digits.len()..).unwrap_or_default();
            (digits.parse().unwrap_or(0), rest.to_owned())
        })
        .collect()
}

/// Roles for an agreement: of each process the newest version in which both parties take roles opposite to each other.
/// Returns the roles of the first and those of the second.
#[must_use]
pub fn common_roles(first: &[Taken], second: &[Taken]) -> (Vec<Taken>, Vec<Taken>) {
    let same_version =
        |a: &Taken, b: &Taken| a.uuid.eq_ignore_ascii_case(&b.uuid) && a.version == b.version;
    let mut pairs: Vec<(&Taken, &Taken)> = Vec::new();
    for a in first {
        for b in second {
            if same_version(a, b)
                && a.role != b.role
                && a.resolve().is_some()
                && b.resolve().is_some()
            {
                pairs.push((a, b));
            }
        }
    }
    let mut newest: HashMap<String, Vec<(u32, String)>> = HashMap::new();
    for (a, _) in &pairs {
        let key = version_key(&a.version);
        let best = newest.entry(a.uuid.to_ascii_lowercase()).or_default();
        if *best < key {
            *best = key;
        }
    }
    pairs.retain(|(a, _)| {
        newest.get(&a.uuid.to_ascii_lowercase()) == Some(&version_key(&a.version))
    });
    let side = |of: fn(&(&Taken, &Taken)) -> Taken| {
        let mut roles: Vec<Taken> = pairs.iter().map(of).collect();
        roles.sort();
        roles.dedup();
        roles
    };
    (side(|(a, _)| (*a).clone()), side(|(_, b)| (*b).clone()))
}

#[cfg(test)]
mod tests;
