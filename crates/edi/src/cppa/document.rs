//! The documents: profile and agreement as XML. Attributes carry the namespace's prefix, because clients read them only so
//! (spec/messaging.md §7).

use super::{Action, Channel, Process, Role, Taken, package};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use xmlsec::xml::escaped;

/// Namespace of the documents.
pub const NAMESPACE: &str =
    "http://www.oasis-open.org/committees/ebxml-cppa/schema/cpp-cpa-2_0.xsd";
const SIGNAL: &str = "package_mshsignal";

/// A party with what it can do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Party {
    /// HER-id.
    pub her_id: u32,
    /// Name.
    pub name: String,
    /// Address for asynchronous messages over the bus: `host/namespace/queue`.
    pub bus_async: Option<String>,
    /// Address for synchronous messages over the bus.
    pub bus_sync: Option<String>,
    /// Mail address for messages.
    pub mail: Option<String>,
    /// Encryption certificate, base64 of its DER.
    pub encryption: Option<String>,
    /// Signing certificate, base64 of its DER.
    pub signing: Option<String>,
    /// Roles.
    pub roles: Vec<Taken>,
}

/// How messages travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// The bus.
    Amqp,
    /// Mail.
    Smtp,
}

impl Party {
    fn can(&self, transport: Transport) -> bool {
        match transport {
            Transport::Amqp => self.bus_async.is_some(),
            Transport::Smtp => self.mail.is_some(),
        }
    }
}

/// The transport that all these parties have, the bus first; none when they have none in common.
#[must_use]
pub fn common_transport(parties: &[&Party]) -> Option<Transport> {
    [Transport::Amqp, Transport::Smtp]
        .into_iter()
        .find(|t| parties.iter().all(|p| p.can(*t)))
}

/// What an agreement says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Id (UUID).
    pub id: String,
    /// `proposed` or `agreed`.
    pub status: &'static str,
    /// From, as `dateTime`.
    pub start: String,
    /// Until, as `dateTime`.
    pub end: String,
}

struct Xml(String);

impl Xml {
    fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, ">");
    }

    fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes, "/>");
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &str)], end: &str) {
        let _ = write!(self.0, "<tns:{name}");
        for (attribute, value) in attributes {
            let prefix = if attribute.contains(':') { "" } else { "tns:" };
            let _ = write!(self.0, " {prefix}{attribute}=\"{}\"", escaped(value));
        }
        self.0.push_str(end);
    }

    fn close(&mut self, name: &str) {
        let _ = write!(self.0, "</tns:{name}>");
    }

    fn text(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.open(name, attributes);
        self.0.push_str(&escaped(text));
        self.close(name);
    }
}

/// Text that can stand in content and attributes; characters that XML cannot carry go.
fn root(out: &mut Xml, name: &str, attributes: &[(&str, &str)]) {
    out.0.push_str("<?xml version=\"1.0\" encoding=\"utf-8\"?>");
    let location = format!("{NAMESPACE} cpp-cpa-2_0.xsd");
    let mut all = vec![
        ("xmlns:xlink", "http://www.w3.org/1999/xlink"),
        ("xmlns:ds", "http://www.w3.org/2000/09/xmldsig#"),
        ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
        ("xmlns:tns", NAMESPACE),
    ];
    all.extend_from_slice(attributes);
    all.push(("xsi:schemaLocation", location.as_str()));
    out.open(name, &all);
}

/// A profile.
#[must_use]
pub fn profile(id: &str, party: &Party) -> String {
    let transport = common_transport(&[party]).unwrap_or(Transport::Smtp);
    let mut out = Xml(String::new());
    let name = "CollaborationProtocolProfile";
    root(&mut out, name, &[("cppid", id), ("version", "string")]);
    party_info(&mut out, party, transport);
    packagings(&mut out, &[party]);
    out.close(name);
    out.0
}

/// An agreement between two parties over a transport that both have.
#[must_use]
pub fn agreement(terms: &Terms, first: &Party, second: &Party, transport: Transport) -> String {
    let mut out = Xml(String::new());
    let name = "CollaborationProtocolAgreement";
    root(&mut out, name, &[("cpaid", &terms.id), ("version", "1.0")]);
    out.empty("Status", &[("value", terms.status)]);
    out.text("Start", &[], &terms.start);
    out.text("End", &[], &terms.end);
    party_info(&mut out, first, transport);
    party_info(&mut out, second, transport);
    packagings(&mut out, &[first, second]);
    out.close(name);
    out.0
}

/// Ids of a party's parts, apart from those of the other party.
struct Ids {
    channel_async: String,
    channel_sync: String,
    encryption: String,
    signing: String,
}

fn ids(party: &Party, transport: Transport) -> Ids {
    let her_id = party.her_id;
    let kind = match transport {
        Transport::Amqp => "AMQP",
        Transport::Smtp => "SMTP",
    };
    Ids {
        channel_async: format!("{kind}Async_{her_id}"),
        channel_sync: format!("{kind}Sync_{her_id}"),
        encryption: format!("enc_cert_{her_id}"),
        signing: format!("sign_cert_{her_id}"),
    }
}

fn party_info(out: &mut Xml, party: &Party, transport: Transport) {
    let ids = ids(party, transport);
    let has_sync = transport == Transport::Amqp && party.bus_sync.is_some();
    out.open(
        "PartyInfo",
        &[
            ("partyName", &party.name),
            ("defaultMshChannelId", &ids.channel_async),
            ("defaultMshPackageId", SIGNAL),
        ],
    );
    out.text("PartyId", &[("type", "HER")], &party.her_id.to_string());
    out.empty(
        "PartyRef",
        &[
            ("xlink:type", "simple"),
            ("xlink:href", "urn:helsenav:adresseregisteret"),
        ],
    );
    for taken in &party.roles {
        if let Some((process, role)) = taken.resolve() {
            collaboration_role(out, process, role, &ids, has_sync);
        }
    }
    let certificates = [
        (&ids.encryption, &party.encryption),
        (&ids.signing, &party.signing),
    ];
    for (id, certificate) in certificates {
        if let Some(certificate) = certificate {
            out.open("Certificate", &[("certId", id)]);
            let _ = write!(
                out.0,
                "<ds:KeyInfo><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>",
                escaped(certificate)
            );
            out.close("Certificate");
        }
    }
    let security = format!("security_{}", party.her_id);
    out.empty("SecurityDetails", &[("securityId", &security)]);
    let exchange = format!("docexchange_{}", party.her_id);
    let mut channels = vec![(ids.channel_async.as_str(), 1)];
    if has_sync {
        channels.push((ids.channel_sync.as_str(), 2));
    }
    for (channel, number) in &channels {
        let transport_id = format!("transport_{}_{number}", party.her_id);
        out.open(
            "DeliveryChannel",
            &[
                ("channelId", channel),
                ("transportId", &transport_id),
                ("docExchangeId", &exchange),
            ],
        );
        out.empty("MessagingCharacteristics", &[]);
        out.close("DeliveryChannel");
    }
    for (_, number) in &channels {
        let uri = match (transport, number) {
            (Transport::Amqp, 1) => party.bus_async.clone().unwrap_or_default(),
            (Transport::Amqp, _) => party.bus_sync.clone().unwrap_or_default(),
            (Transport::Smtp, _) => {
                format!("mailto://{}", party.mail.as_deref().unwrap_or_default())
            }
        };
        transport_element(out, party.her_id, *number, transport, &uri);
    }
    doc_exchange(out, &exchange, transport, &ids.signing);
    out.close("PartyInfo");
}

fn collaboration_role(out: &mut Xml, process: &Process, role: &Role, ids: &Ids, has_sync: bool) {
    out.open("CollaborationRole", &[]);
    let href = format!(
        "http://www.helsedirektoratet.no/processes/{}.xml",
        process.name
    );
    out.empty(
        "ProcessSpecification",
        &[
            ("name", process.name),
            ("version", process.version),
            ("xlink:type", "simple"),
            ("xlink:href", &href),
            ("uuid", process.uuid),
        ],
    );
    let href = format!("http://www.helsedirektoratet.no/processes#{}", role.name);
    out.empty(
        "Role",
        &[
            ("name", role.name),
            ("xlink:type", "simple"),
            ("xlink:href", &href),
        ],
    );
    out.empty("ApplicationCertificateRef", &[("certId", &ids.encryption)]);
    out.open("ServiceBinding", &[]);
    out.text("Service", &[("type", "string")], role.service);
    let version = process.version.replace('.', "p");
    // The schema wants everything sent before everything received.
    for sends in [true, false] {
        for (at, action) in role.actions.iter().enumerate() {
            if action.sends != sends || (action.channel == Channel::Sync && !has_sync) {
                continue;
            }
            let (word, short) = if sends {
                ("CanSend", "Send")
            } else {
                ("CanReceive", "Receive")
            };
            out.open(word, &[]);
            let id = format!(
                "{}-v{version}-{}-{short}-{}-{at}",
                process.name, role.name, action.name
            );
            action_binding(out, &id, action, ids);
            out.close(word);
        }
    }
    out.close("ServiceBinding");
    out.close("CollaborationRole");
}

fn action_binding(out: &mut Xml, id: &str, action: &Action, ids: &Ids) {
    out.open(
        "ThisPartyActionBinding",
        &[
            ("id", id),
            ("action", action.name),
            ("packageId", action.package),
            ("xlink:type", "simple"),
        ],
    );
    out.empty(
        "BusinessTransactionCharacteristics",
        &[
            ("isNonRepudiationRequired", "true"),
            ("isNonRepudiationReceiptRequired", "true"),
            ("isConfidential", "none"),
            ("isAuthenticated", "none"),
            ("isTamperProof", "none"),
            ("isAuthorizationRequired", "false"),
            ("isIntelligibleCheckRequired", "false"),
            ("timeToPerform", "P180M"),
        ],
    );
    let channel = match action.channel {
        Channel::Async => &ids.channel_async,
        Channel::Sync => &ids.channel_sync,
    };
    out.text("ChannelId", &[], channel);
    out.close("ThisPartyActionBinding");
}

fn transport_element(out: &mut Xml, her_id: u32, number: u8, transport: Transport, uri: &str) {
    let (protocol, version) = match transport {
        Transport::Amqp => ("AMQP", "1.0"),
        Transport::Smtp => ("SMTP", "1.1"),
    };
    let id = format!("transport_{her_id}_{number}");
    out.open("Transport", &[("transportId", &id)]);
    out.open("TransportSender", &[]);
    out.text("TransportProtocol", &[("version", version)], protocol);
    out.close("TransportSender");
    out.open("TransportReceiver", &[]);
    out.text("TransportProtocol", &[("version", version)], protocol);
    out.empty("Endpoint", &[("uri", uri)]);
    out.close("TransportReceiver");
    out.close("Transport");
}

fn doc_exchange(out: &mut Xml, id: &str, transport: Transport, signing: &str) {
    out.open("DocExchange", &[("docExchangeId", id)]);
    for (binding, repudiation, is_sender) in [
        ("ebXMLSenderBinding", "SenderNonRepudiation", true),
        ("ebXMLReceiverBinding", "ReceiverNonRepudiation", false),
    ] {
        out.open(binding, &[("version", "2.0")]);
        out.open("ReliableMessaging", &[]);
        match transport {
            Transport::Amqp => out.text("Retries", &[], "0"),
            Transport::Smtp => {
                out.text("Retries", &[], "4");
                out.text("RetryInterval", &[], "PT720M");
            }
        }
        out.text("MessageOrderSemantics", &[], "NotGuaranteed");
        out.close("ReliableMessaging");
        if transport == Transport::Smtp {
            out.text("PersistDuration", &[], "P4D");
        }
        out.open(repudiation, &[]);
        let dsig = "http://www.w3.org/2000/09/xmldsig#";
        out.text("NonRepudiationProtocol", &[("version", "string")], dsig);
        out.text(
            "HashFunction",
            &[],
            "http://www.w3.org/2001/04/xmlenc#sha256",
        );
        out.text(
            "SignatureAlgorithm",
            &[
                ("oid", "1.2.840.113549.1.1.11"),
                ("w3c", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"),
            ],
            "RSA-SHA256",
        );
        if is_sender {
            out.empty("SigningCertificateRef", &[("certId", signing)]);
        }
        out.close(repudiation);
        out.close(binding);
    }
    out.close("DocExchange");
}

fn packagings(out: &mut Xml, parties: &[&Party]) {
    let packages: BTreeSet<&'static str> = parties
        .iter()
        .flat_map(|p| &p.roles)
        .filter_map(Taken::resolve)
        .flat_map(|(_, role)| role.actions.iter().map(|a| a.package))
        .collect();
    let bare = |name: &str| name.strip_prefix("package_").unwrap_or(name).to_owned();
    for name in &packages {
        let id = format!("message_{}", bare(name));
        out.open(
            "SimplePart",
            &[("id", &id), ("mimetype", "application/xml")],
        );
        for schema in package(name) {
            out.text(
                "NamespaceSupported",
                &[("location", schema.location), ("version", schema.version)],
                schema.namespace,
            );
        }
        out.close("SimplePart");
    }
    out.open(
        "SimplePart",
        &[("id", "msg_header"), ("mimetype", "application/xml")],
    );
    out.text(
        "NamespaceSupported",
        &[("location", "msg-header-2_0.xsd"), ("version", "2.0")],
        "http://www.oasis-open.org/committees/ebxml-msg/schema",
    );
    out.close("SimplePart");
    for name in &packages {
        let bare = bare(name);
        out.open("Packaging", &[("id", name)]);
        out.empty(
            "ProcessingCapabilities",
            &[("parse", "true"), ("generate", "true")],
        );
        out.open("CompositeList", &[]);
        let (enc, message) = (format!("enc_{bare}"), format!("message_{bare}"));
        out.open(
            "Encapsulation",
            &[
                ("id", &enc),
                ("mimetype", "application/pkcs7-mime"),
                ("mimeparameters", "smime-type=\"enveloped-data\""),
            ],
        );
        out.empty("Constituent", &[("idref", &message)]);
        out.close("Encapsulation");
        composite(out, &format!("msg_{bare}"), &["msg_header", &enc]);
        out.close("CompositeList");
        out.close("Packaging");
    }
    out.open("Packaging", &[("id", SIGNAL)]);
    out.empty(
        "ProcessingCapabilities",
        &[("parse", "true"), ("generate", "true")],
    );
    out.open("CompositeList", &[]);
    composite(out, "msh_signal", &["msg_header"]);
    out.close("CompositeList");
    out.close("Packaging");
}

fn composite(out: &mut Xml, id: &str, parts: &[&str]) {
    out.open(
        "Composite",
        &[
            ("id", id),
            ("mimetype", "multipart/related"),
            ("mimeparameters", "type=text/xml"),
        ],
    );
    for part in parts {
        out.empty("Constituent", &[("idref", part)]);
    }
    out.close("Composite");
}
