//! Which messages exist: namespace → kind, version, head, how the version stands, and how far this program goes with
//! them; and which document belongs to a message function ([`functions`]).
//!
//! Source: messaging.md §3 (targetNamespace of the national schemas, HISD 1209).

use serde::Serialize;

pub mod functions;
pub mod versions;

pub(crate) use functions::carries;
pub use versions::Standing;

/// Kind of business document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // named by `MessageKind::name`
pub enum MessageKind {
    AppRec,
    Svarrapport,
    Epikrise,
    Henvisning,
    Dialogmelding,
    Rekvisisjon,
    Plo,
    EpjEkstrakt,
    Sysvak,
    EResept,
    Legeerklaering,
    Sykmelding,
    Trekk,
    Behandlerkrav,
    Egenandel,
    Fastlege,
    Pasientliste,
    Registermelding,
    Kreftmelding,
    Yrkesskade,
    InnbyggerMelding,
    Personvern,
    Tjenesteoversikt,
    Kalender,
    PasientKommunikasjon,
    KjernejournalAdm,
    /// A MsgHead around something that the catalogue does not have.
    OtherInMsgHead,
    /// An ebXML (SOAP) envelope: the message is an attachment of it.
    EbxmlEnvelope,
    /// NAV's outer format without a MsgHead inside.
    Fellesformat,
    /// Signed or encrypted data; open it first.
    Cms,
    /// Nothing that is known here.
    Unknown,
}

impl MessageKind {
    /// Name in Norwegian and English.
    pub fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::AppRec => (
                "applikasjonskvittering (AppRec)",
                "application receipt (AppRec)",
            ),
            Self::Svarrapport => ("svarrapport", "answer report (svarrapport)"),
            Self::Epikrise => ("epikrise", "discharge letter (epikrise)"),
            Self::Henvisning => ("henvisning", "referral (henvisning)"),
            Self::Dialogmelding => ("dialogmelding", "dialogue message (dialogmelding)"),
            Self::Rekvisisjon => ("rekvisisjon", "requisition (rekvisisjon)"),
            Self::Plo => (
                "pleie- og omsorgsmelding (PLO)",
                "municipal care message (PLO)",
            ),
            Self::EpjEkstrakt => ("EPJ-ekstrakt", "record extract (EPJ-ekstrakt)"),
            Self::Sysvak => (
                "vaksinasjonsmelding (SYSVAK)",
                "vaccination message (SYSVAK)",
            ),
            Self::EResept => ("e-reseptmelding", "e-prescription message"),
            Self::Legeerklaering => ("legeerklæring (NAV)", "medical statement (NAV)"),
            Self::Sykmelding => ("sykmelding (NAV)", "sick note (NAV)"),
            Self::Trekk => ("innrapportering av trekk (NAV)", "deduction report (NAV)"),
            Self::Behandlerkrav => ("behandlerkrav", "settlement claim (behandlerkrav)"),
            Self::Egenandel => ("egenandel/frikort", "patient's share (egenandel)"),
            Self::Fastlege => ("fastlegeforespørsel", "GP look-up"),
            Self::Pasientliste => ("pasientliste", "patient list"),
            Self::Registermelding => (
                "registermelding (NPR/KPR/IPLOS)",
                "register report (NPR/KPR/IPLOS)",
            ),
            Self::Kreftmelding => ("kreftmelding", "cancer report"),
            Self::Yrkesskade => ("melding om arbeidsrelatert skade", "work injury report"),
            Self::InnbyggerMelding => (
                "innbyggermelding (Helsenorge)",
                "citizen message (Helsenorge)",
            ),
            Self::Personvern => (
                "personvernmelding (Helsenorge)",
                "privacy setting message (Helsenorge)",
            ),
            Self::Tjenesteoversikt => ("tjenesteoversikt", "service overview"),
            Self::Kalender => ("kalender (iCalendar)", "calendar (iCalendar)"),
            Self::PasientKommunikasjon => ("pasientkommunikasjon", "patient communication"),
            Self::KjernejournalAdm => (
                "administrativ melding til kjernejournal",
                "administrative message to the core record",
            ),
            Self::OtherInMsgHead => ("annen melding i MsgHead", "another message in MsgHead"),
            Self::EbxmlEnvelope => ("ebXML-konvolutt (SOAP)", "ebXML envelope (SOAP)"),
            Self::Fellesformat => ("fellesformat (NAV)", "fellesformat (NAV)"),
            Self::Cms => (
                "kryptert eller signert melding (CMS)",
                "encrypted or signed message (CMS)",
            ),
            Self::Unknown => ("ukjent", "unknown"),
        }
    }
}

/// The head around a business document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// MsgHead 1.2.
    MsgHead,
    /// The message's own, older head.
    Own,
    /// None that we know.
    None,
}

/// How far this program goes with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Support {
    /// Read, written and checked against our own tables.
    Full,
    /// Known by name; its structure is checked only with official schemas, and a receiver here answers T10.
    Recognised,
    /// A version that the sector has left; a receiver answers T10.
    TooOld,
    /// Something around a message.
    Wrapper,
    /// Not known.
    Unknown,
}

/// A row that matched.
pub(crate) struct Found {
    pub kind: MessageKind,
    pub version: Option<String>,
    pub head: Head,
    pub support: Support,
}

use Head as H;
use MessageKind as M;
use Support as S;

const K: &str = "http://www.kith.no/xmlstds/";
const E: &str = "http://ehelse.no/xmlstds/";

/// Namespaces after [`K`], exactly.
const KITH: &[(&str, MessageKind, &str, Head, Support)] = &[
    ("apprec/2012-02-15", M::AppRec, "1.1", H::Own, S::Full),
    ("apprec/2004-11-21", M::AppRec, "1.0", H::Own, S::Full),
    ("labsvar/2012-02-15", M::Svarrapport, "1.4", H::Own, S::Full),
    (
        "labsvar/2008-12-01",
        M::Svarrapport,
        "1.3",
        H::Own,
        S::Recognised,
    ),
    (
        "labsvar/2005-03-14",
        M::Svarrapport,
        "1.2",
        H::Own,
        S::TooOld,
    ),
    ("epikrise/2012-02-15", M::Epikrise, "1.2", H::Own, S::Full),
    (
        "epikrise/2006-09-23",
        M::Epikrise,
        "1.1",
        H::Own,
        S::Recognised,
    ),
    ("epikrise", M::Epikrise, "1.0", H::Own, S::TooOld),
    (
        "henvisning/2012-02-15",
        M::Henvisning,
        "1.1",
        H::Own,
        S::Recognised,
    ),
    (
        "henvisning/2005-07-08",
        M::Henvisning,
        "1.0",
        H::Own,
        S::Recognised,
    ),
    (
        "henvisning/2003-10-13",
        M::Henvisning,
        "0.9",
        H::Own,
        S::TooOld,
    ),
    (
        "dialog/2013-01-23",
        M::Dialogmelding,
        "1.1",
        H::MsgHead,
        S::Full,
    ),
    (
        "dialog/2006-10-11",
        M::Dialogmelding,
        "1.0",
        H::MsgHead,
        S::Full,
    ),
    (
        "rekvisisjon/2012-02-15",
        M::Rekvisisjon,
        "1.6",
        H::Own,
        S::Recognised,
    ),
    (
        "rekvisisjon/2008-12-01",
        M::Rekvisisjon,
        "1.5",
        H::Own,
        S::Recognised,
    ),
    (
        "rekvisisjon/2005-05-20",
        M::Rekvisisjon,
        "1.4",
        H::Own,
        S::TooOld,
    ),
    (
        "epj/EPJEkstrakt/2008-02-20",
        M::EpjEkstrakt,
        "1.4",
        H::MsgHead,
        S::Recognised,
    ),
    (
        "legeerklaring/2008-06-06",
        M::Legeerklaering,
        "1.0",
        H::MsgHead,
        S::Recognised,
    ),
    (
        "helseopplysningerNAV/2013-10-01",
        M::Sykmelding,
        "1.3",
        H::MsgHead,
        S::Recognised,
    ),
    (
        "sykmelding/2011-03-04",
        M::Sykmelding,
        "1.1",
        H::MsgHead,
        S::Recognised,
    ),
    (
        "nav/innrapporteringtrekk/2010-02-04",
        M::Trekk,
        "1.0",
        H::MsgHead,
        S::Recognised,
    ),
    (
        "bkm/2006-12-20",
        M::Behandlerkrav,
        "1.8.3",
        H::MsgHead,
        S::Recognised,
    ),
    (
        "nav/fastlege/2010-02-01",
        M::Fastlege,
        "1.0",
        H::MsgHead,
        S::Recognised,
    ),
    (
        "nav/pasientliste/2010-02-01",
        M::Pasientliste,
        "1.0",
        H::MsgHead,
        S::Recognised,
    ),
    (
        "lom/2003-12-01",
        M::Behandlerkrav,
        "0.91",
        H::Own,
        S::TooOld,
    ),
    (
        "reservasjon/2016-12",
        M::Personvern,
        "1.0",
        H::MsgHead,
        S::Recognised,
    ),
    (
        "kjernejournaladm/2007-06-07",
        M::KjernejournalAdm,
        "1.0",
        H::MsgHead,
        S::Recognised,
    ),
    (
        "dat/moas/2008-09-29",
        M::Yrkesskade,
        "1.0",
        H::Own,
        S::Recognised,
    ),
];

/// Families of namespaces after [`K`]: the rest is the version.
const KITH_FAMILIES: &[(&str, MessageKind, Head)] = &[
    ("po/", M::Plo, H::MsgHead),
    ("sysvak/", M::Sysvak, H::MsgHead),
    ("nav/egenandel", M::Egenandel, H::MsgHead),
    ("eresept/", M::EResept, H::MsgHead),
    ("brystkreft", M::Kreftmelding, H::Own),
    ("solide", M::Kreftmelding, H::Own),
    ("nonsolide", M::Kreftmelding, H::Own),
    ("paskomm/", M::PasientKommunikasjon, H::MsgHead),
    ("FraPasient/", M::PasientKommunikasjon, H::Own),
    ("TilPasient/", M::PasientKommunikasjon, H::Own),
];

/// Families of namespaces after [`E`].
const EHELSE_FAMILIES: &[(&str, MessageKind)] = &[
    ("po/", M::Plo),
    ("MeldingInnbygger/", M::InnbyggerMelding),
    ("Videreformidling/", M::InnbyggerMelding),
    ("leveringsrapport/", M::InnbyggerMelding),
    ("reservasjon/", M::Personvern),
    ("samtykke/", M::Personvern),
    ("tilgangsbegrensning/", M::Personvern),
    ("tjenesteoversikt", M::Tjenesteoversikt),
];

/// What a namespace is, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Described {
    /// Bokmål.
    pub nb: &'static str,
    /// English.
    pub en: &'static str,
    /// Version of the standard.
    pub version: Option<String>,
    /// How the version stands.
    pub standing: Standing,
}

/// What the namespace of a document says by itself, if the catalogue knows it.
#[must_use]
pub fn describe(ns: &str) -> Option<Described> {
    let found = find(ns, "")?;
    let (nb, en) = found.kind.name();
    Some(Described {
        nb,
        en,
        version: found.version,
        standing: versions::standing(ns),
    })
}

/// Finds a namespace (and, for envelopes, root name).
pub(crate) fn find(ns: &str, root: &str) -> Option<Found> {
    let found = |kind, version: Option<&str>, head, support| {
        Some(Found {
            kind,
            version: version.map(str::to_owned),
            head,
            support,
        })
    };
    if root == "EI_fellesformat" {
        return found(M::Fellesformat, None, H::None, S::Wrapper);
    }
    if ns == "http://schemas.xmlsoap.org/soap/envelope/" && root == "Envelope" {
        return found(M::EbxmlEnvelope, None, H::None, S::Wrapper);
    }
    if ns == "http://ehelse.no/xmlstds/henvisning/2017-11-30" {
        return found(M::Henvisning, Some("2.0"), H::MsgHead, S::Full);
    }
    if ns.starts_with("urn:ietf:params:xml:ns:icalendar") {
        return found(M::Kalender, Some("2.0"), H::MsgHead, S::Recognised);
    }
    if ns.starts_with("http://www.npr.no/xmlstds") {
        return found(M::Registermelding, None, H::MsgHead, S::Recognised);
    }
    if let Some((_, rest)) = ns.split_once("ehelse.no/xmlstds/eresept/") {
        return found(
            M::EResept,
            Some(&version_of(rest)),
            H::MsgHead,
            S::Recognised,
        );
    }
    if let Some(rest) = ns.strip_prefix(K) {
        let rest = rest.trim_end_matches('/');
        if let Some((_, kind, version, head, support)) = KITH.iter().find(|r| r.0 == rest) {
            return found(*kind, Some(version), *head, *support);
        }
        let (prefix, kind, head) = KITH_FAMILIES.iter().find(|r| rest.starts_with(r.0))?;
        let version = version_of(rest.strip_prefix(prefix).unwrap_or(rest));
        return found(*kind, Some(&version), *head, S::Recognised);
    }
    let rest = ns.strip_prefix(E)?;
    let (prefix, kind) = EHELSE_FAMILIES.iter().find(|r| rest.starts_with(r.0))?;
    found(
        *kind,
        Some(&version_of(rest.strip_prefix(prefix).unwrap_or(rest))),
        H::MsgHead,
        S::Recognised,
    )
}

/// `Innleggelsesrapport/2012-04-01` → `1.6 Innleggelsesrapport`; `m1/2013-10-08` → `M1 2013-10-08`.
fn version_of(rest: &str) -> String {
    let (name, date) = rest.rsplit_once('/').unwrap_or((rest, ""));
    match date {
        "2009-06-30" => format!("1.5 {name}"),
        "2012-04-01" => format!("1.6 {name}"),
        "2016-05-30" => format!("2.0 {name}"),
        _ if name.starts_with('m')
            && name
                .chars()
                .nth(1)
                .is_some_and(|c| c.is_ascii_digit() || c == 'v') =>
        {
            format!("{} {date}", name.to_uppercase())
        }
        _ => format!("{name} {date}").trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_named() {
        let what =
            |ns: &str| find(ns, "x").map(|f| (f.kind, f.version.unwrap_or_default(), f.support));
        assert_eq!(
            what("http://www.kith.no/xmlstds/labsvar/2012-02-15"),
            Some((M::Svarrapport, "1.4".into(), S::Full))
        );
        assert_eq!(
            what("http://www.kith.no/xmlstds/epikrise"),
            Some((M::Epikrise, "1.0".into(), S::TooOld))
        );
        assert_eq!(
            what("http://www.kith.no/xmlstds/po/Innleggelsesrapport/2012-04-01"),
            Some((M::Plo, "1.6 Innleggelsesrapport".into(), S::Recognised))
        );
        assert_eq!(
            what("http://www.kith.no/xmlstds/eresept/m1/2013-10-08"),
            Some((M::EResept, "M1 2013-10-08".into(), S::Recognised))
        );
        assert_eq!(
            what("http://www.ehelse.no/xmlstds/eresept/m98/2018-07-01"),
            Some((M::EResept, "M98 2018-07-01".into(), S::Recognised))
        );
        assert_eq!(
            what("http://ehelse.no/xmlstds/henvisning/2017-11-30").map(|f| f.0),
            Some(M::Henvisning)
        );
        assert_eq!(what("urn:example"), None);
    }

    /// Two tables, one verdict: a version that the sector's list has is never called obsolete.
    #[test]
    fn what_is_obsolete_here_was_left_by_the_sector() {
        for (rest, .., support) in KITH {
            let standing = versions::standing(&format!("http://www.kith.no/xmlstds/{rest}"));
            let is_left = standing == versions::Standing::TooOld;
            assert_eq!(*support == S::TooOld, is_left, "{rest}");
        }
    }
}
