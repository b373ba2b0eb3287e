use registers::directory::{Organisation, PartyKind, Person, Practitioner};

use super::*;

/// Only parties; everything else is empty.
struct Parties(Vec<(u32, Option<u32>)>);

impl Directory for Parties {
    fn party(&self, her_id: u32) -> Option<Party> {
        let (_, parent_her_id) = *self.0.iter().find(|(id, _)| *id == her_id)?;
        Some(Party {
            her_id,
            parent_her_id,
            kind: if parent_her_id.is_some() {
                PartyKind::Service
            } else {
                PartyKind::Organisation
            },
            name: format!("party {her_id}"),
            service: None,
            orgnr: "315900239".to_owned(),
            edi_address: String::new(),
            encryption_certificate: None,
            signing_certificate: None,
            hub_run: false,
        })
    }
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
    fn parties_of(&self, _orgnr: &str) -> Vec<Party> {
        Vec::new()
    }
    fn top_parties(&self) -> Vec<Party> {
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
}

const SENDER: u32 = 8_900_900;

fn directory() -> Parties {
    Parties(vec![
        (SENDER, None),
        (8_900_901, Some(SENDER)),
        (8_900_300, None),
        (8_900_301, Some(8_900_300)),
        (8_900_101, Some(8_900_100)),
    ])
}

fn queue() -> QueueName {
    QueueName::new(8_900_300, QueueKind::Async)
}

fn good() -> Message {
    let mut message = Message::default();
    message.properties.message_id = Some(MessageId::String("1d2f".to_owned()));
    message.properties.subject = Some("HENVISNING_NYTILSTAND".to_owned());
    message.properties.content_type =
        Some("application/PKCS7-mime; smime-type=signed-and-enveloped-data".to_owned());
    message.properties.reply_to = Some("8900900_async".to_owned());
    message.set_property(property::FROM, "8900901");
    message.set_property(property::TO, "8900301");
    message.set_property(property::TIMESTAMP, "2026-11-23T08:05:00Z");
    message
}

fn verdict(change: impl FnOnce(&mut Message)) -> Result<Envelope, (String, Option<String>)> {
    let mut message = good();
    change(&mut message);
    check(&message, SENDER, &queue(), &directory()).map_err(|refused| {
        (
            refused.error.condition.as_str().to_owned(),
            refused.error.data_text(),
        )
    })
}

fn set(name: &'static str, value: &'static str) -> impl FnOnce(&mut Message) {
    move |message| message.set_property(name, value)
}

fn unset(name: &'static str) -> impl FnOnce(&mut Message) {
    move |message| {
        message
            .application_properties
            .retain(|(key, _)| key != name)
    }
}

#[test]
fn a_good_envelope_is_read() {
    let envelope = verdict(|_| {}).unwrap();
    assert_eq!(
        (envelope.from, envelope.from_organisation),
        (8_900_901, SENDER)
    );
    assert_eq!(
        (envelope.to, envelope.to_organisation),
        (8_900_301, 8_900_300)
    );
    assert_eq!(envelope.content_type, SIGNED_AND_ENVELOPED);
    assert_eq!(envelope.sent_at_us, 1_795_421_100_000_000);
    // Numbers are accepted from others, times with an offset or none, addresses to the organisation itself.
    let mut message = good();
    message.set_property(property::TO, amqp::port::Simple::Signed(8_900_300, 32));
    message.set_property(property::TIMESTAMP, "2026-11-23T09:05:00+01:00");
    let envelope = check(&message, SENDER, &queue(), &directory()).unwrap();
    assert_eq!(
        (envelope.to, envelope.sent_at_us),
        (8_900_300, 1_795_421_100_000_000)
    );
    message.set_property(property::TIMESTAMP, "2026-11-23T08:05:00");
    assert_eq!(
        check(&message, SENDER, &queue(), &directory())
            .unwrap()
            .sent_at_us,
        1_795_421_100_000_000
    );
}

#[test]
fn what_means_the_same_is_read_alike() {
    let content_type = |text: &'static str| {
        verdict(move |message| message.properties.content_type = Some(text.to_owned()))
            .map(|envelope| envelope.content_type)
            .map_err(|(condition, _)| condition)
    };
    for same in [
        "application/pkcs7-mime; smime-type=signed-and-enveloped-data",
        "application/pkcs7-mime;smime-type=signed-and-enveloped-data",
        "Application/PKCS7-MIME; name=\"smime.p7m\"; SMIME-Type=\"Signed-And-Enveloped-Data\"",
        " application/pkcs7-mime ",
    ] {
        assert_eq!(content_type(same).as_deref(), Ok(SIGNED_AND_ENVELOPED));
    }
    assert_eq!(
        content_type("application/pkcs7-mime; smime-type=enveloped-data").as_deref(),
        Ok(ENVELOPED)
    );
    assert_eq!(content_type("Text/Plain").as_deref(), Ok("text/plain"));
    // A client compares these whole, and would try to open anything else.
    for other in [
        "text/plain; charset=utf-8",
        "application/xml",
        "application/pkcs7-mime; smime-type=certs-only",
        "application/pkcs7-mime2",
    ] {
        assert_eq!(
            content_type(other).as_deref().map_err(String::as_str),
            Err("transport:invalid-field-value")
        );
    }
    let subject = |text: &'static str| {
        verdict(move |message| message.properties.subject = Some(text.to_owned()))
            .map(|envelope| envelope.subject)
    };
    assert_eq!(
        subject("Dialog_Innbygger_eKontakt").unwrap(),
        "DIALOG_INNBYGGER_EKONTAKT"
    );
    assert_eq!(
        subject("EgenandelForesporsel").unwrap(),
        "EgenandelForesporsel"
    );
}

#[test]
fn ids_that_clients_cannot_read_become_text() {
    let readable = |id: MessageId| {
        let mut message = good();
        message.properties.message_id = Some(id.clone());
        message.properties.correlation_id = Some(id);
        make_readable(&mut message, QueueKind::Async);
        assert_eq!(
            message.properties.message_id,
            message.properties.correlation_id
        );
        message.properties.message_id
    };
    let text = |text: &str| Some(MessageId::String(text.to_owned()));
    assert_eq!(readable(MessageId::Ulong(7)), text("7"));
    assert_eq!(readable(MessageId::Binary(vec![0, 255])), text("00ff"));
    assert_eq!(readable(MessageId::String("a".to_owned())), text("a"));
    let uuid = MessageId::Uuid([7; 16]);
    assert_eq!(readable(uuid.clone()), Some(uuid));
    let mut message = Message::default();
    make_readable(&mut message, QueueKind::Async);
    assert_eq!(message, Message::default());
}

#[test]
fn an_error_message_without_a_content_type_gets_one() {
    let mut message = Message::default();
    make_readable(&mut message, QueueKind::Error);
    assert_eq!(
        message.properties.content_type.as_deref(),
        Some(SIGNED_AND_ENVELOPED)
    );
    message.properties.content_type = Some("text/plain".to_owned());
    make_readable(&mut message, QueueKind::Error);
    assert_eq!(
        message.properties.content_type.as_deref(),
        Some("text/plain")
    );
}

#[test]
fn each_fault_has_its_condition_and_data() {
    let refused = |condition: &str, data: &str| Err((condition.to_owned(), Some(data.to_owned())));
    let required = "transport:required-field-missing";
    let invalid = "transport:invalid-field-value";
    // B02 and its relatives.
    assert_eq!(verdict(unset(property::TO)), refused(required, "toHerId;"));
    assert_eq!(
        verdict(unset(property::FROM)),
        refused(required, "fromHerId;")
    );
    assert_eq!(
        verdict(set(property::TIMESTAMP, "yesterday")),
        refused(required, "applicationTimeStamp;")
    );
    assert_eq!(
        verdict(|message| message.properties.subject = Some("  ".to_owned())),
        refused(required, "Label;")
    );
    assert_eq!(
        verdict(|message| message.properties.content_type = None),
        refused(required, "ContentType;")
    );
    assert_eq!(
        verdict(|message| message.properties.message_id = None),
        refused(required, "messageId;")
    );
    let all = "messageId;toHerId;fromHerId;Label;applicationTimeStamp;ContentType;";
    assert_eq!(
        verdict(|message| *message = Message::default()),
        refused(required, all)
    );
    // B03.
    assert_eq!(
        verdict(set(property::TO, "4711")),
        refused(invalid, "toHerId;4711;")
    );
    assert_eq!(
        verdict(set(property::TO, "8900901")),
        refused(invalid, "toHerId;8900901;")
    );
    assert_eq!(
        verdict(set(property::TO, "89-00301")),
        refused(invalid, "toHerId;89-00301;")
    );
    // B04.
    assert_eq!(
        verdict(set(property::FROM, "8900101")),
        refused("abuse:spoofing-attack", "8900101;8900900;")
    );
    assert_eq!(
        verdict(set(property::FROM, "8900301")),
        refused("abuse:spoofing-attack", "8900301;8900900;")
    );
    assert_eq!(
        verdict(set(property::FROM, "4711")),
        refused(invalid, "fromHerId;4711;")
    );
    // B05.
    let subject = |text: &'static str| {
        move |message: &mut Message| message.properties.subject = Some(text.to_owned())
    };
    assert_eq!(
        verdict(subject("HENVISNING_X")),
        refused("transport:unsupported-message", "Label;HENVISNING_X;")
    );
    assert_eq!(
        verdict(subject("AMQP_SOAP_FAULT")),
        refused("transport:unsupported-message", "Label;AMQP_SOAP_FAULT;")
    );
    // The rest.
    let content_type = |message: &mut Message| {
        message.properties.content_type = Some("application/json".to_owned())
    };
    assert_eq!(
        verdict(content_type),
        refused(invalid, "ContentType;application/json;")
    );
    let reply_to =
        |message: &mut Message| message.properties.reply_to = Some("4711_async".to_owned());
    assert_eq!(verdict(reply_to), refused(invalid, "ReplyTo;4711_async;"));
}

#[test]
fn the_first_fault_in_the_order_answers() {
    let condition =
        |change: &dyn Fn(&mut Message)| verdict(|message| change(message)).unwrap_err().0;
    let spoof = |message: &mut Message| message.set_property(property::FROM, "8900101");
    let subject =
        |message: &mut Message| message.properties.subject = Some("HENVISNING_X".to_owned());
    let receiver = |message: &mut Message| message.set_property(property::TO, "4711");
    let missing = |message: &mut Message| message.properties.content_type = None;
    assert_eq!(
        condition(&|m| {
            spoof(m);
            subject(m);
            receiver(m);
            missing(m);
        }),
        "transport:required-field-missing"
    );
    assert_eq!(
        condition(&|m| {
            spoof(m);
            subject(m);
            receiver(m);
        }),
        "transport:invalid-field-value"
    );
    assert_eq!(
        condition(&|m| {
            spoof(m);
            subject(m);
        }),
        "abuse:spoofing-attack"
    );
    assert_eq!(condition(&|m| subject(m)), "transport:unsupported-message");
}

#[test]
fn long_or_odd_values_are_cut_in_errors() {
    let (_, data) =
        verdict(|message| message.set_property(property::TO, "1;\u{7}".repeat(100))).unwrap_err();
    let data = data.unwrap();
    assert!(data.len() < 60 && data.matches(';').count() == 2, "{data}");
}

proptest::proptest! {
    #[test]
    fn any_envelope_is_survived(from in ".{0,20}", to in ".{0,20}", time in ".{0,30}", subject in ".{0,30}", content_type in ".{0,30}", reply_to in ".{0,30}") {
        let mut message = good();
        message.set_property(property::FROM, from);
        message.set_property(property::TO, to);
        message.set_property(property::TIMESTAMP, time);
        message.properties.subject = Some(subject);
        message.properties.content_type = Some(content_type);
        message.properties.reply_to = Some(reply_to);
        if let Err(refused) = check(&message, SENDER, &queue(), &directory()) {
            proptest::prop_assert!(refused.error.data.iter().all(|value| value.chars().count() <= 40));
        }
    }
}
