//! Certificates of parties: by HER-id, by organisation number, by directory address, by words.

use super::AddressRegister;
use super::view::with_offset;
use edge::soap::{Fault, Object, Value};
use registers::kernel::period::Moment;
use registers::parties::register::Held;
use registers::parties::rules;
use registers::parties::{CertificateLine, CertificateUse};

/// Longest directory address that is read.
const MAX_ADDRESS: usize = 2_000;
/// Most certificates of one answer.
const MAX_FOUND: usize = 100;

fn not_found() -> Fault {
    Fault::generic("CertificateNotFound", "Sertifikatet ble ikke funnet.")
}

/// What a directory address asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// Serial numbers of certificates, decimal.
    pub serials: Vec<String>,
    /// Serial number of the subject: the organisation number.
    pub sn: Option<String>,
    /// Common name of the subject.
    pub cn: Option<String>,
}

/// Reads the filter out of a directory address (`ldap://host/base?attributes?scope?filter`). `None`: it asks for nothing
/// that can be looked up.
pub(super) fn read_address(address: &str) -> Option<Filter> {
    if address.len() > MAX_ADDRESS {
        return None;
    }
    let decoded = decode(address.trim());
    let query = decoded.rsplit('?').next()?;
    let mut filter = Filter::default();
    for part in query.split(['(', ')']) {
        let Some((name, value)) = part.split_once('=') else {
            continue;
        };
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "certificateserialnumber" if value.bytes().all(|b| b.is_ascii_digit()) => {
                filter
                    .serials
                    .push(value.trim_start_matches('0').to_owned());
            }
            "sn" | "serialnumber" => filter.sn = Some(value.to_owned()),
            "cn" => filter.cn = Some(value.to_owned()),
            _ => {}
        }
    }
    filter.serials.truncate(16);
    (filter != Filter::default()).then_some(filter)
}

/// `%41` as what it stands for; what is no escape stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = ahead;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl AddressRegister {
    fn der(&self, party: &Held, purpose: CertificateUse) -> Option<Vec<u8>> {
        let now = self.moment();
        let parent = self.parent(&party.content);
        let parent = parent.as_ref().map(|p| &p.content);
        let found = rules::certificate(&party.content, parent, purpose, now)?;
        Some(found.value.der.clone())
    }

    fn line(&self, party: &Held, purpose: CertificateUse) -> Option<(CertificateLine, String)> {
        let now = self.moment();
        let parent = self.parent(&party.content);
        let parent = parent.as_ref().map(|p| &p.content);
        let found = rules::certificate(&party.content, parent, purpose, now)?;
        let registered = rules::address(&party.content, parent, "E_DS", now).map(str::to_owned);
        let address = registered.or_else(|| {
            let derived = self.directory_address(&party.content, parent, now);
            derived.map(|(address, ..)| address)
        });
        Some((found.value.clone(), address.unwrap_or_default()))
    }

    /// The certificate of a party, DER.
    pub(super) fn certificate(
        &self,
        request: &Object,
        purpose: CertificateUse,
    ) -> Result<Value, Fault> {
        let party = self.get(request.int("herId").unwrap_or(0))?;
        let der = self.der(&party, purpose).ok_or_else(not_found)?;
        Ok(der.into())
    }

    /// The same with its directory address.
    pub(super) fn certificate_details(
        &self,
        request: &Object,
        purpose: CertificateUse,
    ) -> Result<Value, Fault> {
        let party = self.get(request.int("herId").unwrap_or(0))?;
        let (line, address) = self.line(&party, purpose).ok_or_else(not_found)?;
        Ok(details(line, address).into())
    }

    /// The certificate of an organisation.
    pub(super) fn certificate_of_organisation(
        &self,
        request: &Object,
        purpose: CertificateUse,
    ) -> Result<Value, Fault> {
        let number = request.int("organizationNumber").unwrap_or(0);
        let parties = self.parties.of_organisation(&number.to_string());
        let top = parties
            .iter()
            .find(|p| p.content.parent.is_none())
            .ok_or_else(|| {
                Fault::generic(
                    "InvalidOrganizationNumber",
                    "Organisasjon med oppgitt organisasjonsnummer eksisterer ikke.",
                )
            })?;
        let der = self.der(top, purpose).ok_or_else(not_found)?;
        Ok(der.into())
    }

    /// Certificates that a directory address asks for, newest first.
    fn at_address(&self, address: &str) -> Vec<CertificateLine> {
        let Some(filter) = read_address(address) else {
            return Vec::new();
        };
        let mut found: Vec<CertificateLine> = Vec::new();
        let mut add = |party: &Held, fits: &dyn Fn(&CertificateLine) -> bool| {
            for line in party.content.certificates.iter().filter(|l| fits(l)) {
                if found.len() < MAX_FOUND && !found.iter().any(|f| f.serial == line.serial) {
                    found.push(line.clone());
                }
            }
        };
        for serial in &filter.serials {
            for party in self.parties.of_serial(serial) {
                add(&party, &|line| line.serial == *serial);
            }
        }
        if filter.serials.is_empty()
            && let Some(orgnr) = &filter.sn
        {
            let is_named = |line: &CertificateLine| {
                filter
                    .cn
                    .as_ref()
                    .is_none_or(|cn| line.name.eq_ignore_ascii_case(cn))
            };
            for party in self.parties.of_organisation(orgnr) {
                add(&party, &is_named);
            }
        }
        found.sort_by_key(|line| std::cmp::Reverse((line.since, line.not_after_s)));
        found
    }

    /// By directory address; `purpose` absent: any.
    pub(super) fn certificate_at(
        &self,
        request: &Object,
        purpose: Option<CertificateUse>,
    ) -> Result<Value, Fault> {
        let address = request.text("ldapUrl").unwrap_or_default();
        let line = self
            .at_address(address)
            .into_iter()
            .find(|line| purpose.is_none_or(|p| line.purpose == p))
            .ok_or_else(not_found)?;
        Ok(line.der.into())
    }

    pub(super) fn candidates_at(&self, request: &Object) -> Result<Value, Fault> {
        let address = request.text("ldapUrl").unwrap_or_default();
        let lines = self.at_address(address);
        let objects: Vec<Object> = lines.iter().map(|l| candidate(l, "None")).collect();
        Ok(Object::new()
            .with("ActualLdapUrl", address.to_owned())
            .with("MatchingCertificates", objects)
            .into())
    }

    /// Certificates that could be the party's, where it is found by name or number only.
    pub(super) fn fallback(&self, request: &Object) -> Result<Value, Fault> {
        let her_id = request.text("herId").and_then(|t| t.parse().ok());
        let party = self.get(her_id.unwrap_or(0))?;
        let mut found: Vec<(CertificateLine, &'static str)> = Vec::new();
        let parent = self.parent(&party.content);
        let own = party.content.certificates.iter();
        found.extend(own.map(|l| (l.clone(), "ComPartName")));
        if let Some(parent) = &parent {
            let of = parent.content.certificates.iter();
            found.extend(of.map(|l| (l.clone(), "ParentName")));
        }
        for other in self.parties.of_organisation(&party.content.orgnr) {
            let of = other.content.certificates.iter();
            found.extend(of.map(|l| (l.clone(), "OrgNo")));
        }
        let mut seen = std::collections::HashSet::new();
        found.retain(|(line, _)| seen.insert(line.serial.clone()));
        found.truncate(MAX_FOUND);
        let objects: Vec<Object> = found.iter().map(|(l, from)| candidate(l, from)).collect();
        let now = self.moment();
        let address =
            self.directory_address(&party.content, parent.as_ref().map(|p| &p.content), now);
        Ok(Object::new()
            .with("ActualLdapUrl", address.map(|(a, ..)| a))
            .with("MatchingCertificates", objects)
            .into())
    }

    /// By organisation number, name and unit of the subject; what is empty does not narrow.
    pub(super) fn search_certificates(
        &self,
        request: &Object,
        purpose: CertificateUse,
    ) -> Result<Value, Fault> {
        let (sn, cn) = (request.text("sn"), request.text("cn"));
        if sn.is_none() && cn.is_none() {
            return Err(Fault::generic(
                "SearchTooWide",
                "Oppgi organisasjonsnummer (sn) eller navn (cn).",
            ));
        }
        let parties = match sn {
            Some(orgnr) => self.parties.of_organisation(orgnr),
            None => self.parties.organisations(),
        };
        let wanted = cn.map(codes::fold::fold);
        let mut objects = Vec::new();
        for party in parties {
            for line in &party.content.certificates {
                let is_named = wanted
                    .as_ref()
                    .is_none_or(|w| codes::fold::fold(&line.name).contains(w.as_str()));
                if line.purpose == purpose && is_named && objects.len() < MAX_FOUND {
                    let address = format!(
                        "ldap://{}/dc=Helsenav,dc=no?usercertificate;binary?sub?(certificateSerialNumber={})",
                        self.places.ldap_host, line.serial
                    );
                    objects.push(details(line.clone(), address));
                }
            }
        }
        Ok(objects.into())
    }

    pub(super) fn directories(&self) -> Value {
        let host = &self.places.ldap_host;
        vec![
            Object::new()
                .with("BaseUrl", format!("ldap://{host}"))
                .with("DisplayName", "Helsenav")
                .with("DistinguishedName", "dc=Helsenav,dc=no"),
        ]
        .into()
    }
}

fn details(line: CertificateLine, address: String) -> Object {
    Object::new()
        .with("Certificate", line.der)
        .with("LdapUrl", address)
}

fn candidate(line: &CertificateLine, source: &'static str) -> Object {
    // .NET writes an instant as its UTC time beside the offset it was given with.
    let instant = |at_s: i64| {
        let at = Moment(at_s.saturating_mul(1_000));
        let shown = with_offset(at);
        let minutes = shown.offset.map_or(0, |o| o.seconds() / 60);
        let utc = edge::soap::DateTime {
            written: at.timestamp().to_zoned(jiff::tz::TimeZone::UTC).datetime(),
            offset: Some(jiff::tz::Offset::UTC),
        };
        Object::new()
            .with("DateTime", utc)
            .with("OffsetMinutes", minutes)
    };
    Object::new()
        .with("CertificateSerialNumber", line.serial.clone())
        .with("CnName", line.name.clone())
        .with("FallbackSource", source)
        .with("NotAfter", instant(line.not_after_s))
        .with("NotBefore", instant(line.not_before_s))
        .with(
            "ValidForEncryption",
            line.purpose == CertificateUse::Encryption,
        )
        .with("ValidForSigning", line.purpose == CertificateUse::Signing)
}
