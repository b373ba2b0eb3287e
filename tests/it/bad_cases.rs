//! The bad cases of spec/story.md §7, each sent through the real bus by «Din EPJ AS», each with the answer named there.

use super::{on_both_engines, queue_of_ours, shared};
use amqp::port::Message;
use anyhow::Result;
use blackbox::bus::{Office, Signer};
use blackbox::mail::{self, About, Mail};
use blackbox::{Demo, Engine, Facts};
use std::time::Duration;

on_both_engines!(every_bad_message_gets_the_answer_named);

const FROM: u32 = 8_900_901;
const TO: u32 = 8_900_008;
const SUBJECT: &str = "SVAR_LAB";
const SOON: Duration = Duration::from_secs(30);

/// What comes back.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// On the error queue: condition.
    Error(String),
    /// AppRec: status and codes.
    Receipt(String, Vec<String>),
}

fn error(condition: &str) -> Answer {
    Answer::Error(condition.to_owned())
}

fn refused(code: &str) -> Answer {
    Answer::Receipt("2".to_owned(), vec![code.to_owned()])
}

fn accepted() -> Answer {
    Answer::Receipt("1".to_owned(), Vec::new())
}

fn report(pid: &str) -> Result<Mail> {
    let number = format!("BAD-{}", uuid::Uuid::new_v4().simple());
    mail::svarrapport(
        About {
            pid,
            name: "Hansen, Solveig Johanne",
        },
        &number,
    )
}

/// Sends and waits for what comes back about it, on either queue.
async fn answer(
    office: &Office,
    mail: &Mail,
    message: Message,
    to_error_queue: bool,
) -> Result<(Answer, String)> {
    let id = office.send(message).await?;
    let queue = if to_error_queue { "error" } else { "async" };
    office
        .take(queue, SOON, |message| {
            if let Some(condition) = message.property("errorCondition") {
                let is_it = message.property("originalMessageId")? == id;
                let words = format!(
                    "{} {}",
                    message.property("errorDescription")?,
                    message.property("errorConditionData").unwrap_or_default()
                );
                return is_it.then_some((Answer::Error(condition), words));
            }
            let receipt = mail::receipt(&office.opened(message).ok()?)?;
            (receipt.original == mail.msg_id)
                .then_some((Answer::Receipt(receipt.status, receipt.errors), receipt.xml))
        })
        .await
}

async fn every_bad_message_gets_the_answer_named(engine: Engine) -> Result<()> {
    let Some((demo, _)) = shared(engine)? else {
        return Ok(());
    };
    let _ours = queue_of_ours(engine).await;
    let office = Office::open(&demo.facts, mail::OFFICE)?;
    let mut wrong = Vec::new();
    unknown_queue(&office).await?;
    let mut check = |case: &str, got: Result<(Answer, String)>, want: Answer, word: &str| match got
    {
        Ok((got, words)) if got == want && words.contains(word) => {}
        Ok((got, words)) => wrong.push(format!(
            "{case}: {got:?} instead of {want:?}, «{word}» in: {words}"
        )),
        Err(why) => wrong.push(format!("{case}: {why:#}")),
    };
    let good = &demo.facts.person("hjerte").pid;

    for (case, change, want, word) in envelopes() {
        let mail = report(good)?;
        let mut message = office.envelope(SUBJECT, FROM, TO);
        message.body = office.seal(mail.xml.as_bytes(), TO, Signer::Valid)?.into();
        change(&mut message);
        check(
            case,
            answer(&office, &mail, message, true).await,
            error(want),
            word,
        );
    }
    for (case, signer, want) in [
        ("B06", Signer::Expired, "transport:expired-certificate"),
        ("B07", Signer::Revoked, "transport:revoked-certificate"),
    ] {
        let mail = report(good)?;
        let mut message = office.envelope(SUBJECT, FROM, TO);
        message.body = office.seal(mail.xml.as_bytes(), TO, signer)?.into();
        check(
            case,
            answer(&office, &mail, message, true).await,
            error(want),
            "",
        );
    }
    for (case, body, want) in bodies(&office, good)? {
        let mail = report(good)?;
        let mut message = office.envelope(SUBJECT, FROM, TO);
        message.body = body.into();
        check(
            case,
            answer(&office, &mail, message, true).await,
            error(want),
            "",
        );
    }
    for (case, mail, want, word) in contents(&demo.facts)? {
        let mut message = office.envelope(SUBJECT, FROM, TO);
        message.body = office.seal(mail.xml.as_bytes(), TO, Signer::Valid)?.into();
        check(
            case,
            answer(&office, &mail, message, false).await,
            want,
            word,
        );
    }
    duplicates(demo, &office, &mut wrong).await?;
    assert!(
        wrong.is_empty(),
        "{} of the bad cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

/// B01: the link itself is refused, and says which HER-id nobody has.
async fn unknown_queue(office: &Office) -> Result<()> {
    let mut client = office.connect().await?;
    let refused = client.sender("4711_async", "sender-link-b01").await;
    let said = refused.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(
        (said.contains("not-found") || said.contains("NotFound")) && said.contains("4711"),
        "B01: {said}"
    );
    Ok(())
}

type Change = fn(&mut Message);

fn envelopes() -> [(&'static str, Change, &'static str, &'static str); 4] {
    [
        (
            "B02",
            |m| m.application_properties.retain(|(n, _)| n != "toHerId"),
            "transport:required-field-missing",
            "toHerId",
        ),
        (
            "B03",
            |m| m.set_property("toHerId", "4711".to_owned()),
            "transport:invalid-field-value",
            "4711",
        ),
        (
            "B04",
            |m| m.set_property("fromHerId", "8900101".to_owned()),
            "abuse:spoofing-attack",
            "",
        ),
        (
            "B05",
            |m| m.properties.subject = Some("HENVISNING_X".to_owned()),
            "transport:unsupported-message",
            "HENVISNING_X",
        ),
    ]
}

/// B08 to B11, B35: what arrives cannot be opened or read.
fn bodies(office: &Office, pid: &str) -> Result<Vec<(&'static str, Vec<u8>, &'static str)>> {
    let xml = report(pid)?.xml;
    let tampered = office.seal_tampered(xml.as_bytes(), TO)?;
    let entity = xml.replacen(
        "<Message",
        "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]>\n<Message",
        1,
    );
    let entity = office.seal(entity.as_bytes(), TO, Signer::Valid)?;
    Ok(vec![
        (
            "B08",
            office.seal(xml.as_bytes(), 8_900_301, Signer::Valid)?,
            "transport:decryption-failed",
        ),
        ("B09", tampered, "transport:invalid-signature"),
        (
            "B10",
            b"this is not CMS".to_vec(),
            "transport:invalid-cms-pkcs",
        ),
        (
            "B11",
            office.seal(b"<Message><Type", TO, Signer::Valid)?,
            "transport:not-well-formed-xml",
        ),
        ("B35", entity, "transport:not-well-formed-xml"),
    ])
}

/// B12 to B23: opened, read, and answered with a receipt.
fn contents(facts: &Facts) -> Result<Vec<(&'static str, Mail, Answer, &'static str)>> {
    let good = facts.person("hjerte").pid;
    let with = |change: &dyn Fn(&str) -> String| -> Result<Mail> {
        let mut mail = report(&good)?;
        mail.xml = change(&mail.xml);
        Ok(mail)
    };
    // The element is required; nothing stands in it.
    let without_id = |xml: &str| xml.replacen(&format!("<OffId>{good}<"), "<OffId><", 1);
    Ok(vec![
        (
            "B12",
            with(&|x| x.replacen("<Type V=\"SVAR_LAB\"", "<Typ V=\"SVAR_LAB\"", 1))?,
            refused("T02"),
            "Typ",
        ),
        ("B15", report("14896849818")?, refused("E31"), ""),
        ("B16", report("14898649817")?, refused("E31"), ""),
        ("B17", report("01815040178")?, refused("E53"), ""),
        ("B18", with(&without_id)?, refused("E30"), ""),
        (
            "B23 (unknown code)",
            with(&|x| x.replacen("NPU03230", "NPU99999", 1))?,
            accepted(),
            "",
        ),
        (
            "B23 (retired code)",
            with(&|x| x.replacen("NPU03230", "NPU10984", 1))?,
            accepted(),
            "",
        ),
    ])
}

/// B24, B25: the same MsgId again.
async fn duplicates(demo: &Demo, office: &Office, wrong: &mut Vec<String>) -> Result<()> {
    let mail = report(&demo.facts.person("hjerte").pid)?;
    let message = |xml: &str| -> Result<Message> {
        let mut message = office.envelope(SUBJECT, FROM, TO);
        message.body = office.seal(xml.as_bytes(), TO, Signer::Valid)?.into();
        Ok(message)
    };
    let (first, _) = answer(office, &mail, message(&mail.xml)?, false).await?;
    if first != accepted() {
        wrong.push(format!("B24: the first one got {first:?}"));
    }
    office.send(message(&mail.xml)?).await?;
    office
        .send(message(&mail.xml.replace("12.6", "99.9"))?)
        .await?;
    // A later message is answered; nothing more is said about the two.
    let later = report(&demo.facts.person("hjerte").pid)?;
    let mut receipts = 0;
    office.send(message(&later.xml)?).await?;
    let seen = office
        .take("async", SOON, |m| {
            let receipt = mail::receipt(&office.opened(m).ok()?)?;
            receipts += usize::from(receipt.original == mail.msg_id && receipt.status == "1");
            (receipt.original == later.msg_id).then_some(())
        })
        .await;
    if seen.is_err() || receipts > 0 {
        wrong.push(format!(
            "B24/B25: {receipts} more receipt(s) for a MsgId that was answered; later one: {seen:?}"
        ));
    }
    Ok(())
}
