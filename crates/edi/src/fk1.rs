//! Common components (`felleskomponent1.xsd`): identifiers, addresses, persons, organisations.

use crate::value::{Coded, Time, Url, record};
use crate::xml::Ns;

/// Namespace of the common components.
pub const NS: &str = "http://www.kith.no/xmlstds/felleskomponent1";

/// Children of the common components stand in their own namespace …
fn own(_parent: &Ns) -> Ns {
    Ns::from(NS)
}

/// … except that MsgHead has declared identifiers, addresses and telephone numbers over again in its own.
fn own_outside_msghead(parent: &Ns) -> Ns {
    if &**parent == crate::msghead::NS {
        parent.clone()
    } else {
        own(parent)
    }
}

record! {
    /// An identifier with its kind: code list 9051 for organisations, 8116 for persons.
    Ident [own_outside_msghead] {
        /// The identifier as text.
        id: String = "Id",
        /// The kind, such as `HER`, `ENH`, `FNR`, `HPR`.
        type_id: Coded = "TypeId",
    }
    /// A postal address.
    Address [own_outside_msghead] {
        /// Kind of address (3401).
        kind: Option<Coded> = "Type",
        /// Street.
        street: Option<String> = "StreetAdr",
        /// Postal code.
        postal_code: Option<String> = "PostalCode",
        /// Post town.
        city: Option<String> = "City",
        /// Post box.
        postbox: Option<String> = "Postbox",
        /// Municipality or county (3402, 3403).
        county: Option<Coded> = "County",
        /// Country (9043).
        country: Option<Coded> = "Country",
    }
    /// A telephone number or e-mail address.
    TeleCom [own_outside_msghead] {
        /// Kind (9044).
        kind: Option<Coded> = "TypeTelecom",
        /// Address such as `tel:22334455`.
        address: Url = "TeleAddress",
    }
    /// A person who is not health personnel.
    Person [own] {
        /// Family name.
        family_name: Option<String> = "FamilyName",
        /// Middle name.
        middle_name: Option<String> = "MiddleName",
        /// Given name.
        given_name: Option<String> = "GivenName",
        /// Birth date.
        birth_date: Option<Time> = "DateOfBirth",
        /// Administrative sex (3101).
        sex: Option<Coded> = "Sex",
        /// Nationality (9043).
        nationality: Option<Coded> = "Nationality",
        /// Identifiers.
        idents: Vec<Ident> = "Ident",
        /// Address.
        address: Option<Address> = "Address",
        /// Telephone numbers.
        telecoms: Vec<TeleCom> = "TeleCom",
    }
    /// Health personnel.
    HealthcareProfessional [own] {
        /// Profession (9060).
        profession: Option<Coded> = "TypeHealthcareProfessional",
        /// Role towards the patient (9034).
        role_to_patient: Option<Coded> = "RoleToPatient",
        /// Family name.
        family_name: Option<String> = "FamilyName",
        /// Middle name.
        middle_name: Option<String> = "MiddleName",
        /// Given name.
        given_name: Option<String> = "GivenName",
        /// Birth date.
        birth_date: Option<Time> = "DateOfBirth",
        /// Administrative sex (3101).
        sex: Option<Coded> = "Sex",
        /// Nationality (9043).
        nationality: Option<Coded> = "Nationality",
        /// Identifiers.
        idents: Vec<Ident> = "Ident",
        /// Address.
        address: Option<Address> = "Address",
        /// Telephone numbers.
        telecoms: Vec<TeleCom> = "TeleCom",
    }
    /// An organisation outside MsgHead, which has its own.
    Organisation [own] {
        /// Kind of organisation (9040).
        kind: Option<Coded> = "TypeOrganisation",
        /// Name.
        name: String = "OrganisationName",
        /// Identifiers.
        idents: Vec<Ident> = "Ident",
        /// Address.
        address: Option<Address> = "Address",
        /// Telephone numbers.
        telecoms: Vec<TeleCom> = "TeleCom",
        /// The unit below.
        unit: Option<Box<Organisation>> = "Organisation",
    }
}

impl Ident {
    /// An identifier of an organisation (9051), for example `HER` or `ENH`.
    pub fn organisation(kind: &str, id: impl ToString) -> Self {
        Self {
            id: id.to_string(),
            type_id: kind_of(kind, 9051),
            ..Self::default()
        }
    }

    /// An identifier of a person (8116), for example `FNR`, `DNR`, `HPR` or `HER`.
    pub fn person(kind: &str, id: impl ToString) -> Self {
        Self {
            id: id.to_string(),
            type_id: kind_of(kind, 8116),
            ..Self::default()
        }
    }

    /// Whether the identifier is of this kind.
    pub fn is(&self, kind: &str) -> bool {
        self.type_id.code() == kind
    }
}

/// Finds an identifier by kind.
pub fn find<'a>(idents: &'a [Ident], kind: &str) -> Option<&'a Ident> {
    idents.iter().find(|i| i.is(kind) && !i.id.is_empty())
}

fn kind_of(kind: &str, list: u32) -> Coded {
    Coded::cv(kind, list, kind_name(kind))
}

/// Display of an identifier kind (9051, 8116) as messages carry it.
pub(crate) fn kind_name(kind: &str) -> &str {
    match kind {
        "HER" => "HER-id",
        "ENH" => "Organisasjonsnummer i Enhetsregisteret",
        "RSH" => "RESH-id",
        "FNR" => "Fødselsnummer",
        "DNR" => "D-nummer",
        "FHN" => "Felles hjelpenummer",
        "HPR" => "HPR-nummer",
        "AKO" => "Apotekkonsesjon",
        _ => kind,
    }
}
