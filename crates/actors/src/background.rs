//! A little ordinary traffic beside the story: laboratory reports and notes about referrals, by the hour and the day of
//! the week (spec/story.md §9.5). Bounded: one message at a time, never more often than every few seconds of real time.

use crate::clock::{instant, local};
use crate::compose::Letterhead;
use crate::mailroom::Mailroom;
use crate::party::SendError;
use crate::steps::{StepError, World};
use crate::story::Player;
use jiff::civil::{DateTime, Weekday};
use nation::history;
use nation::model::{Person, PersonId};
use nation::story::content::Report;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use uuid::Uuid;

/// Messages a day per person (spec/story.md §9.5: 140 per 1 000).
const PER_PERSON_AND_DAY: f64 = 0.14;
/// Share of them that this traffic stands for: results 33 %, dialogue 9 %.
const SHARE: f64 = 0.42;
/// Never more often than this, whatever the pace and the population.
const SHORTEST: Duration = Duration::from_secs(5);
/// A quiet night is looked at again after this.
const LONGEST: Duration = Duration::from_secs(120);
const LABORATORY: u32 = 8_900_401;
const LABORATORY_ABOVE: u32 = 8_900_400;
/// One of so many copies goes by ebXML over mail.
const MAIL_EVERY: u128 = 3;
/// Longest wait for acknowledgment and receipt of one.
const PATIENCE: Duration = Duration::from_secs(60);
const DEPARTMENT: u32 = 8_900_301;
const DOCTORS: [u32; 3] = [8_900_101, 8_900_102, 8_900_103];
const RESULTS: u32 = 8_900_008;
/// Fixed people have numbers below this.
const FIRST_BACKGROUND: u32 = 1_000;

/// How much was sent.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<AtomicU64>);

impl Traffic {
    /// Messages since the start.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Share of a day's messages in the hour around this time: peak Monday 9 to 11, a tenth at weekends.
#[must_use]
pub fn share_of_hour(at: DateTime) -> f64 {
    let of_day = match at.hour() {
        9 | 10 => 0.14,
        8 | 11..=13 => 0.11,
        14 | 15 => 0.08,
        7 | 16 => 0.04,
        6 | 17..=21 => 0.012,
        _ => 0.003,
    };
    of_day
        * match at.weekday() {
            Weekday::Saturday | Weekday::Sunday => 0.1,
            Weekday::Monday => 1.15,
            _ => 1.0,
        }
}

/// Sends until told to stop.
pub async fn live(
    world: Arc<World>,
    player: Player,
    traffic: Traffic,
    mut stopped: watch::Receiver<bool>,
) {
    let facts = world.facts.clone();
    let opening = tokio::task::spawn_blocking(move || Mailroom::open(facts, LABORATORY_ABOVE));
    let mailroom = match opening.await {
        Ok(Ok(mailroom)) => Some(mailroom),
        _ => None,
    };
    loop {
        let pause = pause(&world);
        tokio::select! {
            () = sleep(pause) => {}
            _ = stopped.wait_for(|stop| *stop) => return,
        }
        // At full speed the story has the bus for itself.
        if pause >= LONGEST || player.is_rushing() {
            continue;
        }
        match send_one(&world, mailroom.as_ref()).await {
            Ok(()) => {
                traffic.0.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => tracing::debug!(%error, "background traffic"),
        }
    }
}

fn pause(world: &World) -> Duration {
    let people = world.composer.nation().params().population;
    #[allow(clippy::cast_precision_loss, reason = "a rate, not a count")]
    let per_day = people as f64 * PER_PERSON_AND_DAY * SHARE;
    let per_hour = per_day * share_of_hour(local(world.clock.now()));
    if per_hour <= 0.0 {
        return LONGEST;
    }
    Duration::from_secs_f64((3_600.0 / per_hour).min(LONGEST.as_secs_f64())).max(SHORTEST)
}

/// Numbers without pattern, from the operating system's randomness.
fn draw(below: u128) -> usize {
    usize::try_from(Uuid::new_v4().as_u128() % below.max(1)).unwrap_or(0)
}

fn somebody(world: &World) -> Option<Person> {
    let nation = world.composer.nation();
    let people = nation.params().population.max(1);
    (0..20).find_map(|_| {
        let number = u32::try_from(draw(people as u128)).ok()?;
        let person = nation.person(PersonId(FIRST_BACKGROUND.checked_add(number)?))?;
        (person.is_resident() && person.died.is_none()).then_some(person)
    })
}

async fn send_one(world: &World, mailroom: Option<&Mailroom>) -> Result<(), StepError> {
    let Some(person) = somebody(world) else {
        return Ok(());
    };
    let msg_id = Uuid::new_v4().to_string();
    let now = local(world.clock.now());
    let to = DOCTORS.get(draw(3)).copied().unwrap_or(8_900_101);
    if draw(42) < 9 {
        return dialogue(world, &person, &msg_id, now, to).await;
    }
    let past = history::background(world.composer.nation(), &person);
    let Some(panel) = past.reports.into_iter().next() else {
        return dialogue(world, &person, &msg_id, now, to).await;
    };
    let report = Report {
        number: "",
        service_type: "N",
        status: "F",
        speciality: "CLIN",
        analyses: panel.analyses,
        comment: None,
    };
    let head = Letterhead {
        msg_id: &msg_id,
        at: now,
        from: LABORATORY,
        to,
        copies: &[RESULTS],
    };
    let number = format!("ISB-{}", Uuid::now_v7().simple());
    let collected = instant(now) - jiff::SignedDuration::from_hours(2);
    let xml = world
        .composer
        .report(&head, &person, &number, local(collected), &report, None)?;
    send(world, "SVAR_LAB", LABORATORY, to, &xml).await?;
    // The laboratory has both: a copy to the hub goes by mail now and then, as ebXML.
    match mailroom.filter(|_| draw(MAIL_EVERY) == 0) {
        Some(mailroom) => {
            let parties = (LABORATORY, RESULTS);
            let sending = mailroom.send("SVAR_LAB", parties, &msg_id, &xml, instant(now), PATIENCE);
            match sending.await {
                Ok(delivery) => tracing::debug!(status = delivery.status, "sent by ebXML"),
                Err(error) => tracing::warn!(%error, "background traffic by ebXML"),
            }
        }
        None => send(world, "SVAR_LAB", LABORATORY, RESULTS, &xml).await?,
    }
    Ok(())
}

async fn dialogue(
    world: &World,
    person: &Person,
    msg_id: &str,
    at: DateTime,
    to: u32,
) -> Result<(), StepError> {
    let head = Letterhead {
        msg_id,
        at,
        from: DEPARTMENT,
        to,
        copies: &[],
    };
    let text = "Henvisningen er mottatt og vurdert. Pasienten får brev med tid for time.";
    let xml = world.composer.referral_status(&head, person, text)?;
    send(world, "DIALOG_STATUS_HENVISNING", DEPARTMENT, to, &xml).await?;
    Ok(())
}

async fn send(
    world: &World,
    function: &str,
    from: u32,
    to: u32,
    xml: &str,
) -> Result<(), StepError> {
    let sent: Result<String, SendError> = world.office(from)?.send(function, from, to, xml).await;
    sent?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_working_day_adds_up_to_about_one_and_mondays_lead() {
        let day = |d: jiff::civil::Date| {
            (0..24)
                .map(|h| share_of_hour(d.at(h, 0, 0, 0)))
                .sum::<f64>()
        };
        let tuesday = day(date(2026, 11, 24));
        assert!((0.9..1.1).contains(&tuesday), "{tuesday}");
        assert!(day(date(2026, 11, 23)) > tuesday);
        assert!(day(date(2026, 11, 22)) < 0.15 * tuesday);
    }
}
