//! The older "HCP" structure by which svarrapport, epikrise and AppRec name institutions and personnel.
//!
//! Mapping to MsgHead: `Inst` = organisation, `Inst/Dept` = service below it, `Inst/HCPerson` = person below it
//! (messaging.md §1.1 and §2).

use crate::value::{Coded, Url, record};

record! {
    /// A further identifier.
    AdditionalId {
        /// The identifier.
        id: String = "Id",
        /// Its kind.
        kind: Coded = "Type",
    }
    /// A department or service of an institution.
    Dept {
        /// Kind of department.
        kind: Option<Coded> = "Type",
        /// Name.
        name: Option<String> = "Name",
        /// Identifier.
        id: Option<String> = "Id",
        /// Its kind (9051).
        type_id: Option<Coded> = "TypeId",
        /// Further identifiers.
        additional_ids: Vec<AdditionalId> = "AdditionalId",
    }
    /// A person of an institution.
    HcPerson {
        /// Name.
        name: Option<String> = "Name",
        /// Identifier.
        id: Option<String> = "Id",
        /// Its kind (8116).
        type_id: Option<Coded> = "TypeId",
        /// Further identifiers.
        additional_ids: Vec<AdditionalId> = "AdditionalId",
    }
    /// An institution.
    Inst {
        /// Name.
        name: Option<String> = "Name",
        /// Identifier.
        id: Option<String> = "Id",
        /// Its kind (9051).
        type_id: Option<Coded> = "TypeId",
        /// Departments or services.
        depts: Vec<Dept> = "Dept",
        /// Persons.
        persons: Vec<HcPerson> = "HCPerson",
        /// Further identifiers.
        additional_ids: Vec<AdditionalId> = "AdditionalId",
    }
    /// A person outside an institution.
    HcProf {
        /// Profession (9060).
        kind: Option<Coded> = "Type",
        /// Name.
        name: Option<String> = "Name",
        /// Identifier.
        id: Option<String> = "Id",
        /// Its kind (8116).
        type_id: Option<Coded> = "TypeId",
        /// Further identifiers.
        additional_ids: Vec<AdditionalId> = "AdditionalId",
    }
    /// A postal address.
    Address {
        /// Kind of address (3401).
        kind: Coded = "Type",
        /// Street.
        street: Option<String> = "StreetAdr",
        /// Postal code.
        postal_code: Option<String> = "PostalCode",
        /// Post town.
        city: Option<String> = "City",
        /// Municipality or county.
        county: Option<Coded> = "County",
        /// Country.
        country: Option<Coded> = "Country",
        /// City district.
        city_district: Option<Coded> = "CityDistr",
        /// Telephone numbers.
        tele: Vec<Url> = "TeleAddress",
    }
    /// A health care provider: an institution or a person.
    Hcp {
        /// An institution, or …
        inst: Option<Inst> = "Inst",
        /// … a person.
        prof: Option<HcProf> = "HCProf",
        /// Medical specialty.
        speciality: Option<Coded> = "MedSpeciality",
        /// Address.
        address: Option<Address> = "Address",
    }
    /// A provider in a role: service provider, requester.
    Party {
        /// Role.
        role: Option<Coded> = "Role",
        /// How it wants to be reached (8235).
        com_method: Option<Coded> = "ComMethod",
        /// Who.
        hcp: Hcp = "HCP",
    }
    /// How a copy receiver gets its copy.
    CopyDestRole {
        /// Message type.
        msg_type: Coded = "MsgType",
        /// Wanted way.
        wanted: Option<Coded> = "ReqComMethod",
        /// Way used.
        used: Option<Coded> = "ActComMethod",
    }
    /// A copy receiver.
    CopyDest {
        /// Role.
        role: Option<Coded> = "Role",
        /// How the copy is sent.
        roles: Vec<CopyDestRole> = "CopyDestRole",
        /// Who.
        hcp: Hcp = "HCP",
    }
}

fn her(id: u32) -> (Option<String>, Option<Coded>) {
    (Some(id.to_string()), Some(Coded::cs("HER", "HER-id")))
}

impl Inst {
    /// An institution by HER-id.
    pub fn new(name: &str, her_id: u32) -> Self {
        let (id, type_id) = her(her_id);
        Self {
            name: Some(name.to_owned()),
            id,
            type_id,
            ..Self::default()
        }
    }

    /// The same with a service below it.
    #[must_use]
    pub fn with_dept(mut self, name: &str, her_id: u32) -> Self {
        let (id, type_id) = her(her_id);
        self.depts.push(Dept {
            name: Some(name.to_owned()),
            id,
            type_id,
            ..Dept::default()
        });
        self
    }

    /// The same with a person below it.
    #[must_use]
    pub fn with_person(mut self, name: &str, her_id: u32, hpr: Option<u32>) -> Self {
        let (id, type_id) = her(her_id);
        let additional_ids = hpr
            .map(|h| AdditionalId {
                id: h.to_string(),
                kind: Coded::cs("HPR", "HPR-nummer"),
                ..AdditionalId::default()
            })
            .into_iter()
            .collect();
        self.persons.push(HcPerson {
            name: Some(name.to_owned()),
            id,
            type_id,
            additional_ids,
            ..HcPerson::default()
        });
        self
    }

    /// The same with a further identifier, for example `ENH`.
    #[must_use]
    pub fn with_id(mut self, kind: &str, id: &str) -> Self {
        let kind = Coded::cs(kind, crate::fk1::kind_name(kind));
        self.additional_ids.push(AdditionalId {
            id: id.to_owned(),
            kind,
            ..AdditionalId::default()
        });
        self
    }
}

impl HcProf {
    /// A person by HPR number.
    pub fn new(name: &str, hpr: u32) -> Self {
        Self {
            name: Some(name.to_owned()),
            id: Some(hpr.to_string()),
            type_id: Some(Coded::cs("HPR", "HPR-nummer")),
            ..Self::default()
        }
    }
}

impl From<Inst> for Hcp {
    fn from(inst: Inst) -> Self {
        Self {
            inst: Some(inst),
            ..Self::default()
        }
    }
}
impl From<HcProf> for Hcp {
    fn from(prof: HcProf) -> Self {
        Self {
            prof: Some(prof),
            ..Self::default()
        }
    }
}
impl From<Hcp> for Party {
    fn from(hcp: Hcp) -> Self {
        Self {
            hcp,
            ..Self::default()
        }
    }
}
