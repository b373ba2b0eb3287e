//! Value sets that are a grammar or a registry rather than a list: media types, languages, units, currencies.

use crate::ucum::Unit;

/// What decides membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grammar {
    /// Media types (BCP 13).
    MediaType,
    /// Language tags (BCP 47).
    Language,
    /// UCUM units.
    Ucum,
    /// Currencies (ISO 4217).
    Currency,
}

/// ISO 4217 codes, with the few that HL7's list adds.
const CURRENCIES: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BYR BZD CAD CDF CHE CHF CHW \
    CLF CLP CNY COP COU CRC CUC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GGP GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS IMP INR \
    IQD IRR ISK JEP JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LTL LVL LYD MAD MDL MGA MKD MMK MNT MOP MRO MRU MUR MVR MWK MXN MXV \
    MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SPL SRD SSP STD STN SVC SYP \
    SZL THB TJS TMT TND TOP TRY TTD TVD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VEF VES VND VUV WST XAF XAG XAU XBA XBB XBC XBD XCD XDR XOF XPD XPF XPT \
    XSU XTS XUA XXX YER ZAR ZMW ZWD ZWL";

impl Grammar {
    /// The grammar behind a value set's canonical URL (with or without version).
    pub fn of(value_set: &str) -> Option<Grammar> {
        let url = value_set.split('|').next().unwrap_or_default();
        Some(match url.strip_prefix("http://hl7.org/fhir/ValueSet/")? {
            "mimetypes" => Grammar::MediaType,
            "all-languages" => Grammar::Language,
            "ucum-units" => Grammar::Ucum,
            "currencies" => Grammar::Currency,
            _ => return None,
        })
    }

    /// Code system of the members.
    pub fn system(self) -> &'static str {
        match self {
            Grammar::MediaType => "urn:ietf:bcp:13",
            Grammar::Language => "urn:ietf:bcp:47",
            Grammar::Ucum => "http://unitsofmeasure.org",
            Grammar::Currency => "urn:iso:std:iso:4217",
        }
    }

    /// Whether the code follows the grammar.
    pub fn admits(self, code: &str) -> bool {
        match self {
            Grammar::MediaType => media_type(code),
            Grammar::Language => language(code),
            // Units in brackets are open: customary and arbitrary units that are not converted here.
            Grammar::Ucum => {
                Unit::parse(code).is_some()
                    || (code.is_ascii()
                        && code.contains('[')
                        && code.contains(']')
                        && !code.contains(' '))
            }
            Grammar::Currency => {
                code.len() == 3 && CURRENCIES.split_whitespace().any(|c| c == code)
            }
        }
    }
}

fn media_type(code: &str) -> bool {
    // The definitions' own examples name the formats of FHIR by these words.
    if matches!(code, "json" | "xml" | "ttl") {
        return true;
    }
    let name = code.split(';').next().unwrap_or_default().trim_end();
    let token = |t: &str| {
        !t.is_empty()
            && t.len() <= 127
            && t.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&b))
    };
    name.split_once('/')
        .is_some_and(|(kind, sub)| token(kind) && token(sub))
}

fn language(code: &str) -> bool {
    let mut parts = code.split('-');
    let first = parts.next().unwrap_or_default();
    let primary = first.bytes().all(|b| b.is_ascii_alphabetic())
        && ((2..=8).contains(&first.len()) || matches!(first, "x" | "i" | "X" | "I"));
    primary
        && parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members() {
        for (set, code, good) in [
            ("mimetypes", "application/fhir+json", true),
            ("mimetypes", "text/plain; charset=utf-8", true),
            ("mimetypes", "json", true),
            ("mimetypes", "pdf", false),
            ("mimetypes", "image/", false),
            ("all-languages", "nb-NO", true),
            ("all-languages", "se", true),
            ("all-languages", "norsk bokmål", false),
            ("ucum-units", "mm[Hg]", true),
            ("ucum-units", "pizza", false),
            ("currencies", "NOK", true),
            ("currencies", "nok", false),
            ("currencies", "KRO", false),
        ] {
            let g = Grammar::of(&format!("http://hl7.org/fhir/ValueSet/{set}|4.0.1")).unwrap();
            assert_eq!(g.admits(code), good, "{set} {code}");
        }
        assert_eq!(
            Grammar::of("http://hl7.org/fhir/ValueSet/contact-point-use"),
            None
        );
    }
}
