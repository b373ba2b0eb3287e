//! Object identifiers that name identifier systems and code lists, and the URI forms in which they travel.
//!
//! The sector's root is 2.16.578.1.12.4: `.1.1.<list>` code lists, `.1.2` HER-id, `.1.4.<n>` identifier series. In FHIR the
//! form `urn:oid:<OID>` is the preferred one for identifiers and valid for every list; older and newer material also
//! uses `http://ehelse.no/…` and `http://helsedir.no/fhir/CodeSystem/no-kodeverk-<list>`. [`canonical`] maps all of
//! them to the bare OID, so that they compare as one system.

use std::borrow::Cow;

/// Prefix of every national code list; the list number follows.
pub const LIST_PREFIX: &str = "2.16.578.1.12.4.1.1.";

macro_rules! oids {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $value;)*
        /// Every constant of this module with its name.
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $value)),*];
    };
}

oids! {
    /// Fødselsnummer.
    FNR = "2.16.578.1.12.4.1.4.1";
    /// D-number.
    DNR = "2.16.578.1.12.4.1.4.2";
    /// Felles hjelpenummer.
    FHN = "2.16.578.1.12.4.1.4.3";
    /// Number in the register of health personnel.
    HPR = "2.16.578.1.12.4.1.4.4";
    /// DUF number.
    DUF = "2.16.578.1.12.4.1.4.5";
    /// Organisation number.
    ENH = "2.16.578.1.12.4.1.4.101";
    /// RESH-id.
    RSH = "2.16.578.1.12.4.1.4.102";
    /// Pharmacy licence number.
    AKO = "2.16.578.1.12.4.1.4.107";
    /// HER-id (a naming system).
    HER = "2.16.578.1.12.4.1.2";
    /// Organisation number in the form that rich authorisation details of HelseID samples also carry.
    ENH_ALIAS = "2.16.578.1.12.4.1.2.101";
    /// ISO 6523 organisation identifier, `NO:ORGNR:…`.
    ISO_6523 = "1.0.6523";

    /// Document sharing, national community (homeCommunityId of the hub).
    HOME_COMMUNITY = "2.16.578.1.12.4.1.7.1.1";
    /// Purpose of use, HL7 v3.
    PURPOSE_OF_USE = "2.16.840.1.113883.1.11.20448";

    /// Yes, no.
    LIST_YES_NO = "2.16.578.1.12.4.1.1.1101";
    /// Relation between a measured value and a number (older messages).
    LIST_COMPARATOR = "2.16.578.1.12.4.1.1.1203";
    /// Compression of an attachment.
    LIST_COMPRESSION = "2.16.578.1.12.4.1.1.1204";
    /// Industry (NACE), type of health care facility.
    LIST_INDUSTRY = "2.16.578.1.12.4.1.1.1303";
    /// Sex.
    LIST_SEX = "2.16.578.1.12.4.1.1.3101";
    /// Address type.
    LIST_ADDRESS_TYPE = "2.16.578.1.12.4.1.1.3401";
    /// Municipality number.
    LIST_MUNICIPALITY = "2.16.578.1.12.4.1.1.3402";
    /// Payment category.
    LIST_PAYMENT = "2.16.578.1.12.4.1.1.4101";
    /// ICD-10.
    LIST_ICD10 = "2.16.578.1.12.4.1.1.7110";
    /// ICPC-2.
    LIST_ICPC2 = "2.16.578.1.12.4.1.1.7170";
    /// ATC.
    LIST_ATC = "2.16.578.1.12.4.1.1.7180";
    /// Surgical procedures (NCSP).
    LIST_NCSP = "2.16.578.1.12.4.1.1.7210";
    /// NPU codes as older messages name them.
    LIST_NPU = "2.16.578.1.12.4.1.1.7230";
    /// Radiology procedures (NCRP).
    LIST_NCRP = "2.16.578.1.12.4.1.1.7270";
    /// Norwegian laboratory code system (NLK).
    LIST_NLK = "2.16.578.1.12.4.1.1.7280";
    /// Pathology (NORPAT).
    LIST_NORPAT = "2.16.578.1.12.4.1.1.7010";
    /// Priority of an answer.
    LIST_REPORT_PRIORITY = "2.16.578.1.12.4.1.1.7303";
    /// Whether a receipt is wanted.
    LIST_ACK = "2.16.578.1.12.4.1.1.7304";
    /// Modifier.
    LIST_MODIFIER = "2.16.578.1.12.4.1.1.7305";
    /// Status of a report (preliminary, final, supplement).
    LIST_REPORT_STATUS = "2.16.578.1.12.4.1.1.7306";
    /// Relation of a patient to a medicine (use, allergy).
    LIST_MEDICATION_RELATION = "2.16.578.1.12.4.1.1.7307";
    /// Service type: new, amendment, cancellation.
    LIST_SERVICE_TYPE = "2.16.578.1.12.4.1.1.7309";
    /// Role of a receiver.
    LIST_RECEIVER_ROLE = "2.16.578.1.12.4.1.1.8112";
    /// Reference to or content of a document.
    LIST_REFDOC = "2.16.578.1.12.4.1.1.8114";
    /// Id types of persons.
    LIST_PERSON_ID_TYPE = "2.16.578.1.12.4.1.1.8116";
    /// Speciality of a service report.
    LIST_REPORT_SPECIALITY = "2.16.578.1.12.4.1.1.8202";
    /// Type of a comment.
    LIST_COMMENT_TYPE = "2.16.578.1.12.4.1.1.8234";
    /// Error codes of the application receipt.
    LIST_APPREC_ERROR = "2.16.578.1.12.4.1.1.8221";
    /// Clinical information in a referral.
    LIST_CLINICAL_INFO = "2.16.578.1.12.4.1.1.8231";
    /// Comparator of a numeric result.
    LIST_RESULT_COMPARATOR = "2.16.578.1.12.4.1.1.8239";
    /// Mode of care in a discharge letter.
    LIST_CARE_MODE = "2.16.578.1.12.4.1.1.8240";
    /// Type of an investigation.
    LIST_INVESTIGATION_TYPE = "2.16.578.1.12.4.1.1.8243";
    /// Deviation marker of a result.
    LIST_DEVIATION = "2.16.578.1.12.4.1.1.8244";
    /// Status of a result.
    LIST_RESULT_STATUS = "2.16.578.1.12.4.1.1.8245";
    /// Role of a health care party in a discharge letter.
    LIST_PARTY_ROLE = "2.16.578.1.12.4.1.1.8254";
    /// Status of a received message (OK, refused, OK with errors in a part).
    LIST_APPREC_STATUS = "2.16.578.1.12.4.1.1.8258";
    /// Identifier types.
    LIST_ID_TYPE = "2.16.578.1.12.4.1.1.8268";
    /// Urgency of an analysis.
    LIST_URGENCY = "2.16.578.1.12.4.1.1.8273";
    /// Function of a message.
    LIST_MESSAGE_FUNCTION = "2.16.578.1.12.4.1.1.8279";
    /// Priority of a referral.
    LIST_REFERRAL_PRIORITY = "2.16.578.1.12.4.1.1.8304";
    /// Official person identification.
    LIST_OFFICIAL_PERSON_ID = "2.16.578.1.12.4.1.1.8327";
    /// Type of a referral.
    LIST_REFERRAL_TYPE = "2.16.578.1.12.4.1.1.8455";
    /// Practice setting.
    LIST_PRACTICE_SETTING = "2.16.578.1.12.4.1.1.8653";
    /// National services (address register).
    LIST_NATIONAL_SERVICE = "2.16.578.1.12.4.1.1.8658";
    /// Health registers (address register).
    LIST_HEALTH_REGISTER = "2.16.578.1.12.4.1.1.8659";
    /// Medical services: laboratory, imaging (address register).
    LIST_MEDICAL_SERVICE = "2.16.578.1.12.4.1.1.8660";
    /// Municipal services (address register).
    LIST_MUNICIPAL_SERVICE = "2.16.578.1.12.4.1.1.8663";
    /// Pharmacy services (address register).
    LIST_PHARMACY_SERVICE = "2.16.578.1.12.4.1.1.8664";
    /// Services common to all (address register).
    LIST_COMMON_SERVICE = "2.16.578.1.12.4.1.1.8666";
    /// Specialist services (address register).
    LIST_SPECIALIST_SERVICE = "2.16.578.1.12.4.1.1.8668";
    /// Role of health personnel in a message.
    LIST_PERSONNEL_ROLE = "2.16.578.1.12.4.1.1.9034";
    /// Organisation type (address register).
    LIST_ORGANISATION_TYPE = "2.16.578.1.12.4.1.1.9040";
    /// Telecom type.
    LIST_TELECOM = "2.16.578.1.12.4.1.1.9044";
    /// Id types of organisations.
    LIST_ORGANISATION_ID_TYPE = "2.16.578.1.12.4.1.1.9051";
    /// Category of health personnel.
    LIST_PERSONNEL_CATEGORY = "2.16.578.1.12.4.1.1.9060";
    /// Vaccines (SYSVAK).
    LIST_VACCINE = "2.16.578.1.12.4.1.1.9501";
    /// Document types.
    LIST_DOCUMENT_TYPE = "2.16.578.1.12.4.1.1.9602";
    /// Restriction of a document or result.
    LIST_RESTRICTION = "2.16.578.1.12.4.1.1.9603";
    /// Hypersensitivity reactions (kjernejournal).
    LIST_HYPERSENSITIVITY = "2.16.578.1.12.4.1.1.7514";
    /// Type of authorisation (personnel register).
    LIST_AUTHORISATION_TYPE = "2.16.578.1.12.4.1.1.7704";
    /// Speciality (personnel register).
    LIST_SPECIALITY = "2.16.578.1.12.4.1.1.7426";
}

/// LOINC.
pub const LOINC_URI: &str = "http://loinc.org";
/// Units of measure.
pub const UCUM_URI: &str = "http://unitsofmeasure.org";
/// SNOMED CT.
pub const SNOMED_URI: &str = "http://snomed.info/sct";
/// ATC in FHIR.
pub const ATC_URI: &str = "http://www.whocc.no/atc";
/// ICPC-2 in FHIR.
pub const ICPC2_URI: &str = "http://hl7.org/fhir/sid/icpc-2";
/// HL7's own OID of ICPC-2.
const ICPC2_HL7_OID: &str = "2.16.840.1.113883.6.139";
/// ICD-10 (Norwegian version) in FHIR.
pub const ICD10_URI: &str = "http://hl7.org/fhir/sid/icd-10-no";

/// OID of a national code list from its number, for example 8221.
#[must_use]
pub fn list(number: u32) -> String {
    format!("{LIST_PREFIX}{number}")
}

/// List number of a national code list's OID (with or without `urn:oid:`).
#[must_use]
pub fn list_number(oid: &str) -> Option<u32> {
    let bare = oid.strip_prefix("urn:oid:").unwrap_or(oid);
    bare.strip_prefix(LIST_PREFIX)?.parse().ok()
}

/// The FHIR `system` of an OID: `urn:oid:` in front. A value that is a URI already comes back as it is.
#[must_use]
pub fn to_fhir_uri(oid: &str) -> Cow<'_, str> {
    if is_oid(oid) {
        Cow::Owned(format!("urn:oid:{oid}"))
    } else {
        Cow::Borrowed(oid)
    }
}

/// One spelling for all spellings of a system: the bare OID where there is one, the URI otherwise.
#[must_use]
pub fn canonical(system: &str) -> Cow<'_, str> {
    if let Some(oid) = system.strip_prefix("urn:oid:") {
        return Cow::Borrowed(if oid == ICPC2_HL7_OID {
            LIST_ICPC2
        } else {
            oid
        });
    }
    for prefix in [
        "http://ehelse.no/fhir/CodeSystem/no-kodeverk-",
        "http://helsedir.no/fhir/CodeSystem/no-kodeverk-",
    ] {
        if let Some(rest) = system.strip_prefix(prefix) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if !digits.is_empty() {
                return Cow::Owned(format!("{LIST_PREFIX}{digits}"));
            }
        }
    }
    match system {
        ATC_URI => Cow::Borrowed(LIST_ATC),
        ICPC2_URI => Cow::Borrowed(LIST_ICPC2),
        ICD10_URI => Cow::Borrowed(LIST_ICD10),
        "http://hl7.no/fhir/NamingSystem/HERid" => Cow::Borrowed(HER),
        "http://hl7.no/fhir/NamingSystem/RESHid" => Cow::Borrowed(RSH),
        "http://hl7.no/fhir/NamingSystem/AKO" => Cow::Borrowed(AKO),
        "http://data.brreg.no/begrep/28155" => Cow::Borrowed(ENH),
        _ => Cow::Borrowed(system),
    }
}

/// OID of the person identifier system that a type code of list 8116 or 8327 stands for (`FNR`, `DNR`, `FHN`, `HPR`,
/// `DUF`). Local and foreign types have no national system.
#[must_use]
pub fn person_id_system(type_code: &str) -> Option<&'static str> {
    match type_code {
        "FNR" => Some(FNR),
        "DNR" => Some(DNR),
        "FHN" => Some(FHN),
        "HPR" => Some(HPR),
        "DUF" => Some(DUF),
        _ => None,
    }
}

/// OID of the organisation or unit identifier system that a type code of list 9051 stands for.
#[must_use]
pub fn organisation_id_system(type_code: &str) -> Option<&'static str> {
    match type_code {
        "ENH" => Some(ENH),
        "HER" => Some(HER),
        "RSH" => Some(RSH),
        "AKO" => Some(AKO),
        _ => None,
    }
}

/// Whether the text has the form of an OID: two or more numbers without leading zero, separated by points.
#[must_use]
pub fn is_oid(text: &str) -> bool {
    let mut parts = 0;
    for part in text.split('.') {
        let digits =
            !part.is_empty() && part.len() <= 39 && part.bytes().all(|b| b.is_ascii_digit());
        if !digits || (part.len() > 1 && part.starts_with('0')) {
            return false;
        }
        parts += 1;
    }
    parts >= 2 && text.starts_with(['0', '1', '2'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_oids_and_unique() {
        let mut seen = std::collections::HashSet::new();
        for (name, value) in ALL {
            assert!(is_oid(value), "{name}");
            assert!(seen.insert(value), "{name} repeats a value");
        }
    }

    #[test]
    fn all_spellings_of_a_list_are_one() {
        for spelling in [
            "2.16.578.1.12.4.1.1.7280",
            "urn:oid:2.16.578.1.12.4.1.1.7280",
            "http://ehelse.no/fhir/CodeSystem/no-kodeverk-7280",
            "http://helsedir.no/fhir/CodeSystem/no-kodeverk-7280-nlk",
        ] {
            assert_eq!(canonical(spelling), LIST_NLK, "{spelling}");
        }
        assert_eq!(canonical("http://loinc.org"), LOINC_URI);
        assert_eq!(canonical("http://www.whocc.no/atc"), LIST_ATC);
    }

    #[test]
    fn fhir_uris() {
        assert_eq!(to_fhir_uri(FNR), "urn:oid:2.16.578.1.12.4.1.4.1");
        assert_eq!(to_fhir_uri("http://loinc.org"), "http://loinc.org");
        assert_eq!(to_fhir_uri("urn:oid:1.2"), "urn:oid:1.2");
        assert_eq!(list_number("urn:oid:2.16.578.1.12.4.1.1.8221"), Some(8221));
        assert_eq!(list(8221), LIST_APPREC_ERROR);
        assert!(!is_oid("1..2") && !is_oid("3.1") && !is_oid("1.02") && !is_oid("a.b"));
    }
}
