//! A small nation: two parties and the hub, with certificates, on a store in a temporary folder.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use amqp::port::{
    Broker as _, Delivery, Disposition, Identity as User, Message, MessageId, Node, Settlement,
};
use edge::Clock;
use meldinger::receivers::Desk;
use meldinger::{
    Exchange, ExchangeBroker, ExchangeConfig, HandleError, HubReceiver, OpenedMessage, Outcome,
    Parts, Users,
};
use registers::directory::{Directory, Organisation, Party, PartyKind, Person, Practitioner};
use store::{Filter, Seq, Store, StoreConfig};
use xmlsec::cms;
use xmlsec::key::Identity;
use xmlsec::pki::{DemoCa, Names, Purpose, Revoked, RsaKey, Validity};
use xmlsec::x509::TrustStore;

pub const GP: u32 = 8_900_100;
pub const GP_DOCTOR: u32 = 8_900_101;
pub const HOSPITAL: u32 = 8_900_300;
pub const HEART: u32 = 8_900_301;
pub const EPJ: u32 = 8_900_900;
pub const EPJ_SERVICE: u32 = 8_900_901;
/// Without certificates in the address register.
pub const EPJ_BARE: u32 = 8_900_902;
pub const HUB: u32 = 8_900_000;
pub const RESULTS: u32 = 8_900_008;
pub const PASSWORD: &str = "hemmelig";
pub const SEALED: &str = "application/pkcs7-mime; smime-type=signed-and-enveloped-data";

pub struct Keys {
    pub signing: Identity,
    pub encryption: Identity,
}

pub struct Pki {
    pub ca: DemoCa,
    pub epj: Keys,
    pub hospital: Keys,
    pub hub: Keys,
    pub expired: Identity,
    pub revoked: Identity,
    pub now_s: i64,
}

/// Keys are slow to make: once for all tests.
pub static PKI: LazyLock<Pki> = LazyLock::new(|| {
    let now_s = edge::clock::real_now_us() / 1_000_000;
    let ca = DemoCa::new("Test authority", now_s).unwrap();
    let valid = Validity::days_around(now_s, 200, 900);
    let past = Validity {
        not_before_unix_s: now_s - 500 * 86_400,
        not_after_unix_s: now_s - 86_400,
    };
    let issue = |name, organisation_number, purpose, validity| {
        ca.issue_organisation(
            &RsaKey::generate().unwrap(),
            Names {
                name,
                organisation_number,
            },
            purpose,
            validity,
        )
        .unwrap()
    };
    let keys = |name, orgnr| Keys {
        signing: issue(name, orgnr, Purpose::Signing, valid),
        encryption: issue(name, orgnr, Purpose::Encryption, valid),
    };
    Pki {
        epj: keys("Din EPJ AS", "315900239"),
        hospital: keys("Nordlys universitetssykehus HF", "315900050"),
        hub: keys("Helsenav drift", "315900182"),
        expired: issue("Din EPJ AS", "315900239", Purpose::Signing, past),
        revoked: issue("Din EPJ AS", "315900239", Purpose::Signing, valid),
        ca,
        now_s,
    }
});

pub fn trust() -> TrustStore {
    let mut trust = TrustStore::new(vec![PKI.ca.certificate().clone()]);
    let entry = Revoked {
        certificate: PKI.revoked.certificate().clone(),
        at_unix_s: PKI.now_s - 3600,
    };
    trust.add_crl(
        PKI.ca
            .crl(&[entry], 1, PKI.now_s - 60, PKI.now_s + 86_400)
            .unwrap(),
    );
    trust
}

struct Parties(HashMap<u32, Party>);

/// HER-id, organisation above, name, organisation number, kind, keys.
type Row<'a> = (
    u32,
    Option<u32>,
    &'a str,
    &'a str,
    PartyKind,
    Option<&'a Keys>,
);

impl Parties {
    fn new() -> Self {
        let table: [Row<'_>; 10] = [
            (
                GP,
                None,
                "Fjordgløtt legesenter AS",
                "315900018",
                PartyKind::Organisation,
                None,
            ),
            (
                GP_DOCTOR,
                Some(GP),
                "Ragnhild Solberg",
                "315900018",
                PartyKind::Person,
                None,
            ),
            (
                HOSPITAL,
                None,
                "Nordlys universitetssykehus HF",
                "315900050",
                PartyKind::Organisation,
                Some(&PKI.hospital),
            ),
            (
                HEART,
                Some(HOSPITAL),
                "Hjertesykdommer",
                "315900050",
                PartyKind::Service,
                Some(&PKI.hospital),
            ),
            (
                EPJ,
                None,
                "Din EPJ AS",
                "315900239",
                PartyKind::Organisation,
                Some(&PKI.epj),
            ),
            (
                EPJ_SERVICE,
                Some(EPJ),
                "Allmennlege",
                "315900239",
                PartyKind::Service,
                Some(&PKI.epj),
            ),
            (
                EPJ_BARE,
                Some(EPJ),
                "Uten sertifikat",
                "315900239",
                PartyKind::Service,
                None,
            ),
            (
                HUB,
                None,
                "Helsenav drift",
                "315900182",
                PartyKind::Organisation,
                Some(&PKI.hub),
            ),
            (
                RESULTS,
                Some(HUB),
                "Prøvesvar, mottak",
                "315900182",
                PartyKind::Service,
                Some(&PKI.hub),
            ),
            (
                8_900_009,
                Some(HUB),
                "Dokumenter, mottak",
                "315900182",
                PartyKind::Service,
                Some(&PKI.hub),
            ),
        ];
        let party = |(her_id, parent_her_id, name, orgnr, kind, keys): Row<'_>| Party {
            her_id,
            parent_her_id,
            kind,
            name: name.to_owned(),
            service: None,
            orgnr: orgnr.to_owned(),
            edi_address: format!("edi@her{}.example", parent_her_id.unwrap_or(her_id)),
            encryption_certificate: keys.map(|keys| keys.encryption.certificate().der().to_vec()),
            signing_certificate: keys.map(|keys| keys.signing.certificate().der().to_vec()),
            hub_run: parent_her_id == Some(HUB),
        };
        Self(table.into_iter().map(|row| (row.0, party(row))).collect())
    }
}

/// The rest of a directory that knows parties and nobody else.
macro_rules! parties_only {
    () => {
        fn person(&self, _nin: &str) -> Option<Person> {
            None
        }
        fn practitioner_by_hpr(&self, _hpr: &str) -> Option<Practitioner> {
            None
        }
        fn practitioner_by_nin(&self, _nin: &str) -> Option<Practitioner> {
            None
        }
        fn practitioners_of(&self, _orgnr: &str, _limit: usize) -> Vec<Practitioner> {
            Vec::new()
        }
        fn organisation(&self, _orgnr: &str) -> Option<Organisation> {
            None
        }
        fn organisations(&self, _limit: usize) -> Vec<Organisation> {
            Vec::new()
        }
        fn search_persons(&self, _query: &str, _limit: usize) -> Vec<Person> {
            Vec::new()
        }
        fn story_persons(&self) -> Vec<Person> {
            Vec::new()
        }
        fn practitioners(&self, _limit: usize) -> Vec<Practitioner> {
            Vec::new()
        }
    };
}
pub(crate) use parties_only;

impl Directory for Parties {
    fn party(&self, her_id: u32) -> Option<Party> {
        self.0.get(&her_id).cloned()
    }
    parties_only!();
    fn parties_of(&self, orgnr: &str) -> Vec<Party> {
        let all = self.0.values();
        all.filter(|party| party.orgnr == orgnr).cloned().collect()
    }
    fn top_parties(&self) -> Vec<Party> {
        let all = self.0.values();
        all.filter(|party| party.parent_her_id.is_none())
            .cloned()
            .collect()
    }
}

type Decide = Box<dyn Fn(&OpenedMessage) -> Result<Outcome, HandleError> + Send>;

/// A receiver that decides as the test says and counts.
pub struct Results {
    pub decide: Mutex<Decide>,
    pub seen: Mutex<Vec<String>>,
}

impl HubReceiver for Results {
    fn her_id(&self) -> u32 {
        RESULTS
    }
    fn handle(&self, message: &OpenedMessage) -> Result<Outcome, HandleError> {
        self.seen
            .lock()
            .unwrap()
            .push(message.header.msg_id.clone());
        (self.decide.lock().unwrap())(message)
    }
}

pub struct World {
    pub exchange: Exchange,
    pub broker: ExchangeBroker,
    pub clock: Clock,
    pub store: Store,
    pub results: Arc<Results>,
    pub desk: Desk,
    _folder: Option<tempfile::TempDir>,
}

pub async fn world() -> World {
    world_with(|_| {}).await
}

pub async fn world_with(change: impl FnOnce(&mut Parts) + Send + 'static) -> World {
    tokio::task::spawn_blocking(move || build(change))
        .await
        .unwrap()
}

fn build(change: impl FnOnce(&mut Parts)) -> World {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        unsafe_no_sync: true,
        ..StoreConfig::sqlite(folder.path(), meldinger::repositories())
    };
    build_on(config, Some(folder), change)
}

/// The same nation on a store of its own.
pub async fn world_on(
    config: StoreConfig,
    change: impl FnOnce(&mut Parts) + Send + 'static,
) -> World {
    tokio::task::spawn_blocking(move || build_on(config, None, change))
        .await
        .unwrap()
}

fn build_on(
    config: StoreConfig,
    folder: Option<tempfile::TempDir>,
    change: impl FnOnce(&mut Parts),
) -> World {
    let (store, mint) = Store::open(config).unwrap();
    let clock = Clock::default();
    let user = |name: &str, her_id| meldinger::AmqpUser::new(name, PASSWORD, her_id);
    let mut parts = Parts {
        store: store.clone(),
        grant: mint.grant(Filter::Open, Seq(u64::MAX), 0),
        directory: Arc::new(Parties::new()),
        clock: clock.clone(),
        users: Arc::new(Users::new([
            user("fjordglott", GP),
            user("nordlys", HOSPITAL),
            user("vaar-epj", EPJ),
            user("navet", HUB),
        ])),
        keys: meldinger::HubKeys {
            signing: PKI.hub.signing.clone(),
            decryption: vec![PKI.hub.encryption.clone()],
        },
        trust: trust(),
        receipt_keys: HashMap::new(),
        config: ExchangeConfig::default(),
    };
    change(&mut parts);
    let exchange = Exchange::new(parts).unwrap();
    let decide: Decide = Box::new(|_| Ok(Outcome::accepted(store::Commit::default())));
    let results = Arc::new(Results {
        decide: Mutex::new(decide),
        seen: Mutex::default(),
    });
    World {
        broker: ExchangeBroker::new(exchange.clone()),
        desk: Desk::new(exchange.clone(), vec![results.clone()]),
        exchange,
        clock,
        store,
        results,
        _folder: folder,
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.store.close();
    }
}

pub fn user(name: &str) -> User {
    User {
        user: name.to_owned(),
    }
}

impl World {
    /// Sends as this user to this queue.
    pub async fn send(&self, name: &str, queue: &str, message: Message) -> Disposition {
        let node = self.broker.open_target(&user(name), queue).unwrap();
        self.broker.on_message(&user(name), &node, message).await
    }

    /// What waits for this user, without waiting.
    pub async fn fetch(&self, name: &str, queue: &str) -> Vec<Delivery> {
        let node = self.broker.open_source(&user(name), queue).unwrap();
        self.broker
            .next(&user(name), &node, 100, Duration::from_millis(1))
            .await
    }

    pub async fn settle(
        &self,
        name: &str,
        queue: &str,
        delivery: &Delivery,
        settlement: Settlement,
    ) {
        let node = Node {
            name: queue.to_owned(),
        };
        self.broker
            .settle(&user(name), &node, delivery.lease, settlement)
            .await;
    }

    /// Fetches and accepts everything in a queue.
    pub async fn drain(&self, name: &str, queue: &str) -> Vec<Message> {
        let mut out = Vec::new();
        for delivery in self.fetch(name, queue).await {
            self.settle(name, queue, &delivery, Settlement::Accepted)
                .await;
            out.push(delivery.message);
        }
        out
    }

    /// Lets the hub's own receivers handle what waits.
    pub fn work(&self) -> usize {
        tokio::task::block_in_place(|| self.desk.handle_waiting(100))
    }

    /// Blocking look-ups from async tests.
    pub fn view<T>(&self, look: impl FnOnce(&Exchange) -> T) -> T {
        tokio::task::block_in_place(|| look(&self.exchange))
    }

    pub fn decide(
        &self,
        decide: impl Fn(&OpenedMessage) -> Result<Outcome, HandleError> + Send + 'static,
    ) {
        *self.results.decide.lock().unwrap() = Box::new(decide);
    }
}

pub fn now_text() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

/// An envelope of `EPJ_SERVICE` with a fresh message-id.
pub fn message(subject: &str, to: u32, body: impl Into<bytes::Bytes>) -> Message {
    let id = uuid::Uuid::new_v4().to_string();
    let mut message = Message {
        body: body.into(),
        ..Message::default()
    };
    message.properties.message_id = Some(MessageId::String(id.clone()));
    message.properties.correlation_id = Some(MessageId::String(id));
    message.properties.subject = Some(subject.to_owned());
    message.properties.content_type = Some(SEALED.to_owned());
    message.properties.reply_to = Some(format!("{EPJ}_async"));
    message.set_property("fromHerId", EPJ_SERVICE.to_string());
    message.set_property("toHerId", to.to_string());
    message.set_property("applicationTimeStamp", now_text());
    message
}

/// A small MsgHead document from the EPJ's service to the results receiver.
pub fn document(msg_id: &str, text: &str) -> String {
    document_between(msg_id, text, (EPJ, EPJ_SERVICE), (HUB, RESULTS))
}

pub fn document_between(msg_id: &str, text: &str, from: (u32, u32), to: (u32, u32)) -> String {
    let organisation = |(above, below): (u32, u32)| {
        let ident = |her: u32| {
            format!(
                "<Ident><Id>{her}</Id><TypeId V=\"HER\" S=\"2.16.578.1.12.4.1.1.9051\" DN=\"HER-id\"/></Ident>"
            )
        };
        format!(
            "<Organisation><OrganisationName>Enhet</OrganisationName>{}<Organisation><OrganisationName>Tjeneste</OrganisationName>{}</Organisation></Organisation>",
            ident(above),
            ident(below)
        )
    };
    format!(
        "<MsgHead xmlns=\"http://www.kith.no/xmlstds/msghead/2006-05-24\"><MsgInfo><Type V=\"DIALOG_NOTAT\" DN=\"Notat\"/>\
         <MIGversion>v1.2 2006-05-24</MIGversion><GenDate>2026-11-23T08:05:00</GenDate><MsgId>{msg_id}</MsgId><Ack V=\"J\" DN=\"Ja\"/>\
         <Sender>{}</Sender><Receiver>{}</Receiver></MsgInfo>\
         <Document><RefDoc><MsgType V=\"XML\" DN=\"XML\"/><Content><Notat xmlns=\"urn:test\">{text}</Notat></Content></RefDoc></Document></MsgHead>",
        organisation(from),
        organisation(to)
    )
}

/// Signs and encrypts for the hub.
pub fn seal(text: &str, signer: &Identity) -> Vec<u8> {
    cms::seal(
        text.as_bytes(),
        signer,
        PKI.hub.encryption.certificate(),
        PKI.now_s,
    )
    .unwrap()
}

/// A good message to the results receiver.
pub fn result_message(msg_id: &str, text: &str) -> Message {
    message(
        "DIALOG_NOTAT",
        RESULTS,
        seal(&document(msg_id, text), &PKI.epj.signing),
    )
}

pub fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// What an error message says: condition, data, originalMessageId.
pub fn error_of(message: &Message) -> (String, Option<String>, String) {
    let text = |name: &str| message.property(name);
    (
        text("errorCondition").unwrap(),
        text("errorConditionData"),
        text("originalMessageId").unwrap(),
    )
}
