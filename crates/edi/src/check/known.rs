//! What a message is, whether its version is taken, and its structure.

use super::{Context, New, Rule, Severity, Text};
use crate::apprec::ErrorCode;
use crate::message::{MessageKind, Standing, Support};
use crate::structure;
use crate::xsd::SchemaOutcome;

/// Known, and in a version that is taken (B13).
pub(super) fn check(c: &mut Context<'_>) {
    const RULE: &str = "MeldingsVersjoner";
    let (nb, en) = c.identified.kind.name();
    let version = version(c);
    let at = c.root.at;
    match c.identified.support {
        Support::Full => c.pass(
            format!("Kjent melding: {nb}{version}"),
            format!("Known message: {en}{version}"),
        ),
        Support::TooOld => c.error(
            Rule::Version,
            ErrorCode::T10,
            RULE,
            at,
            &format!("{nb}{version} er en utgått versjon; send gjeldende versjon"),
            &format!("{en}{version} is an obsolete version; send the current one"),
        ),
        Support::Recognised => match c.options.accepts {
            Some(_) => c.error(
                Rule::Version,
                ErrorCode::T10,
                RULE,
                at,
                &format!("{nb}{version} støttes ikke av mottakeren"),
                &format!("{en}{version} is not supported by the receiver"),
            ),
            None => c.info(
                Rule::Version,
                RULE,
                at,
                format!("{nb}{version} er gjenkjent; en mottaker i denne løsningen svarer T10"),
                format!("{en}{version} is recognised; a receiver in this hub answers T10"),
            ),
        },
        Support::Wrapper => c.warn(
            Rule::Known,
            RULE,
            at,
            format!("{nb}: selve meldingen ligger inni og må valideres for seg"),
            format!("{en}: the message itself is inside and must be validated by itself"),
        ),
        Support::Unknown => c.error(
            Rule::Known,
            ErrorCode::T10,
            RULE,
            at,
            "Rotelementets navnerom er ikke en kjent melding; kontroller xmlns",
            "The root element's namespace is no known message; check xmlns",
        ),
    }
    standing(c);
    if let Some(accepts) = c.options.accepts
        && c.identified.support == Support::Full
        && c.identified.kind != MessageKind::AppRec
        && !accepts.contains(&c.identified.kind)
    {
        c.error(
            Rule::Version,
            ErrorCode::T10,
            RULE,
            at,
            &format!("mottakeren tar ikke imot {nb}"),
            &format!("the receiver does not take {en}"),
        );
    }
}

/// What follows the name of the message: a blank and its version, or nothing.
fn version(c: &Context<'_>) -> String {
    match c.identified.version.as_deref() {
        None | Some("") => String::new(),
        Some(version) => format!(" {version}"),
    }
}

/// How the version stands in the reference list.
fn standing(c: &mut Context<'_>) {
    const RULE: &str = "MeldingsVersjoner";
    let (nb, en) = c.identified.kind.name();
    let version = version(c);
    let at = c.root.at;
    match c.identified.standing {
        Standing::Current => c.pass(
            format!("{nb}{version} er gjeldende versjon"),
            format!("{en}{version} is the current version"),
        ),
        Standing::Older => c.info(
            Rule::Version,
            RULE,
            at,
            format!("{nb}{version} er i bruk, men det finnes en nyere versjon"),
            format!("{en}{version} is in use, but there is a newer version"),
        ),
        Standing::Coming => c.warn(
            Rule::Version,
            RULE,
            at,
            format!("{nb}{version} er ikke tatt i bruk ennå; avtal med mottakeren før den sendes"),
            format!("{en}{version} is not in use yet; agree with the receiver before sending it"),
        ),
        // A version that was left is an error by its support, where this program knows the message.
        Standing::TooOld if c.identified.support != Support::TooOld => c.warn(
            Rule::Version,
            RULE,
            at,
            format!("{nb}{version} er en utgått versjon; send gjeldende versjon"),
            format!("{en}{version} is an obsolete version; send the current one"),
        ),
        Standing::TooOld | Standing::NotListed => {}
    }
}

/// Structure by our tables and, when there are, by official schemas (B12).
pub(super) fn structural(c: &mut Context<'_>) {
    let tables = structure::check(c.root);
    let mut places = Vec::new();
    for f in tables.faults {
        places.push(f.at.line);
        let new = New {
            severity: Severity::Error,
            code: Some(ErrorCode::T02),
            rule_id: Rule::Structure,
            rule: &f.rule,
        };
        c.find(new, f.at, f.text_nb, f.text_en);
    }
    let title = structure::covers(&c.business().ns).or_else(|| structure::covers(&c.root.ns));
    match (title, places.is_empty()) {
        (Some(title), true) => {
            c.pass(
                format!("Struktur etter tabellen for {title}"),
                format!("Structure by the table for {title}"),
            );
        }
        (Some(_), false) => {}
        (None, _) => {}
    }
    let how = Text::new(
        "gi en mappe med offisielle skjema: --schemas MAPPE",
        "give a folder of official schemas: --schemas DIR",
    );
    for ns in tables
        .unchecked
        .iter()
        .filter(|ns| !ns.contains("xmldsig"))
        .take(10)
    {
        if c.options.schemas.is_none() {
            c.skip(
                Text::new(
                    format!("Strukturen i navnerommet {}", short(ns)),
                    format!("Structure in namespace {}", short(ns)),
                ),
                how.clone(),
            );
        }
    }
    let Some(set) = c.options.schemas else {
        c.skip(
            Text::new(
                "Validering mot offisielle XML-skjema",
                "Validation against official XML schemas",
            ),
            how,
        );
        return;
    };
    if !std::ptr::eq(c.root, &c.doc.root) {
        c.skip(
            Text::new(
                "XML-skjema for melding i innpakning",
                "XML schema of a message inside a wrapper",
            ),
            Text::new(
                "valider MsgHead-elementet for seg",
                "validate the MsgHead element by itself",
            ),
        );
        return;
    }
    match set.check(c.doc) {
        SchemaOutcome::Checked { faults, unknown } => {
            if faults.is_empty() {
                c.pass(
                    "Gyldig etter offisielle XML-skjema",
                    "Valid by official XML schemas",
                );
            }
            for f in faults {
                let (_, at) = crate::xsd::place(c.doc, &f);
                // One break, one finding: our own words are better and in two languages.
                if places
                    .iter()
                    .any(|line| *line == f.line || *line == at.line)
                {
                    continue;
                }
                let new = New {
                    severity: Severity::Error,
                    code: Some(ErrorCode::T02),
                    rule_id: Rule::Structure,
                    rule: "offisielt XML-skjema",
                };
                c.find(
                    new,
                    at,
                    format!("Bryter XML-skjemaet: {}", f.text),
                    format!("Breaks the XML schema: {}", f.text),
                );
            }
            for ns in unknown.iter().filter(|ns| !ns.contains("1999/xhtml")) {
                c.skip(
                    Text::new(
                        format!("XML-skjema for navnerommet {}", short(ns)),
                        format!("XML schema of namespace {}", short(ns)),
                    ),
                    Text::new("legg skjemaet i mappen", "add the schema to the folder"),
                );
            }
        }
        SchemaOutcome::NoSchema { namespace } => c.skip(
            Text::new(
                format!("XML-skjema for navnerommet {}", short(&namespace)),
                format!("XML schema of namespace {}", short(&namespace)),
            ),
            Text::new("legg skjemaet i mappen", "add the schema to the folder"),
        ),
        SchemaOutcome::Unusable { reason } => c.skip(
            Text::new(
                "Validering mot offisielle XML-skjema",
                "Validation against official XML schemas",
            ),
            Text::new(
                format!("skjemaene kan ikke brukes: {reason}"),
                format!("the schemas cannot be used: {reason}"),
            ),
        ),
    }
}

fn short(ns: &str) -> String {
    ns.chars().take(100).collect()
}
