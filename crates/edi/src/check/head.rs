//! Rules of the head: identifiers, addresses, times, envelope, test marking.
//!
//! Sources: HIS 80601 (MsgHead), HIS 1153-2 (addressing), HITS 1216 2.2.3 (envelope against body), messaging.md §1-§2.

use codes::ident::MsgId;

use super::{Context, New, Rule, Severity, Text};
use crate::apprec::{self, ErrorCode};
use crate::message::{Endpoint, Head, Header, MessageKind};
use crate::value::LIST_OID;
use crate::{epikrise, svarrapport};

pub(super) fn check(c: &mut Context<'_>) {
    let Some(h) = c.header else { return };
    msg_id(c, h);
    version_text(c);
    times(c, h);
    document_type(c, h);
    addresses(c, h);
    envelope(c, h);
    processing(c, h);
}

/// B14.
fn msg_id(c: &mut Context<'_>, h: &Header) {
    if MsgId::parse(&h.msg_id).is_ok() {
        c.pass("MsgId er en UUID", "MsgId is a UUID");
    } else {
        c.error(
            Rule::MsgId,
            ErrorCode::E10,
            "HIS 80601: MsgId",
            h.msg_id_at,
            "MsgId er ikke en UUID. Lag en ny for hver melding, for eksempel 5d79bd68-a58c-4599-a4e7-9db28ea20099",
            "MsgId is not a UUID. Make a new one for each message, such as 5d79bd68-a58c-4599-a4e7-9db28ea20099",
        );
    }
}

/// MIGversion of messages with their own head is free text in the schema; it should name the version of the namespace.
fn version_text(c: &mut Context<'_>) {
    let want = match &*c.root.ns {
        svarrapport::NS => svarrapport::MIG_VERSION,
        epikrise::NS => epikrise::MIG_VERSION,
        apprec::NS => apprec::MIG_VERSION,
        apprec::NS_1_0 => apprec::MIG_VERSION_1_0,
        _ => return,
    };
    let Some(e) = c.root.child("MIGversion") else {
        return;
    };
    let text = e.text();
    if text.trim() != want {
        // 1.0 receipts are seen with and without the "v".
        let same = text.trim().trim_start_matches('v') == want.trim_start_matches('v');
        let new = New {
            severity: if same {
                Severity::Info
            } else {
                Severity::Warning
            },
            code: None,
            rule_id: Rule::Version,
            rule: "MIGversion",
        };
        c.find(
            new,
            e.at,
            format!("MIGversion skal være «{want}»; navnerommet avgjør versjonen"),
            format!("MIGversion should be \"{want}\"; the namespace decides the version"),
        );
    }
}

fn times(c: &mut Context<'_>, h: &Header) {
    let Some(at) = h.gen_date.instant() else {
        return;
    };
    let Some(now) = c.options.now else {
        c.skip(
            Text::new(
                "Om GenDate er i fremtiden",
                "Whether GenDate is in the future",
            ),
            Text::new("oppgi tidspunkt", "give a time"),
        );
        return;
    };
    if at.as_second() > now.as_second() + 24 * 3600 {
        c.warn(
            Rule::Time,
            "HIS 80601: GenDate",
            h.gen_date.at,
            "GenDate er mer enn et døgn frem i tid; fristen på 96 timer for kvittering regnes herfra",
            "GenDate is more than a day in the future; the 96 hours for the receipt count from it",
        );
    }
}

/// The type (8279) must fit the business document.
fn document_type(c: &mut Context<'_>, h: &Header) {
    let Some(t) = &h.document_type else { return };
    let code = t.code();
    let fits = crate::catalogue::carries(c.identified.kind, code)
        || (c.identified.kind == MessageKind::Dialogmelding && code == "TEST");
    if !fits {
        let (nb, en) = c.identified.kind.name();
        c.warn(
            Rule::Type,
            "8279",
            t.at,
            format!("Meldingstypen passer ikke med innholdet, som er {nb}"),
            format!("The message type does not fit the content, which is {en}"),
        );
    }
    if c.identified.head == Head::MsgHead || c.identified.kind == MessageKind::AppRec {
        let system = format!("{LIST_OID}8279");
        if matches!(
            c.options.lookups.code(&system, code, None),
            super::CodeState::Unknown
        ) {
            c.warn(
                Rule::Type,
                "8279",
                t.at,
                "Meldingstypen finnes ikke i kodeliste 8279 (meldingens funksjon)",
                "The message type is not in code list 8279 (message function)",
            );
        }
    }
}

/// HIS 1153-2: level 1 and level 2 by HER-id.
fn addresses(c: &mut Context<'_>, h: &Header) {
    let mut complete = true;
    for (nb, en, who) in [
        ("Avsender", "The sender", &h.sender),
        ("Mottaker", "The receiver", &h.receiver),
    ] {
        if who.organisation.her_id().is_none() {
            complete = false;
            c.warn(
                Rule::Address,
                "HIS 1153-2 AD2",
                who.organisation.at,
                format!("{nb} mangler HER-id på nivå 1 (organisasjonen)"),
                format!("{en} has no HER-id on level 1 (the organisation)"),
            );
        }
        match (&who.unit, &who.person) {
            (None, None) => c.info(
                Rule::Address,
                "HIS 1153-2 AD2",
                who.organisation.at,
                format!(
                    "{nb} har bare nivå 1; adressering skal være til tjeneste eller person (nivå 2)"
                ),
                format!(
                    "{en} has level 1 only; addresses should name a service or person (level 2)"
                ),
            ),
            (unit, person) => {
                let has = |p: &Option<crate::message::PartyId>| {
                    p.as_ref().is_some_and(|p| p.her_id().is_some())
                };
                if !has(unit) && !has(person) {
                    complete = false;
                    let at = unit
                        .as_ref()
                        .or(person.as_ref())
                        .map(|p| p.at)
                        .unwrap_or_default();
                    c.warn(
                        Rule::Address,
                        "HIS 1153-2 AD2",
                        at,
                        format!("{nb} mangler HER-id på nivå 2 (tjeneste eller person)"),
                        format!("{en} has no HER-id on level 2 (service or person)"),
                    );
                }
            }
        }
    }
    if complete {
        c.pass(
            "Avsender og mottaker har HER-id",
            "Sender and receiver have HER-ids",
        );
    }
    let mut asked = false;
    for (nb, en, who, code) in [
        ("Avsenders", "The sender's", &h.sender, None),
        (
            "Mottakers",
            "The receiver's",
            &h.receiver,
            Some(ErrorCode::E21),
        ),
    ] {
        for party in parties(who) {
            let Some(her) = party.her_id() else { continue };
            match c.options.lookups.party_exists(her) {
                None => {}
                Some(true) => asked = true,
                Some(false) => {
                    asked = true;
                    let new = New {
                        severity: Severity::Warning,
                        code,
                        rule_id: Rule::Address,
                        rule: "Adresseregisteret",
                    };
                    c.find(
                        new,
                        party.at,
                        format!("{nb} HER-id {her} finnes ikke i Adresseregisteret"),
                        format!("{en} HER-id {her} is not in the address register"),
                    );
                }
            }
        }
    }
    if !asked {
        c.skip(
            Text::new(
                "Om HER-id-ene finnes i Adresseregisteret",
                "Whether the HER-ids are in the address register",
            ),
            Text::new(
                "valider i et kjørende nav, som har registrene",
                "validate in a running hub, which has the registers",
            ),
        );
    }
}

fn parties(e: &Endpoint) -> Vec<&crate::message::PartyId> {
    [Some(&e.organisation), e.unit.as_ref(), e.person.as_ref()]
        .into_iter()
        .flatten()
        .collect()
}

/// B27, and the receiver's side of the same rule.
fn envelope(c: &mut Context<'_>, h: &Header) {
    let Some(envelope) = c.options.envelope else {
        c.skip(
            Text::new(
                "Om avsender og mottaker stemmer med konvolutten",
                "Whether sender and receiver agree with the envelope",
            ),
            Text::new(
                "gjøres når meldingen mottas",
                "done when the message is received",
            ),
        );
        return;
    };
    if h.sender.routing_her_id() != Some(envelope.from_her_id) {
        let new = New {
            severity: Severity::Error,
            code: None,
            rule_id: Rule::Sender,
            rule: "HITS 1216 2.2.3",
        };
        c.find(
            new,
            h.sender.organisation.at,
            "Avsender i meldingen er en annen enn avsender i konvolutten",
            "The sender in the message is not the sender of the envelope",
        );
    }
    // NAV uses its level 1 id; copies carry the same body to every receiver.
    if !h.is_addressed_to(envelope.to_her_id) {
        c.error(
            Rule::Receiver,
            ErrorCode::E10,
            "HITS 1216 2.2.3",
            h.receiver.organisation.at,
            "Mottakeren i konvolutten er verken mottaker eller kopimottaker i meldingen",
            "The receiver of the envelope is neither receiver nor copy receiver in the message",
        );
    }
}

/// B28.
fn processing(c: &mut Context<'_>, h: &Header) {
    let Some(status) = h.processing_status.as_deref().filter(|s| *s != "P") else {
        return;
    };
    let at = c
        .root
        .descend(&["MsgInfo", "ProcessingStatus"])
        .or_else(|| c.root.child("Status"))
        .map(|e| e.at)
        .unwrap_or_default();
    let shown: String = status.chars().take(10).collect();
    if c.options.production {
        c.error(
            Rule::Processing,
            ErrorCode::X99,
            "8213",
            at,
            &format!("Meldingen er merket {shown} (ikke produksjon) og tas ikke imot i produksjon"),
            &format!(
                "The message is marked {shown} (not production) and is not taken in production"
            ),
        );
    } else {
        c.warn(
            Rule::Processing,
            "8213",
            at,
            format!("Meldingen er merket {shown}: en mottaker i produksjon avviser den"),
            format!("The message is marked {shown}: a receiver in production rejects it"),
        );
    }
}
