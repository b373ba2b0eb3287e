//! Reads of many callers in one round trip.
//!
//! A round trip to the server costs far more than one record or the feed row; under load dozens of callers ask for just
//! those at the same moment. Who comes while rounds are under way waits and is asked for with all others who wait, by one
//! of them: nobody waits for company, and nobody gets a state older than the moment of the question. Tasks wait too
//! ([`Crowd::tip_and_record_soon`]): they cannot ask, so where none but tasks wait a thread of the engine asks for them.

mod rows;

use super::link::{Conn, down};
use super::names::Names;
use super::rows::{RawHead, head_columns};
use super::shared::{Shared, TIP, Tip};
use crate::StoreError;
use bytes::Bytes;
pub(super) use rows::{FirstRows, RangeName};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;
use tokio_postgres::Row;

/// Feed row, names, and the newest version of a record.
type TipAndRecord = (Tip, Arc<Names>, Option<Box<Newest>>);

/// Rounds under way at once: one is answered while the next is asked.
const MOST_ROUNDS: usize = 2;
/// Questions of one round.
const MOST_QUESTIONS: usize = 128;

const ONE: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", v.form, v.content FROM head h JOIN version v ON v.rid = h.rid AND v.vno = h.vno
     WHERE h.repo = $1 AND h.rtype = $2 AND h.id = $3"
);
const MANY: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", v.form, v.content, k.n FROM unnest($1::smallint[], $2::integer[], $3::text[])
       WITH ORDINALITY k(repo, rtype, id, n)
     JOIN head h ON h.repo = k.repo AND h.rtype = k.rtype AND h.id = k.id
     JOIN version v ON v.rid = h.rid AND v.vno = h.vno"
);

const CLAIM: &str =
    "SELECT value FROM claim WHERE space = $1 AND key = $2 AND (until IS NULL OR until > now_us())";
const CLAIMS: &str = "SELECT c.value, k.n FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY k(space, key, n)
     JOIN claim c ON c.space = k.space AND c.key = k.key WHERE c.until IS NULL OR c.until > now_us()";

/// A claim by space and key.
type ClaimName = (String, Vec<u8>);

/// A record by name: repository, number of its type, id.
pub(super) type Name = (i16, i32, String);

/// The newest version of a record.
pub(super) struct Newest {
    pub(super) raw: RawHead,
    pub(super) body: Bytes,
}

enum Question {
    Tip,
    Record(Name),
    /// The feed row, and the record as it is then or later.
    Both(Name),
    /// The feed row, and the first rows of a range as they are then or later.
    Rows(RangeName),
    Claim(ClaimName),
}

enum Answer {
    Tip(Tip, Arc<Names>),
    Record(Option<Box<Newest>>),
    Both(Tip, Arc<Names>, Option<Box<Newest>>),
    Rows(Tip, Arc<Names>, Arc<FirstRows>),
    Claim(Option<Vec<u8>>),
}

/// One caller.
enum Seat {
    Thread(Arc<Chair>),
    Task(oneshot::Sender<Result<Answer, StoreError>>),
}

impl Seat {
    fn tell(self, answer: Result<Answer, StoreError>) {
        match self {
            Self::Thread(chair) => chair.tell(answer),
            // who has gone meanwhile is not told
            Self::Task(told) => drop(told.send(answer)),
        }
    }
}

/// A thread that waits.
#[derive(Default)]
struct Chair {
    state: Mutex<Told>,
    bell: Condvar,
}

/// What a caller was told.
#[derive(Default)]
struct Told {
    answer: Option<Result<Answer, StoreError>>,
    /// It is this caller's turn to ask for all who wait.
    leads: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chair {
    fn tell(&self, answer: Result<Answer, StoreError>) {
        locked(&self.state).answer = Some(answer);
        self.bell.notify_one();
    }

    fn is_answered(&self) -> bool {
        locked(&self.state).answer.is_some()
    }

    /// Waits for the answer.
    fn answer(&self) -> Result<Answer, StoreError> {
        let mut told = locked(&self.state);
        loop {
            match told.answer.take() {
                Some(answer) => return answer,
                None => told = self.bell.wait(told).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Waits for the answer or the lead; whether it is the lead.
    fn wait(&self) -> bool {
        let mut told = locked(&self.state);
        while told.answer.is_none() && !told.leads {
            told = self.bell.wait(told).unwrap_or_else(PoisonError::into_inner);
        }
        told.leads
    }
}

#[derive(Default)]
struct Waiting {
    questions: VecDeque<(Question, Seat)>,
    rounds: usize,
}

/// Everybody who asks.
#[derive(Default)]
pub(super) struct Crowd {
    waiting: Mutex<Waiting>,
}

impl Crowd {
    /// The feed row, and names at least as new as it.
    pub(super) fn tip(&self, shared: &Arc<Shared>) -> Result<(Tip, Arc<Names>), StoreError> {
        match self.ask(shared, Question::Tip)? {
            Answer::Tip(tip, names) => Ok((tip, names)),
            _ => Err(mixed_up()),
        }
    }

    /// Feed row and names, and the newest version of a record: read after the row, so it is none that the row's state had
    /// left behind.
    pub(super) fn tip_and_record(
        &self,
        shared: &Arc<Shared>,
        name: Name,
    ) -> Result<TipAndRecord, StoreError> {
        match self.ask(shared, Question::Both(name))? {
            Answer::Both(tip, names, found) => Ok((tip, names, found)),
            _ => Err(mixed_up()),
        }
    }

    /// The newest version of a record, whatever it is.
    pub(super) fn record(
        &self,
        shared: &Arc<Shared>,
        name: Name,
    ) -> Result<Option<Box<Newest>>, StoreError> {
        match self.ask(shared, Question::Record(name))? {
            Answer::Record(found) => Ok(found),
            _ => Err(mixed_up()),
        }
    }

    /// The value of a claim that is held now.
    pub(super) fn claim(
        &self,
        shared: &Arc<Shared>,
        space: &str,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let name = (space.to_owned(), key.to_vec());
        match self.ask(shared, Question::Claim(name))? {
            Answer::Claim(found) => Ok(found),
            _ => Err(mixed_up()),
        }
    }

    /// [`Crowd::tip_and_record`] for a task.
    pub(super) fn tip_and_record_soon(
        shared: &Arc<Shared>,
        name: Name,
    ) -> impl Future<Output = Result<TipAndRecord, StoreError>> + use<> {
        let told = Self::ask_soon(shared, Question::Both(name));
        async move {
            match told.await? {
                Answer::Both(tip, names, found) => Ok((tip, names, found)),
                _ => Err(mixed_up()),
            }
        }
    }

    /// Feed row and names, and the first rows of a range, read after the row; for a task.
    pub(super) fn tip_and_rows_soon(
        shared: &Arc<Shared>,
        range: RangeName,
    ) -> impl Future<Output = Result<(Tip, Arc<Names>, Arc<FirstRows>), StoreError>> + use<> {
        let told = Self::ask_soon(shared, Question::Rows(range));
        async move {
            match told.await? {
                Answer::Rows(tip, names, rows) => Ok((tip, names, rows)),
                _ => Err(mixed_up()),
            }
        }
    }

    fn ask_soon(
        shared: &Arc<Shared>,
        question: Question,
    ) -> impl Future<Output = Result<Answer, StoreError>> + use<> {
        let (tell, told) = oneshot::channel();
        if shared.crowd.sit(question, Seat::Task(tell)) {
            Lead(shared).elsewhere();
        }
        async move { told.await.unwrap_or_else(|_| Err(mixed_up())) }
    }

    fn ask(&self, shared: &Arc<Shared>, question: Question) -> Result<Answer, StoreError> {
        crate::Patience::check()?;
        let seat = Arc::new(Chair::default());
        if self.sit(question, Seat::Thread(seat.clone())) || seat.wait() {
            // gives the lead on even if a round should panic: nobody waits for ever
            let lead = Lead(shared);
            while !seat.is_answered() && self.round(shared) {}
            drop(lead);
        }
        seat.answer()
    }

    /// Joins those who wait; whether it is the newcomer who has to see to a round.
    fn sit(&self, question: Question, seat: Seat) -> bool {
        let mut waiting = locked(&self.waiting);
        waiting.questions.push_back((question, seat));
        let free = waiting.rounds < MOST_ROUNDS;
        waiting.rounds += usize::from(free);
        free
    }

    /// Asks for all who wait; whether there was anybody.
    fn round(&self, shared: &Shared) -> bool {
        let taken: Vec<(Question, Seat)> = {
            let mut waiting = locked(&self.waiting);
            let most = waiting.questions.len().min(MOST_QUESTIONS);
            waiting.questions.drain(..most).collect()
        };
        if taken.is_empty() {
            return false;
        }
        let mut taken = Taken(taken);
        let names: Vec<&Name> = taken.records().collect();
        let claimed: Vec<&ClaimName> = taken.claims().collect();
        let ranges = taken.ranges();
        let wants_tip = taken
            .0
            .iter()
            .any(|(q, _)| matches!(q, Question::Tip | Question::Both(_) | Question::Rows(_)));
        let found = shared.read(async |conn| {
            // Prepared before: the statement is then sent at the first poll, ahead of that for the records.
            if wants_tip {
                conn.prepare(TIP).await.map_err(down)?;
            }
            futures_util::try_join!(
                async {
                    match wants_tip {
                        true => shared.tip(conn).await.map(Some),
                        false => Ok(None),
                    }
                },
                records(conn, &names),
                rows::first(conn, &ranges),
                claims(conn, &claimed)
            )
        });
        let (tip, mut records, rows, mut claims) = match found {
            Ok((tip, records, rows, claims)) => {
                (tip, records.into_iter(), rows, claims.into_iter())
            }
            Err(error) => {
                for (_, seat) in taken.0.drain(..) {
                    seat.tell(Err(error.clone()));
                }
                return true;
            }
        };
        for (question, seat) in taken.0.drain(..) {
            seat.tell(match (question, &tip) {
                (Question::Record(_), _) => match records.next() {
                    Some(found) => found.map(Answer::Record),
                    None => Err(mixed_up()),
                },
                (Question::Both(_), Some((tip, names))) => match records.next() {
                    Some(found) => found.map(|found| Answer::Both(*tip, names.clone(), found)),
                    None => Err(mixed_up()),
                },
                (Question::Claim(_), _) => match claims.next() {
                    Some(found) => Ok(Answer::Claim(found)),
                    None => Err(mixed_up()),
                },
                (Question::Rows(range), Some((tip, names))) => match rows.get(&range) {
                    Some(rows) => Ok(Answer::Rows(*tip, names.clone(), rows.clone())),
                    None => Err(mixed_up()),
                },
                (Question::Tip, Some((tip, names))) => Ok(Answer::Tip(*tip, names.clone())),
                (Question::Tip | Question::Both(_) | Question::Rows(_), None) => Err(mixed_up()),
            });
        }
        true
    }
}

/// The lead of a round; the thread that waits longest gets it next, or one of the engine's where none waits.
struct Lead<'a>(&'a Arc<Shared>);

impl Lead<'_> {
    /// Asks from a thread of the engine for as long as somebody waits.
    fn elsewhere(self) {
        let errand = Errand(Some(self.0.clone()));
        let handle = self.0.link.handle.clone();
        std::mem::forget(self);
        drop(handle.spawn_blocking(move || errand.run()));
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut waiting = locked(&self.0.crowd.waiting);
        let mut chairs = waiting.questions.iter().filter_map(|(_, seat)| match seat {
            Seat::Thread(chair) => Some(chair),
            Seat::Task(_) => None,
        });
        if let Some(chair) = chairs.next() {
            // told while nobody can take the question: who is answered has seen that it leads
            locked(&chair.state).leads = true;
            chair.bell.notify_one();
        } else if waiting.questions.is_empty() {
            waiting.rounds = waiting.rounds.saturating_sub(1);
        } else {
            drop(waiting);
            Lead(self.0).elsewhere();
        }
    }
}

/// A lead on its way to a thread of the engine.
struct Errand(Option<Arc<Shared>>);

impl Errand {
    fn run(mut self) {
        if let Some(shared) = self.0.take() {
            let lead = Lead(&shared);
            while shared.crowd.round(&shared) {}
            drop(lead);
        }
    }
}

impl Drop for Errand {
    /// The engine's threads ended before it began: there is nobody who could ask.
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut waiting = locked(&shared.crowd.waiting);
        waiting.rounds = waiting.rounds.saturating_sub(1);
        let left = Taken(waiting.questions.drain(..).collect());
        drop(waiting);
        drop(left);
    }
}

/// Questions of a round that are not answered yet; should it break off, they are told so.
struct Taken(Vec<(Question, Seat)>);

impl Taken {
    fn records(&self) -> impl Iterator<Item = &Name> {
        self.0.iter().filter_map(|(question, _)| match question {
            Question::Record(name) | Question::Both(name) => Some(name),
            _ => None,
        })
    }

    /// Ranges, each once: who asks for the same at the same moment gets the same rows.
    fn ranges(&self) -> BTreeSet<RangeName> {
        self.0
            .iter()
            .filter_map(|(question, _)| match question {
                Question::Rows(range) => Some(range.clone()),
                _ => None,
            })
            .collect()
    }

    fn claims(&self) -> impl Iterator<Item = &ClaimName> {
        self.0.iter().filter_map(|(question, _)| match question {
            Question::Claim(name) => Some(name),
            _ => None,
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        for (_, seat) in self.0.drain(..) {
            seat.tell(Err(mixed_up()));
        }
    }
}

fn mixed_up() -> StoreError {
    StoreError::Unavailable("a shared read broke off; try again".to_owned())
}

/// What was found of each name. A damaged record is the trouble of those only who ask for it.
type Found = Vec<Result<Option<Box<Newest>>, StoreError>>;

async fn records(conn: &Conn, names: &[&Name]) -> Result<Found, StoreError> {
    let newest = |row: &Row| {
        let raw = RawHead::of(row, 0)?;
        let body = RawHead::body(row, 10)?;
        Ok(Some(Box::new(Newest { raw, body })))
    };
    match names {
        [] => Ok(Vec::new()),
        [(repo, rtype, id)] => {
            let row = conn.query_opt(ONE, &[repo, rtype, id]).await?;
            Ok(vec![row.as_ref().map_or(Ok(None), newest)])
        }
        _ => {
            let repos: Vec<i16> = names.iter().map(|n| n.0).collect();
            let rtypes: Vec<i32> = names.iter().map(|n| n.1).collect();
            let ids: Vec<&str> = names.iter().map(|n| n.2.as_str()).collect();
            let mut found: Found = names.iter().map(|_| Ok(None)).collect();
            for row in conn.query(MANY, &[&repos, &rtypes, &ids]).await? {
                let place = usize::try_from(row.get::<_, i64>(12) - 1).ok();
                if let Some(slot) = place.and_then(|n| found.get_mut(n)) {
                    *slot = newest(&row);
                }
            }
            Ok(found)
        }
    }
}

async fn claims(conn: &Conn, names: &[&ClaimName]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
    match names {
        [] => Ok(Vec::new()),
        [(space, key)] => {
            let row = conn.query_opt(CLAIM, &[space, key]).await?;
            Ok(vec![row.map(|r| r.get(0))])
        }
        _ => {
            let spaces: Vec<&str> = names.iter().map(|n| n.0.as_str()).collect();
            let keys: Vec<&[u8]> = names.iter().map(|n| n.1.as_slice()).collect();
            let mut found: Vec<Option<Vec<u8>>> = vec![None; names.len()];
            for row in conn.query(CLAIMS, &[&spaces, &keys]).await? {
                let place = usize::try_from(row.get::<_, i64>(1) - 1).ok();
                if let Some(slot) = place.and_then(|n| found.get_mut(n)) {
                    *slot = Some(row.get(0));
                }
            }
            Ok(found)
        }
    }
}
