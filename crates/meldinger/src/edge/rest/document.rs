//! A business document as it is handed in: decoded, read as far as its head, with its parties.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use edi::apprec::AppRec;
use edi::catalogue::MessageKind;
use edi::message::{Header, Identified, identify_doc};
use edi::value::Coded;
use edi::xml::{Encoding, XmlDoc};

use super::fault::Fault;
use crate::rules::envelope::APPREC;
use crate::rules::track::Receipt;

/// Most receivers of one document.
const MAX_RECEIVERS: usize = 50;

/// A document, read.
pub(crate) struct Document {
    pub bytes: Bytes,
    pub header: Header,
    pub identified: Identified,
    /// What it says, when it is a receipt.
    pub receipt: Option<Receipt>,
}

impl Document {
    /// Decodes and reads; every fault is told at once.
    pub fn decode(content: &str, content_type: &str, encoding: &str) -> Result<Self, Fault> {
        let mut faults = Vec::new();
        let media = content_type.split(';').next().unwrap_or_default().trim();
        if !media.eq_ignore_ascii_case("application/xml") {
            faults.push("ContentType must be application/xml.".to_owned());
        }
        if !encoding.trim().eq_ignore_ascii_case("base64") {
            faults.push("ContentTransferEncoding must be base64.".to_owned());
        }
        if content.trim().is_empty() {
            faults.push("The BusinessDocument field is required.".to_owned());
        }
        if !faults.is_empty() {
            return Err(Fault::model(faults));
        }
        let bytes = BASE64_STANDARD
            .decode(content.trim())
            .or_else(|_| {
                let compact: Vec<u8> = content
                    .bytes()
                    .filter(|b| !b.is_ascii_whitespace())
                    .collect();
                BASE64_STANDARD.decode(compact)
            })
            .map_err(|_| Fault::invalid("BusinessDocument is not valid base64."))?;
        Self::read(Bytes::from(bytes))
    }

    pub fn read(bytes: Bytes) -> Result<Self, Fault> {
        let start = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let doc = XmlDoc::parse(&bytes)
            .map_err(|e| Fault::invalid(format!("BusinessDocument is not readable XML: {e}.")))?;
        let mut faults = Vec::new();
        if !start.trim_ascii_start().starts_with(b"<?xml") || doc.encoding != Encoding::Utf8 {
            faults.push(
                "BusinessDocument must be encoded in UTF-8, and say so in its first line (<?xml version=\"1.0\" encoding=\"UTF-8\"?>).".to_owned(),
            );
        }
        let identified = identify_doc(&doc);
        let Some(header) = Header::from_doc(&doc) else {
            faults.push("BusinessDocument is none of the messages known here (MsgHead, AppRec, or a message with its own head).".to_owned());
            return Err(Fault::model(faults));
        };
        if codes::ident::MsgId::parse(&header.msg_id).is_err() {
            faults.push("BusinessDocument: MsgId must be a Guid.".to_owned());
        }
        if header.gen_date.instant().is_none() {
            faults.push("BusinessDocument: GenDate is missing or not a time.".to_owned());
        }
        if header.sender.routing_her_id().is_none() {
            faults.push("BusinessDocument: the sender has no HER-id.".to_owned());
        }
        let count = header.copies.len() + 1;
        if count > MAX_RECEIVERS {
            faults.push(format!(
                "BusinessDocument: at most {MAX_RECEIVERS} receivers."
            ));
        } else if header.receiver.routing_her_id().is_none() {
            faults.push("BusinessDocument: the receiver has no HER-id.".to_owned());
        }
        let receipt = match identified.kind {
            MessageKind::AppRec => {
                let receipt = AppRec::read_doc(&doc).ok();
                if receipt.is_none() {
                    faults.push("BusinessDocument: the receipt lacks mandatory parts.".to_owned());
                }
                receipt.map(|r| Receipt::Known {
                    status: r.status.code().to_owned(),
                    codes: r.errors.iter().map(|e| e.code().to_owned()).collect(),
                })
            }
            _ => None,
        };
        if !faults.is_empty() {
            return Err(Fault::model(faults));
        }
        Ok(Self {
            bytes,
            header,
            identified,
            receipt,
        })
    }

    /// Message function (8279).
    pub fn function(&self) -> String {
        if self.receipt.is_some() {
            return APPREC.to_owned();
        }
        let code = self.header.document_type.as_ref().map(Coded::code);
        code.unwrap_or_default().to_owned()
    }

    /// HER-ids of primary and copy receivers, none twice.
    pub fn receivers(&self) -> Vec<u32> {
        let mut out = Vec::new();
        let all = std::iter::once(&self.header.receiver).chain(&self.header.copies);
        for id in all.filter_map(edi::message::Endpoint::routing_her_id) {
            if !out.contains(&id) {
                out.push(id);
            }
        }
        out
    }

    /// Whether the sender wants a receipt: unless it says no, since that is the sector's norm.
    pub fn wants_receipt(&self) -> bool {
        self.receipt.is_none() && self.header.ack.as_deref() != Some("N")
    }

    /// Namespace of the business document.
    pub fn namespace(&self) -> String {
        let id = &self.identified;
        let payload = id.payload_namespace.clone();
        payload.unwrap_or_else(|| id.root_namespace.clone())
    }
}
