//! Dialogmelding 1.1 (and 1.0, which it extends): questions, answers and notes between parties, in MsgHead 1.2.
//!
//! Source: dialogmelding 1.1 standard (`dialog/2013-01-23`), messaging.md §3.

use crate::fk1::{Address, Ident, Organisation, TeleCom};
use crate::value::{Coded, Rich, Time, record, root};

/// Namespace of version 1.1.
pub const NS: &str = "http://www.kith.no/xmlstds/dialog/2013-01-23";
/// Namespace of version 1.0.
pub const NS_1_0: &str = "http://www.kith.no/xmlstds/dialog/2006-10-11";

record! {
    /// The message.
    Dialogmelding {
        /// Kind of case.
        case_kind: Option<Coded> = "SakstypeKodet",
        /// Kind of case in words.
        case_text: Option<String> = "Sakstype",
        /// Questions, or …
        questions: Vec<Foresporsel> = "Foresporsel",
        /// … notes and answers.
        notes: Vec<Notat> = "Notat",
    }
    /// A note or an answer.
    Notat {
        /// Subject (7322 and others).
        subject: Coded = "TemaKodet",
        /// Subject in words.
        subject_text: Option<String> = "Tema",
        /// The text.
        text: Option<Rich> = "TekstNotatInnhold",
        /// Remark.
        remark: Option<String> = "Merknad",
        /// Identifier of the note.
        id: Option<String> = "DokIdNotat",
        /// Date of the note.
        date: Option<Time> = "DatoNotat",
        /// The question it answers.
        question: Option<Box<Foresporsel>> = "Foresporsel",
        /// Persons with a role in it.
        roles: Vec<RollerRelatertNotat> = "RollerRelatertNotat",
    }
    /// A question.
    Foresporsel {
        /// Kind of question.
        kind: Coded = "TypeForesp",
        /// Subject (1.1).
        subject: Option<String> = "EmneSporsmal",
        /// The question.
        text: Option<Rich> = "Sporsmal",
        /// Purpose.
        purpose: Option<Coded> = "Formål",
        /// Reason.
        reason: Option<String> = "Begrunnelse",
        /// Urgency.
        urgency: Option<Coded> = "Hastegrad",
        /// Period, from.
        from: Option<Time> = "FraDato",
        /// Period, to.
        to: Option<Time> = "TilDato",
        /// Kinds of record information.
        record_kinds: Vec<Coded> = "TypeJournalinfo",
        /// Coded information (1.1).
        coded: Option<Coded> = "KodetOpplysning",
        /// Identifier of the question.
        id: Option<String> = "DokIdForesp",
        /// Persons with a role in it.
        roles: Vec<RollerRelatertNotat> = "RollerRelatertNotat",
    }
    /// A person with a role.
    RollerRelatertNotat {
        /// Role towards the note.
        role: Option<Coded> = "RolleNotat",
        /// Role towards the patient (9034).
        role_to_patient: Option<Coded> = "RoleToPatient",
        /// Unit (1.1).
        unit: Option<TilknyttetEnhet> = "TilknyttetEnhet",
        /// Health personnel, or …
        professional: Option<HealthcareProfessional> = "HealthcareProfessional",
        /// … another person.
        person: Option<Person> = "Person",
    }
    /// A unit.
    TilknyttetEnhet {
        /// The unit.
        unit: Organisation = "Kontaktenhet",
        /// Remark.
        remark: Option<String> = "Merknad",
        /// Health personnel, or …
        professional: Option<HealthcareProfessional> = "HealthcareProfessional",
        /// … another person.
        person: Option<Person> = "Person",
    }
    /// Health personnel.
    HealthcareProfessional {
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
    /// Another person. This standard has the given name first.
    Person {
        /// Given name.
        given_name: Option<String> = "GivenName",
        /// Middle name.
        middle_name: Option<String> = "MiddleName",
        /// Family name.
        family_name: Option<String> = "FamilyName",
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
}

root! { Dialogmelding, "Dialogmelding", NS, NS | NS_1_0, "dialogmelding 1.0 or 1.1" }
