//! An organisation on the message bus (spec/messaging.md §4): seals, sends, receives, opens.

use crate::Facts;
use amqp::client::Client;
use amqp::port::{Message, MessageId, Properties, Settlement};
use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::time::Duration;
use xmlsec::asn1::Limits;
use xmlsec::cms;
use xmlsec::key::Identity;
use xmlsec::pki::pkcs12;
use xmlsec::x509::Certificate;

const CONTENT_TYPE: &str = "application/pkcs7-mime; smime-type=signed-and-enveloped-data";

/// Which certificate signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signer {
    /// The right one.
    Valid,
    /// No longer valid.
    Expired,
    /// Withdrawn.
    Revoked,
}

/// An organisation with its keys.
pub struct Office {
    facts: Facts,
    her_id: u32,
    user: String,
    password: String,
    signing: Identity,
    encryption: Identity,
    expired: Option<Identity>,
    revoked: Option<Identity>,
}

impl Office {
    /// By the story's key (`vaar-epj`, …).
    ///
    /// # Errors
    /// When facts.json has no login or keys for it.
    pub fn open(facts: &Facts, key: &str) -> Result<Self> {
        let organisation = facts.organisation(key);
        let her_id = u32::try_from(organisation["her_id"].as_u64().context("no her_id")?)?;
        let users = facts.0["amqp"]["users"].as_array().context("no users")?;
        let user = users
            .iter()
            .find(|u| u["her_id"] == her_id)
            .context("no bus user")?;
        let password = organisation["p12_password"]
            .as_str()
            .context("no p12_password")?;
        let read = |value: &Value| -> Result<Option<Identity>> {
            let Some(text) = value.as_str() else {
                return Ok(None);
            };
            Ok(Some(pkcs12::read(&STANDARD.decode(text)?, password)?.0))
        };
        Ok(Self {
            facts: facts.clone(),
            her_id,
            user: user["username"].as_str().context("no username")?.to_owned(),
            password: user["password"].as_str().context("no password")?.to_owned(),
            signing: read(&organisation["signing_p12_base64"])?.context("no signing key")?,
            encryption: read(&organisation["encryption_p12_base64"])?
                .context("no encryption key")?,
            expired: read(&organisation["spare_p12"]["expired"])?,
            revoked: read(&organisation["spare_p12"]["revoked"])?,
        })
    }

    /// A connection to the bus.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn connect(&self) -> Result<Client> {
        let host: std::net::IpAddr = self.facts.text("/amqp/host").parse()?;
        let port = u16::try_from(self.facts.0["amqp"]["port"].as_u64().context("no port")?)?;
        Ok(Client::connect((host, port).into(), &self.user, &self.password, None).await?)
    }

    /// The certificate others encrypt for.
    ///
    /// # Errors
    /// When facts.json has none.
    pub fn certificate_of(&self, her_id: u32) -> Result<Certificate> {
        let pem = self.facts.organisation_of(her_id)["encryption_cert_pem"].as_str();
        Ok(Certificate::from_pem(
            pem.context("no encryption_cert_pem")?,
        )?)
    }

    /// Signs and encrypts.
    ///
    /// # Errors
    /// When a key is missing.
    pub fn seal(&self, content: &[u8], to: u32, signer: Signer) -> Result<Vec<u8>> {
        let identity = match signer {
            Signer::Valid => Some(&self.signing),
            Signer::Expired => self.expired.as_ref(),
            Signer::Revoked => self.revoked.as_ref(),
        };
        let now_s = jiff::Timestamp::now().as_second();
        Ok(cms::seal(
            content,
            identity.context("no such key")?,
            &self.certificate_of(to)?,
            now_s,
        )?)
    }

    /// The same with one byte of the content changed after it was signed.
    ///
    /// # Errors
    /// When a key is missing.
    pub fn seal_tampered(&self, content: &[u8], to: u32) -> Result<Vec<u8>> {
        let now_s = jiff::Timestamp::now().as_second();
        let mut signed = cms::sign(content, &self.signing, Some(now_s))?;
        let start = content.get(..64).context("too short")?;
        let place = signed
            .windows(start.len())
            .position(|w| w == start)
            .context("content not found")?;
        let changed = signed
            .get_mut(place + content.len() / 2)
            .context("too short")?;
        *changed ^= 1;
        let to = self.certificate_of(to)?;
        Ok(cms::envelope(
            &signed,
            &[&to],
            cms::Cipher::Aes256Cbc,
            cms::KeyTransport::Pkcs1,
        )?)
    }

    /// An envelope as spec/messaging.md §4.3 wants it, without a body.
    pub fn envelope(&self, subject: &str, from: u32, to: u32) -> Message {
        let queue = self.queue_of(to);
        let id = MessageId::String(uuid::Uuid::new_v4().to_string());
        let mut message = Message {
            properties: Properties {
                message_id: Some(id.clone()),
                to: Some(queue),
                subject: Some(subject.to_owned()),
                reply_to: Some(format!("{}_async", self.her_id)),
                correlation_id: Some(id),
                content_type: Some(CONTENT_TYPE.to_owned()),
                ..Properties::default()
            },
            ..Message::default()
        };
        message.set_property("fromHerId", from.to_string());
        message.set_property("toHerId", to.to_string());
        let now = jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string();
        message.set_property("applicationTimeStamp", now);
        message
    }

    /// Where a party receives.
    pub fn queue_of(&self, her_id: u32) -> String {
        format!("{}_async", self.facts.organisation_of(her_id)["her_id"])
    }

    /// Sends a message; its message-id.
    ///
    /// # Errors
    /// When the bus does not take it.
    pub async fn send(&self, message: Message) -> Result<String> {
        let id = message
            .properties
            .message_id
            .as_ref()
            .map(MessageId::as_text)
            .unwrap_or_default();
        let queue = message.properties.to.clone().context("no queue")?;
        let mut client = self.connect().await?;
        let mut link = client
            .sender(&queue, &format!("sender-link-{}", uuid::Uuid::new_v4()))
            .await?;
        match link.send(message).await? {
            Settlement::Accepted => {}
            other => bail!("the bus said {other:?}"),
        }
        link.close().await;
        let _ = client.close().await;
        Ok(id)
    }

    /// Seals and sends a document.
    ///
    /// # Errors
    /// When the bus does not take it.
    pub async fn post(&self, subject: &str, from: u32, to: u32, xml: &str) -> Result<String> {
        let mut message = self.envelope(subject, from, to);
        // Metadata as client libraries set it: with it the hub can tell which message a receipt is for.
        if let Some(id) = crate::mail::element(xml, "MsgId") {
            message.set_property("X-MessageInfo-MsgId", id);
        }
        message.body = self.seal(xml.as_bytes(), to, Signer::Valid)?.into();
        self.send(message).await
    }

    /// Takes messages from a queue of its own (`async`, `error`) until one is what is wanted; all are accepted.
    ///
    /// # Errors
    /// When nothing wanted comes in time.
    pub async fn take<T>(
        &self,
        kind: &str,
        longest: Duration,
        mut wanted: impl FnMut(&Message) -> Option<T>,
    ) -> Result<T> {
        let mut client = self.connect().await?;
        let queue = format!("{}_{kind}", self.her_id);
        let mut link = client
            .receiver(
                &queue,
                &format!("receiver-link-{}", uuid::Uuid::new_v4()),
                10,
            )
            .await?;
        let taking = async {
            loop {
                let received = link.recv().await?;
                link.accept(&received).await?;
                if let Some(found) = wanted(&received.message) {
                    return anyhow::Ok(found);
                }
            }
        };
        let found = tokio::time::timeout(longest, taking).await;
        let found =
            found.with_context(|| format!("nothing wanted on {queue} within {longest:?}"))??;
        link.close().await;
        let _ = client.close().await;
        Ok(found)
    }

    /// Decrypts and verifies what came.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn opened(&self, message: &Message) -> Result<String> {
        let opened = cms::open(
            &message.body,
            std::slice::from_ref(&self.encryption),
            Limits::default(),
        )?;
        Ok(String::from_utf8(opened.content)?)
    }
}
