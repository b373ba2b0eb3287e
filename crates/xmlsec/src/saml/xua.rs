//! What the attributes mean, both ways.

use super::assertion::{Assertion, Attribute};
use super::fragment::{self, Coded, Instance, PatientId, bare_oid};
use super::names::{self, Names};

const ORGANIZATION_ROOT: &str = "2.16.578.1.12.4.1.4.101";

/// Which names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// Old and new side by side, as the national issuer still does.
    Hybrid,
    /// V2.1: new names only.
    New,
    /// The form of the citizens' issuer, which knows no personnel ([`Xua::for_citizen`]).
    Citizen,
}

/// The decision on which the user's access rests, as the user's own system knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Reference, opaque.
    pub id: String,
    /// The user chose it herself, rather than the system deriving it.
    pub user_selected: bool,
}

/// Who looks, from where, why, and at whom. `Debug` shows neither persons nor names.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Xua {
    /// National id of the user (`NameID`).
    pub subject: String,
    /// Name of the user.
    pub subject_name: Option<String>,
    /// Category of health personnel.
    pub role: Option<Coded>,
    /// HPR number, else national id.
    pub npi: Option<String>,
    /// The same with its system.
    pub provider: Option<Instance>,
    /// Name of the legal entity.
    pub organization_name: Option<String>,
    /// Number of the legal entity.
    pub organization: Option<Instance>,
    /// Number of the point of care.
    pub child_organization: Option<Instance>,
    /// Name of the point of care.
    pub child_organization_name: Option<String>,
    /// Department.
    pub facility: Option<Instance>,
    /// Name of the department.
    pub facility_name: Option<String>,
    /// Kind of service given.
    pub healthcare_service: Option<Coded>,
    /// Purpose.
    pub purpose: Option<Coded>,
    /// Purpose, closer.
    pub purpose_details: Option<Coded>,
    /// Decision behind the access.
    pub decision: Option<Decision>,
    /// The patient it is about. Without one it opens nothing.
    pub patient: Option<PatientId>,
    /// The patient's point of care at the user's organisation.
    pub patient_organization: Option<Instance>,
    /// Its name.
    pub patient_organization_name: Option<String>,
    /// The patient's department at the user's organisation.
    pub patient_facility: Option<Instance>,
    /// Its name.
    pub patient_facility_name: Option<String>,
    /// Home community of the user, an OID without prefix.
    pub home_community: Option<String>,
    /// Level of the login, `4` or `3`.
    pub security_level: Option<String>,
    /// Scopes.
    pub scopes: Vec<String>,
    /// Client.
    pub client_id: Option<String>,
    /// How the user logged in.
    pub authentication_method: Option<String>,
    /// Policy the patient has acknowledged, an OID without prefix (spec documents §6.3).
    pub acp: Option<String>,
    /// Document of that acknowledgement, an OID without prefix.
    pub bppc: Option<String>,
}

impl std::fmt::Debug for Xua {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Xua")
            .field("role", &self.role.as_ref().map(|role| &role.code))
            .field(
                "purpose",
                &self.purpose.as_ref().map(|purpose| &purpose.code),
            )
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// Attributes that cannot be read. Names the attribute, never its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum XuaError {
    /// A value that is not of the attribute's form.
    #[error("the attribute {0} has a value that cannot be read")]
    Unreadable(&'static str),
    /// Old and new name, or two values of one, that say different things.
    #[error("the attribute {0} says two different things")]
    Contradiction(&'static str),
}

/// Writes attributes in the order called.
struct Out {
    generation: Generation,
    attributes: Vec<Attribute>,
}

impl Out {
    fn put(&mut self, name: &str, value: Option<String>) {
        self.attributes.push(Attribute {
            name: name.to_owned(),
            values: vec![value],
        });
    }

    /// A value under its new name and, in hybrid assertions, under its old one.
    fn value(&mut self, names: Names, value: Option<String>) {
        let Some(value) = value else { return };
        if let (Some(old), Generation::Hybrid) = (names.old, self.generation) {
            self.put(old, Some(value.clone()));
        }
        self.put(names.new, Some(value));
    }
}

impl Xua {
    /// Whether the assertion is about this patient: the number compared digit by digit. One that names nobody is about
    /// nobody (T6, T11).
    #[must_use]
    pub fn is_about(&self, national_id: &str) -> bool {
        self.patient
            .as_ref()
            .is_some_and(|patient| patient.id == national_id)
    }

    /// The attributes to write.
    #[must_use]
    pub fn attributes(&self, generation: Generation) -> Vec<Attribute> {
        if generation == Generation::Citizen {
            return self.citizen_attributes();
        }
        let mut out = Out {
            generation,
            attributes: Vec::new(),
        };
        self.write_user(&mut out);
        self.write_care(&mut out);
        self.write_patient(&mut out);
        self.write_token(&mut out);
        out.attributes
    }

    fn write_user(&self, out: &mut Out) {
        let instance = |value: &Option<Instance>| value.as_ref().map(fragment::write_instance);
        out.value(names::SUBJECT_ID, self.subject_name.clone());
        let role = self.role.as_ref();
        out.value(names::ROLE, role.map(|c| fragment::write_coded("Role", c)));
        out.value(names::NPI, self.npi.clone());
        let provider = self.provider.as_ref().map(fragment::write_provider);
        out.value(names::PROVIDER, provider);
        out.value(names::ORGANIZATION, self.organization_name.clone());
        out.value(names::ORGANIZATION_ID, instance(&self.organization));
        out.value(names::CHILD, instance(&self.child_organization));
        out.value(names::CHILD_NAME, self.child_organization_name.clone());
        out.value(names::FACILITY, instance(&self.facility));
        out.value(names::FACILITY_NAME, self.facility_name.clone());
    }

    fn write_care(&self, out: &mut Out) {
        let coded = |element: &str, value: &Option<Coded>| {
            value
                .as_ref()
                .map(|coded| fragment::write_coded(element, coded))
        };
        out.value(
            names::SERVICE,
            coded("HealthcareService", &self.healthcare_service),
        );
        // The purpose has another element name under its old attribute name.
        if let (Some(old), Generation::Hybrid, Some(purpose)) =
            (names::PURPOSE.old, out.generation, &self.purpose)
        {
            let mut purpose = purpose.clone();
            if bare_oid(&purpose.system) == codes::oid::PURPOSE_OF_USE {
                purpose.system_name = Some("PurposeOfUse (HL7)".to_owned());
            }
            out.put(old, Some(fragment::write_coded("PurposeOfUse", &purpose)));
        }
        if let Some(purpose) = coded("Purpose", &self.purpose) {
            out.put(names::PURPOSE.new, Some(purpose));
        }
        out.value(
            names::DETAILS,
            coded("purpose-of-use-details", &self.purpose_details),
        );
        let decision = self.decision.as_ref();
        out.value(
            names::DECISION,
            decision.map(|decision| fragment::write_decision(&decision.id, decision.user_selected)),
        );
    }

    fn write_patient(&self, out: &mut Out) {
        let instance = |value: &Option<Instance>| value.as_ref().map(fragment::write_instance);
        let patient = self.patient.as_ref().map(fragment::write_patient);
        out.value(names::RESOURCE_ID, patient);
        for (name, number, text, id) in [
            (
                names::RESOURCE_CHILD,
                names::RESOURCE_CHILD_ID,
                &self.patient_organization_name,
                &self.patient_organization,
            ),
            (
                names::RESOURCE_FACILITY,
                names::RESOURCE_FACILITY_ID,
                &self.patient_facility_name,
                &self.patient_facility,
            ),
        ] {
            out.value(name, text.clone());
            out.value(number, instance(id));
        }
    }

    fn write_token(&self, out: &mut Out) {
        out.value(names::HOME_COMMUNITY, self.home_community.clone());
        out.value(names::SECURITY_LEVEL, self.security_level.clone());
        if !self.scopes.is_empty() {
            out.value(names::SCOPE, Some(self.scopes.join(",")));
        }
        out.value(names::CLIENT_ID, self.client_id.clone());
        // These three are always there, nil when there is nothing to say.
        let prefixed = |oid: &Option<String>| oid.as_ref().map(|oid| format!("urn:oid:{oid}"));
        let method = self.authentication_method.clone();
        out.put(names::AUTHENTICATION_METHOD.new, method);
        out.put(names::ACP.new, prefixed(&self.acp));
        out.put(names::BPPC.new, prefixed(&self.bppc));
    }

    /// Reads the attributes of an assertion, in either generation.
    ///
    /// # Errors
    /// [`XuaError`] for a value that is there but cannot be read, and for two that contradict each other.
    pub fn read(assertion: &Assertion) -> Result<Self, XuaError> {
        let from = Values(&assertion.attributes);
        let organizations = from.by_content(names::RESOURCE_CHILD)?;
        let facilities = from.by_content(names::RESOURCE_FACILITY)?;
        let provider = from.instance(names::PROVIDER)?;
        Ok(Self {
            subject: assertion.subject.clone(),
            subject_name: from.text(names::SUBJECT_ID)?,
            role: from.coded(names::ROLE)?,
            npi: from.text(names::NPI)?,
            provider,
            organization_name: from.text(names::ORGANIZATION)?,
            organization: from.organization(names::ORGANIZATION_ID)?,
            child_organization: from.organization(names::CHILD)?,
            child_organization_name: from.text(names::CHILD_NAME)?,
            facility: from.instance(names::FACILITY)?,
            facility_name: from.text(names::FACILITY_NAME)?,
            healthcare_service: from.coded(names::SERVICE)?,
            purpose: from.coded(names::PURPOSE)?,
            purpose_details: from.coded(names::DETAILS)?,
            decision: from.decision(names::DECISION)?,
            patient: from.parsed(names::RESOURCE_ID, fragment::read_patient, PartialEq::eq)?,
            patient_organization: organizations.0,
            patient_organization_name: organizations.1,
            patient_facility: facilities.0,
            patient_facility_name: facilities.1,
            home_community: from.oid(names::HOME_COMMUNITY)?,
            security_level: from.text(names::SECURITY_LEVEL)?,
            scopes: from.text(names::SCOPE)?.map_or(Vec::new(), |scopes| {
                scopes
                    .split([',', ' '])
                    .filter(|scope| !scope.is_empty())
                    .map(str::to_owned)
                    .collect()
            }),
            client_id: from.text(names::CLIENT_ID)?,
            authentication_method: from.text(names::AUTHENTICATION_METHOD)?,
            acp: from.oid(names::ACP)?,
            bppc: from.oid(names::BPPC)?,
        })
    }
}

struct Values<'a>(&'a [Attribute]);

impl Values<'_> {
    /// All values under any of the names, nil and empty ones left out.
    fn texts(&self, names: Names) -> Vec<&str> {
        let is_meant =
            |name: &str| name == names.new || names.old == Some(name) || names.also.contains(&name);
        self.0
            .iter()
            .filter(|attribute| is_meant(&attribute.name))
            .flat_map(|attribute| attribute.values.iter().flatten())
            .map(|value| value.trim_ascii())
            .filter(|value| !value.is_empty())
            .collect()
    }

    /// The one thing that all values say; the first that is there, which under new and old names is the same.
    fn parsed<T>(
        &self,
        names: Names,
        parse: impl Fn(&str) -> Option<T>,
        is_same: impl Fn(&T, &T) -> bool,
    ) -> Result<Option<T>, XuaError> {
        let mut found: Option<T> = None;
        for text in self.texts(names) {
            let value = parse(text).ok_or(XuaError::Unreadable(names.new))?;
            match &found {
                None => found = Some(value),
                Some(first) if is_same(first, &value) => {}
                Some(_) => return Err(XuaError::Contradiction(names.new)),
            }
        }
        Ok(found)
    }

    fn text(&self, names: Names) -> Result<Option<String>, XuaError> {
        self.parsed(names, |text| Some(text.to_owned()), PartialEq::eq)
    }

    fn oid(&self, names: Names) -> Result<Option<String>, XuaError> {
        let parse = |text: &str| {
            let oid = bare_oid(text);
            codes::oid::is_oid(oid).then(|| oid.to_owned())
        };
        self.parsed(names, parse, PartialEq::eq)
    }

    fn coded(&self, names: Names) -> Result<Option<Coded>, XuaError> {
        self.parsed(names, fragment::read_coded, Coded::is_same)
    }

    fn instance(&self, names: Names) -> Result<Option<Instance>, XuaError> {
        self.parsed(names, fragment::read_instance, PartialEq::eq)
    }

    /// An organisation's number as fragment or, from the citizens' issuer, plain.
    fn organization(&self, names: Names) -> Result<Option<Instance>, XuaError> {
        let parse = |text: &str| fragment::read_instance(text).or_else(|| plain_number(text));
        self.parsed(names, parse, |a, b| a.extension == b.extension)
    }

    fn decision(&self, names: Names) -> Result<Option<Decision>, XuaError> {
        let parse = |text: &str| {
            let (id, user_selected) = fragment::read_decision(text)?;
            (id.len() <= 256).then_some(Decision { id, user_selected })
        };
        self.parsed(names, parse, PartialEq::eq)
    }

    /// Number and name that stand under names on which sources disagree.
    fn by_content(&self, names: Names) -> Result<(Option<Instance>, Option<String>), XuaError> {
        let (mut number, mut name): (Option<Instance>, Option<String>) = (None, None);
        for text in self.texts(names) {
            let contradicts = match fragment::read_instance(text).or_else(|| plain_number(text)) {
                Some(found) => number
                    .replace(found.clone())
                    .is_some_and(|first| first != found),
                None => name
                    .replace(text.to_owned())
                    .is_some_and(|first| first != text),
            };
            if contradicts {
                return Err(XuaError::Contradiction(names.new));
            }
        }
        Ok((number, name))
    }
}

fn plain_number(text: &str) -> Option<Instance> {
    let is_number = text.len() == 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Instance {
        extension: text.to_owned(),
        root: ORGANIZATION_ROOT.to_owned(),
        assigner: None,
    })
}
