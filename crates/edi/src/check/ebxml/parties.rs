//! Sender, receiver and their agreement.

use super::mime::Fields;
use super::soap::{attr, child, instant};
use super::{EB, Hits, Place, Text};
use crate::message::{Endpoint, PartyId};
use crate::xml::{At, Elem};

/// The rules of one side, by number.
struct Side {
    name: &'static str,
    missing: u16,
    no_party: u16,
    empty: u16,
    no_her: u16,
    several: u16,
    not_digits: u16,
}

const FROM: Side = Side {
    name: "From",
    missing: 10,
    no_party: 58,
    empty: 25,
    no_her: 60,
    several: 14,
    not_digits: 31,
};
const TO: Side = Side {
    name: "To",
    missing: 9,
    no_party: 59,
    empty: 55,
    no_her: 61,
    several: 13,
    not_digits: 56,
};

/// A party of the message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Party {
    pub her_id: u32,
    pub at: At,
}

pub(super) fn endpoint(party: Option<Party>) -> Endpoint {
    let ids = party.map(|p| ("HER".to_owned(), p.her_id.to_string()));
    Endpoint {
        organisation: PartyId {
            ids: ids.into_iter().collect(),
            ..PartyId::default()
        },
        ..Endpoint::default()
    }
}

pub(super) fn check(h: &mut Hits<'_>, message: &Elem) -> (Option<Party>, Option<Party>) {
    let from = side(h, message, &FROM);
    let to = side(h, message, &TO);
    registers(h, from, to);
    (from, to)
}

fn side(h: &mut Hits<'_>, message: &Elem, side: &Side) -> Option<Party> {
    let Some(party) = child(message, EB, side.name) else {
        h.hit(side.missing, Place::Elem(message.at));
        return None;
    };
    let ids: Vec<&Elem> = party
        .elems()
        .filter(|e| &*e.ns == EB && &*e.name == "PartyId")
        .collect();
    let Some(first) = ids.first() else {
        h.hit(side.no_party, Place::Elem(party.at));
        return None;
    };
    if ids.len() > 1 {
        h.hit(side.several, Place::Elem(party.at));
    }
    let mut her = ids
        .iter()
        .filter(|e| attr(e, EB, "type").is_some_and(|t| t.eq_ignore_ascii_case("HER")));
    let Some(id) = her.next() else {
        let number = if ids.iter().all(|e| e.text().trim().is_empty()) {
            side.empty
        } else {
            side.no_her
        };
        h.hit(number, Place::Elem(first.at));
        return None;
    };
    let text = id.text();
    let text = text.trim();
    if text.is_empty() {
        h.hit(side.empty, Place::Elem(id.at));
        return None;
    }
    match text.parse::<u32>() {
        Ok(her_id) if text.bytes().all(|b| b.is_ascii_digit()) => Some(Party { her_id, at: id.at }),
        _ => {
            h.hit(side.not_digits, Place::Elem(id.at));
            None
        }
    }
}

fn registers(h: &mut Hits<'_>, from: Option<Party>, to: Option<Party>) {
    let mut asked = false;
    let mut addresses = [None, None];
    for (slot, party, number) in [(0_usize, from, 29_u16), (1, to, 54)] {
        let Some(party) = party else { continue };
        match h.options.lookups.party(party.her_id) {
            None => continue,
            Some(None) => h.hit(number, Place::Elem(party.at)),
            Some(Some(facts)) => {
                if !facts.is_level_2 {
                    let number = if slot == 0 { 30 } else { 54 };
                    h.hit(number, Place::Elem(party.at));
                }
                if let Some(slot) = addresses.get_mut(slot) {
                    *slot = Some(facts.edi_address);
                }
            }
        }
        asked = true;
    }
    if !asked {
        h.skip(
            Text::new(
                "Om avsender, mottaker, EDI-adresser og sertifikat stemmer med Adresseregisteret",
                "Whether sender, receiver, EDI addresses and certificate agree with the address register",
            ),
            Text::new(
                "valider i et kjørende nav, som har registrene",
                "validate in a running hub, which has the registers",
            ),
        );
        return;
    }
    let Some(mail) = h.mail else { return };
    for ((number, field), address) in [(261, "From"), (262, "To")].into_iter().zip(addresses) {
        let Some(wanted) = address.filter(|a| !a.is_empty()) else {
            continue;
        };
        if let Some((given, f)) = mail_address(&mail.fields, field)
            && !given.eq_ignore_ascii_case(wanted.trim_start_matches("mailto:"))
        {
            h.hit(number, Place::Field(f));
        }
    }
}

/// The address in `Name <address>` or `address`.
fn mail_address<'f>(fields: &'f Fields, name: &str) -> Option<(String, &'f super::Field)> {
    let field = fields.get(name)?;
    let text = match field.value.rsplit_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or_default(),
        None => &field.value,
    };
    let text = text.trim().trim_matches('"');
    (!text.is_empty()).then(|| (text.to_owned(), field))
}

/// The agreement that `CPAId` names.
pub(super) fn agreement(
    h: &mut Hits<'_>,
    message: &Elem,
    from: Option<Party>,
    to: Option<Party>,
    timestamp: Option<&str>,
) {
    let found = child(message, EB, "CPAId");
    let Some((element, id)) = found
        .map(|e| (e, e.text().trim().to_owned()))
        .filter(|(_, id)| !id.is_empty())
    else {
        h.hit(11, Place::Elem(found.map_or(message.at, |e| e.at)));
        return;
    };
    let at = Place::Elem(element.at);
    if let Some(pair) = pair(&id) {
        let both = from
            .zip(to)
            .map(|(f, t)| (f.her_id.min(t.her_id), f.her_id.max(t.her_id)));
        if both.is_some_and(|b| b != pair) {
            h.hit(110, at);
        }
        return;
    }
    let is_uuid = codes::ident::MsgId::parse(&id).is_ok();
    if !is_uuid {
        if !id.starts_with("nav:") {
            h.hit(12, at);
        }
        return;
    }
    match h.options.lookups.agreement(&id) {
        None => h.skip(
            Text::new(
                "Om avtalen (CPA) finnes og gjelder partene",
                "Whether the agreement (CPA) exists and is between the parties",
            ),
            Text::new(
                "valider i et kjørende nav, som har avtalene",
                "validate in a running hub, which has the agreements",
            ),
        ),
        Some(None) => h.hit(110, at),
        Some(Some(facts)) => {
            for (party, number) in [(from, 111), (to, 112)] {
                if party.is_some_and(|p| !facts.her_ids.contains(&p.her_id)) {
                    h.hit(number, at);
                }
            }
            let when = timestamp.and_then(instant);
            if when.is_some_and(|t| t < facts.start_s) {
                h.hit(113, at);
            }
            if when.is_some_and(|t| t > facts.end_s) {
                h.hit(114, at);
            }
        }
    }
}

/// `HERlow_HERhigh`, possibly with a further `_n`.
fn pair(id: &str) -> Option<(u32, u32)> {
    let mut pieces = id.split('_');
    let (low, high) = (pieces.next()?.parse().ok()?, pieces.next()?.parse().ok()?);
    let rest = pieces.next();
    if pieces.next().is_some() || rest.is_some_and(|n| n.parse::<u32>().is_err()) {
        return None;
    }
    Some((low, high))
}
