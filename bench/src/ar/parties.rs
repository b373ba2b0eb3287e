//! Organisations with services, as many as asked for, in the shape that a national address register has.

use anyhow::Result;
use grunndata::ar::with_queues;
use registers::RegisterTable;
use registers::directory::{PartyKind, ServiceCode};
use registers::kernel::period::{Moment, Period};
use registers::parties::{
    CertificateLine, CertificateUse, ElectronicAddress, PartyRecord, PhysicalAddress,
};

/// Services of each organisation.
const SERVICES: u32 = 2;
/// HER-id of the first organisation; each takes as many as it has parties.
const FIRST: u32 = 100_000;

fn organisation(at: u32) -> u32 {
    FIRST + at * (SERVICES + 1)
}

/// HER-ids to ask for: of organisations with parties below them, of the first of those each, and of parties that have or
/// inherit a certificate.
pub(crate) fn asked(table: &RegisterTable) -> [Vec<u32>; 3] {
    let parties = table.parties();
    let (mut tops, mut below, mut certified) = (Vec::new(), Vec::new(), Vec::new());
    for top in parties.organisations() {
        let Some(first) = parties.children(top.content.her_id).into_iter().next() else {
            continue;
        };
        tops.push(top.content.her_id);
        below.push(first.content.her_id);
        let party = parties.party(first.content.her_id);
        if party.is_some_and(|p| p.encryption_certificate.is_some()) {
            certified.push(first.content.her_id);
        }
    }
    [tops, below, certified]
}

/// Fills an empty register.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn load(table: &RegisterTable, organisations: u32) -> Result<()> {
    if !table.parties().is_empty() {
        return Ok(());
    }
    let at = Moment::from(jiff::Timestamp::now());
    let all = (0..organisations).flat_map(|n| {
        let top = top(n, at);
        let services: Vec<PartyRecord> = (1..=SERVICES).map(|s| service(&top, s, at)).collect();
        std::iter::once(top).chain(services)
    });
    table.parties().put(all.collect())?;
    Ok(())
}

fn line(purpose: CertificateUse, serial: u32, at: Moment) -> CertificateLine {
    let now_s = at.0 / 1_000;
    CertificateLine {
        purpose,
        der: vec![0x30; 1_400],
        serial: format!("46730003{serial:016}"),
        name: "Kommunikasjonspart".to_owned(),
        not_before_s: now_s - 1_000_000,
        not_after_s: now_s + 90 * 86_400,
        thumbprint: "0123456789ABCDEF0123456789ABCDEF01234567".to_owned(),
        since: at,
    }
}

fn top(n: u32, at: Moment) -> PartyRecord {
    let her_id = organisation(n);
    let orgnr = format!("{}", 310_000_000 + n);
    let name = format!("Legekontoret nr. {n} AS");
    let mut top = PartyRecord::new(her_id, PartyKind::Organisation, &name, &orgnr, at);
    top.valid = Period::since(at);
    top.business_type = Some("103".to_owned());
    top.industry = vec!["86.211".to_owned()];
    top.municipality = Some("0301".to_owned());
    top.physical = ["RES", "PST"]
        .map(|code| PhysicalAddress {
            code: code.to_owned(),
            street: Some(format!("Storgata {}", n % 200)),
            postbox: None,
            postcode: Some("0110".to_owned()),
            city: Some("OSLO".to_owned()),
            country: Some("NO".to_owned()),
            description: None,
            changed: at,
        })
        .into();
    top.electronic = [
        ("E_EDI", format!("{her_id}@edi.example")),
        ("E_TLF", "22000000".to_owned()),
    ]
    .map(|(code, address)| ElectronicAddress {
        code: code.to_owned(),
        address,
        changed: at,
        from: None,
    })
    .into();
    with_queues(&mut top, &format!("localhost/Helsenav/{her_id}"), at);
    top.certificates = vec![
        line(CertificateUse::Encryption, 2 * n, at),
        line(CertificateUse::Signing, 2 * n + 1, at),
    ];
    top
}

fn service(top: &PartyRecord, number: u32, at: Moment) -> PartyRecord {
    let her_id = top.her_id + number;
    let mut made = PartyRecord::new(her_id, PartyKind::Service, "Legetjeneste", &top.orgnr, at);
    made.parent = Some(top.her_id);
    made.valid = Period::since(at);
    made.service = Some(ServiceCode {
        list: "8663".to_owned(),
        code: format!("KX{:02}", 16 + number),
    });
    made
}
