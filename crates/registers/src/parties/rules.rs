//! What a party's row means at an instant: addresses and certificates with inheritance, validity, and which codes an
//! organisation's services may have (spec/grunndata.md §7.1, spec/messaging.md §7, §8.1-§8.2).

use super::record::{
    CertificateLine, CertificateUse, ElectronicAddress, PartyRecord, PhysicalAddress,
};
use crate::kernel::period::Moment;

/// Address of the party itself, or of the organisation above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective<'a, T> {
    /// The value.
    pub value: &'a T,
    /// It is the organisation's.
    pub inherited: bool,
}

/// Electronic addresses in force at `now`, own ones first: of one type the one that came into force last. A type the
/// party lacks is the organisation's.
#[must_use]
pub fn electronic<'a>(
    party: &'a PartyRecord,
    parent: Option<&'a PartyRecord>,
    now: Moment,
) -> Vec<Effective<'a, ElectronicAddress>> {
    let mut found: Vec<Effective<'a, ElectronicAddress>> = Vec::new();
    for (record, inherited) in [(Some(party), false), (parent, true)] {
        let mut of_this: Vec<&ElectronicAddress> = Vec::new();
        for address in record.map(|r| r.electronic.as_slice()).unwrap_or_default() {
            if address.from.is_some_and(|from| now < from) {
                continue;
            }
            match of_this.iter_mut().find(|a| a.code == address.code) {
                Some(there) if there.from <= address.from => *there = address,
                Some(_) => {}
                None => of_this.push(address),
            }
        }
        for value in of_this {
            if !found.iter().any(|f| f.value.code == value.code) {
                found.push(Effective { value, inherited });
            }
        }
    }
    found
}

/// Own addresses that come into force later.
pub fn future(party: &PartyRecord, now: Moment) -> impl Iterator<Item = &ElectronicAddress> {
    party
        .electronic
        .iter()
        .filter(move |a| a.from.is_some_and(|from| now < from))
}

/// The address of one type in force at `now`.
#[must_use]
pub fn address<'a>(
    party: &'a PartyRecord,
    parent: Option<&'a PartyRecord>,
    code: &str,
    now: Moment,
) -> Option<&'a str> {
    electronic(party, parent, now)
        .into_iter()
        .find(|a| a.value.code == code)
        .map(|a| a.value.address.as_str())
}

/// Physical addresses, with the organisation's for the types the party lacks.
#[must_use]
pub fn physical<'a>(
    party: &'a PartyRecord,
    parent: Option<&'a PartyRecord>,
) -> Vec<Effective<'a, PhysicalAddress>> {
    let own = party.physical.iter().map(|value| Effective {
        value,
        inherited: false,
    });
    let above = parent
        .map(|p| p.physical.as_slice())
        .unwrap_or_default()
        .iter()
        .filter(|a| !party.physical.iter().any(|own| own.code == a.code))
        .map(|value| Effective {
            value,
            inherited: true,
        });
    own.chain(above).collect()
}

/// The certificate in use: the one registered last of those that hold at `now`, else the one registered last; a party
/// without any has the organisation's.
#[must_use]
pub fn certificate<'a>(
    party: &'a PartyRecord,
    parent: Option<&'a PartyRecord>,
    purpose: CertificateUse,
    now: Moment,
) -> Option<Effective<'a, CertificateLine>> {
    let now_s = now.0.div_euclid(1_000);
    [(Some(party), false), (parent, true)]
        .into_iter()
        .find_map(|(record, inherited)| {
            let value = record?
                .certificates
                .iter()
                .filter(|c| c.purpose == purpose)
                .max_by_key(|c| {
                    let holds = c.not_before_s <= now_s && now_s <= c.not_after_s;
                    (holds, c.since, c.not_after_s)
                })?;
            Some(Effective { value, inherited })
        })
}

/// How near the end of a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Far away.
    Fine,
    /// Within thirty days: order a new one.
    Soon,
    /// Within 108 hours: the new one should be in the register already, because others keep what they have fetched.
    Late,
    /// Over.
    Expired,
}

/// How near the end of the certificate is at `now` (108 hours: spec/messaging.md §7; thirty days: ours).
#[must_use]
pub fn expiry(line: &CertificateLine, now: Moment) -> Expiry {
    let left_s = line.not_after_s.saturating_sub(now.0.div_euclid(1_000));
    match left_s {
        i64::MIN..=-1 => Expiry::Expired,
        0..388_800 => Expiry::Late,
        388_800..2_592_000 => Expiry::Soon,
        _ => Expiry::Fine,
    }
}

/// Whether the party itself is within its period.
#[must_use]
pub fn is_active(party: &PartyRecord, now: Moment) -> bool {
    party.valid.contains(now)
}

/// Whether messages can be exchanged with the party: it and its organisation are within their periods, and it has an
/// address for messages.
#[must_use]
pub fn is_valid_party(party: &PartyRecord, parent: Option<&PartyRecord>, now: Moment) -> bool {
    is_active(party, now)
        && parent.is_none_or(|p| is_active(p, now))
        && electronic(party, parent, now)
            .iter()
            .any(|a| matches!(a.value.code.as_str(), "E_EDI" | "E_SB_ASYNC"))
}

/// Code lists from which services of an organisation may be, by its type of list 9040 (HIS 1153). `None`: the type is
/// not one for which the standard says it.
#[must_use]
pub fn allowed_lists(business_type: &str) -> Option<&'static [u32]> {
    Some(match business_type {
        "101" => &[8659, 8660, 8666, 8668],
        "102" => &[8663, 8666],
        "103" => &[8660, 8663, 8666, 8668, 8669],
        "104" | "105" => &[8660, 8666],
        "108" | "109" => &[8664, 8666],
        "110" => &[8666, 8669],
        "113" => &[8658, 8659, 8660, 8666],
        "114" => &[8663, 8666],
        "115" => &[8666],
        _ => return None,
    })
}

/// The code lists of service-based addressing.
pub const ADDRESSING_LISTS: [u32; 8] = [8658, 8659, 8660, 8663, 8664, 8666, 8668, 8669];
