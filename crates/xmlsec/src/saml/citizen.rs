//! The form in which the citizens' issuer tells of a citizen who looks at documents (spec documents §6.1, §6.2): one
//! generation of names, some without prefix, the purpose always "subject of care uses".

use super::assertion::Attribute;
use super::fragment::{self, Coded, Instance, PatientId, bare_oid};
use super::names;
use super::xua::Xua;

/// Life of a citizen's assertion in seconds.
pub const CITIZEN_LIFE_S: i64 = 1_200;

const PURPOSE_SYSTEM: &str = "1.0.14265.1";
const PURPOSE_SYSTEM_NAME: &str =
    "ISO 14265 Classification of Purposes for processing personal health information";

/// A citizen who looks, at herself or at somebody she represents.
#[derive(Clone, Copy)]
pub struct Citizen<'a> {
    /// National id and its system (an OID, with or without prefix).
    pub id: (&'a str, &'a str),
    /// Name.
    pub name: &'a str,
    /// Whose documents: national id and its system.
    pub patient: (&'a str, &'a str),
    /// Who runs the issuer: name and organisation number.
    pub operator: (&'a str, &'a str),
    /// OID of the community.
    pub home_community: &'a str,
    /// Level of the login.
    pub security_level: &'a str,
    /// What she may see.
    pub scopes: &'a [&'a str],
    /// Client, if it is to be told.
    pub client_id: Option<&'a str>,
    /// Policy for one who represents another (OID, spec documents §6.3): 1 parent, 2 attorney, 3 unable to consent.
    pub acp: Option<&'a str>,
}

impl Xua {
    /// What an assertion says of a citizen. To be written as [`super::Generation::Citizen`].
    #[must_use]
    pub fn for_citizen(citizen: &Citizen<'_>) -> Self {
        let (id, system) = citizen.id;
        let (patient, patient_system) = citizen.patient;
        let instance = |extension: &str, root: &str| Instance {
            extension: extension.to_owned(),
            root: bare_oid(root).to_owned(),
            assigner: None,
        };
        Self {
            subject: id.to_owned(),
            subject_name: Some(citizen.name.to_owned()),
            npi: Some(id.to_owned()),
            provider: Some(instance(id, system)),
            organization_name: Some(citizen.operator.0.to_owned()),
            organization: Some(instance(citizen.operator.1, codes::oid::ENH)),
            purpose: Some(Coded {
                code: "13".to_owned(),
                system: PURPOSE_SYSTEM.to_owned(),
                system_name: Some(PURPOSE_SYSTEM_NAME.to_owned()),
                display: Some("Subject of care uses".to_owned()),
                assigner: None,
            }),
            patient: Some(PatientId {
                id: patient.to_owned(),
                system: bare_oid(patient_system).to_owned(),
            }),
            home_community: Some(bare_oid(citizen.home_community).to_owned()),
            security_level: Some(citizen.security_level.to_owned()),
            scopes: citizen
                .scopes
                .iter()
                .map(|scope| (*scope).to_owned())
                .collect(),
            client_id: citizen.client_id.map(str::to_owned),
            acp: citizen.acp.map(|acp| bare_oid(acp).to_owned()),
            bppc: citizen.acp.map(|_| super::attest::BPPC_DIGITAL.to_owned()),
            ..Self::default()
        }
    }

    pub(super) fn citizen_attributes(&self) -> Vec<Attribute> {
        let prefixed = |oid: &Option<String>| oid.as_ref().map(|oid| format!("urn:oid:{oid}"));
        let scopes = (!self.scopes.is_empty()).then(|| self.scopes.join(","));
        let bare = |names: names::Names| names.also.first().copied().unwrap_or(names.new);
        let old = |names: names::Names| names.old.unwrap_or(names.new);
        let organization = self.organization.as_ref();
        let provider = self.provider.as_ref();
        let values: [(&str, Option<String>); 13] = [
            (old(names::SUBJECT_ID), self.subject_name.clone()),
            (names::ORGANIZATION.new, self.organization_name.clone()),
            (
                names::ORGANIZATION_ID.new,
                organization.map(|id| id.extension.clone()),
            ),
            (names::HOME_COMMUNITY.new, prefixed(&self.home_community)),
            (old(names::NPI), self.npi.clone()),
            (names::PROVIDER.new, provider.map(fragment::write_provider)),
            (
                bare(names::PURPOSE),
                self.purpose.as_ref().map(fragment::write_citizen_purpose),
            ),
            (
                old(names::RESOURCE_ID),
                self.patient.as_ref().map(fragment::write_patient),
            ),
            (bare(names::SECURITY_LEVEL), self.security_level.clone()),
            (bare(names::SCOPE), scopes),
            (bare(names::CLIENT_ID), self.client_id.clone()),
            (names::BPPC.new, prefixed(&self.bppc)),
            (names::ACP.new, prefixed(&self.acp)),
        ];
        let given = values
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        given
            .map(|(name, value)| Attribute {
                name: name.to_owned(),
                values: vec![Some(value)],
            })
            .collect()
    }
}
