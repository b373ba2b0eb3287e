//! Our own messages with other people, senders and numbers in them.

use anyhow::{Context, Result};

/// Who a message is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// National id.
    pub pid: &'a str,
    /// Name, family name first.
    pub name: &'a str,
}

const COPY: &str = r#"<CopyDest>
      <HCP>
        <Inst>
          <Name>Helsenav drift</Name>
          <Id>8900000</Id>
          <TypeId V="HER" DN="HER-id"/>
          <Dept>
            <Name>Dokumenter, mottak</Name>
            <Id>8900009</Id>
            <TypeId V="HER" DN="HER-id"/>
          </Dept>
        </Inst>
      </HCP>
    </CopyDest>"#;

/// A message with a new MsgId.
#[derive(Clone, Debug)]
pub struct Mail {
    /// MsgId.
    pub msg_id: String,
    /// The document.
    pub xml: String,
}

fn read(name: &str) -> Result<String> {
    std::fs::read_to_string(crate::fixture(name)).with_context(|| format!("fixture {name}"))
}

/// The text of an element.
pub fn element(xml: &str, name: &str) -> Option<String> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    after
        .split_once(&format!("</{name}>"))
        .map(|(text, _)| text.to_owned())
}

fn set(xml: &str, name: &str, value: &str) -> Result<String> {
    let old = element(xml, name).with_context(|| format!("no {name}"))?;
    Ok(xml.replacen(
        &format!("<{name}>{old}</{name}>"),
        &format!("<{name}>{value}</{name}>"),
        1,
    ))
}

fn about(mut xml: String, person: About<'_>) -> Result<Mail> {
    let msg_id = uuid::Uuid::new_v4().to_string();
    xml = set(&xml, "MsgId", &msg_id)?;
    xml = set(&xml, "OffId", person.pid)?;
    // The patient's name is the first one after her sex.
    let (before, after) = xml.split_once("<Sex").context("no Sex")?;
    let after = set(after, "Name", person.name)?;
    Ok(Mail {
        msg_id,
        xml: format!("{before}<Sex{after}"),
    })
}

/// Sender of all messages here: «Din EPJ AS», which is free for whoever tries the hub. The other organisations are alive
/// (the demo's actors read their queues).
pub const OFFICE: &str = "vaar-epj";
/// Its HER-id.
pub const OFFICE_HER_ID: u32 = 8_900_900;
/// The party below it.
pub const PARTY_HER_ID: u32 = 8_900_901;

fn from_us(xml: &str, organisation: &str, party: &str) -> String {
    xml.replace(party, &PARTY_HER_ID.to_string())
        .replace(organisation, &OFFICE_HER_ID.to_string())
}

/// A svarrapport 1.4 with this number of the report.
///
/// # Errors
/// When the fixture has changed its shape.
pub fn svarrapport(person: About<'_>, number: &str) -> Result<Mail> {
    let mut mail = about(read("svarrapport-1.4.xml")?, person)?;
    mail.xml = set(&mail.xml, "ServProvId", number)?;
    mail.xml = from_us(&mail.xml, "8900400", "8900401");
    Ok(mail)
}

/// An epikrise 1.2 with a copy to the hub's document service.
///
/// # Errors
/// When the fixture has changed its shape.
pub fn epikrise(person: About<'_>) -> Result<Mail> {
    let mut mail = about(read("epikrise-1.2.xml")?, person)?;
    mail.xml = set(&mail.xml, "ServProvId", &uuid::Uuid::new_v4().to_string())?;
    mail.xml = from_us(&mail.xml, "8900300", "8900301");
    mail.xml = mail
        .xml
        .replacen("<Requester>", &format!("{COPY}\n    <Requester>"), 1);
    Ok(mail)
}

/// A henvisning 2.0 as it stands, with a new MsgId.
///
/// # Errors
/// When the fixture has changed its shape.
pub fn henvisning() -> Result<Mail> {
    let msg_id = uuid::Uuid::new_v4().to_string();
    let xml = set(&read("henvisning-2.0.xml")?, "MsgId", &msg_id)?;
    let xml = from_us(&xml, "8900100", "8900101");
    Ok(Mail { msg_id, xml })
}

/// What an AppRec says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// MsgId it answers.
    pub original: String,
    /// `1` accepted, `2` refused.
    pub status: String,
    /// Codes of its errors.
    pub errors: Vec<String>,
    /// The whole of it.
    pub xml: String,
}

/// Reads an AppRec 1.1; `None` when it is none.
pub fn receipt(xml: &str) -> Option<Receipt> {
    if !xml.contains("<AppRec") {
        return None;
    }
    let (_, tail) = xml.split_once("<OriginalMsgId")?;
    let attribute = |tag: &str| {
        let (_, value) = tag.split_once("V=\"")?;
        value.split('"').next().map(str::to_owned)
    };
    let status = xml.split("<Status ").nth(1).and_then(attribute)?;
    let errors = xml.split("<Error ").skip(1).filter_map(attribute).collect();
    Some(Receipt {
        original: element(tail, "Id")?,
        status,
        errors,
        xml: xml.to_owned(),
    })
}
