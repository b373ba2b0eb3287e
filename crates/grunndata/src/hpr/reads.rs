//! Reads: one person, several, an approval, institutions, what changed.

use super::codes::{INTERNSHIPS, code};
use super::view::{View, institution};
use super::{Hpr, moment, wrong};
use edge::soap::{Fault, Object, Value};
use registers::kernel::identifiers::Packed;
use registers::kernel::period::{Moment, Period};
use registers::personnel::Personnel;
use registers::personnel::register::{Held, person};
use registers::personnel::rules::as_of;
use registers::personnel::search::Search;

/// Most persons of one page, and of a search without pages.
pub(super) const MOST: usize = 1_000;
const USUAL_PAGE: usize = 100;

type Answer = Result<Value, Fault>;

/// The number of a page (from 1) and its size, from what was asked.
pub(super) fn page(side: Option<i64>, size: Option<i64>) -> Result<(usize, usize), Fault> {
    let side = match side.unwrap_or(0) {
        0 => 1,
        side => usize::try_from(side).map_err(|_| wrong("Side må være 1 eller høyere"))?,
    };
    let size = match size.unwrap_or(0) {
        0 => USUAL_PAGE,
        size => usize::try_from(size)
            .ok()
            .filter(|size| *size <= MOST)
            .ok_or_else(|| wrong(format!("ResultaterPerSide må være 1 til {MOST}")))?,
    };
    Ok((side, size))
}

impl Hpr {
    /// `None`: not one of the reads.
    pub(super) fn read(&self, operation: &str, request: &Object) -> Option<Answer> {
        Some(match operation {
            "HentPerson" => self.person(request, false),
            "HentPersonMedHistorikk" => self.person(request, true),
            "HentPersonMedPersonnummer" => self.person_by_nin(request),
            "HentPersoner" => self.persons(request),
            "Søk" => self.search(request),
            "Søk2" => self.search_paged(request),
            "HentGodkjenning" => self.approval(request),
            "HentEndringerForPerson" => self.changes(request),
            "HentRegisterEndringer" => self.changed(request),
            "HentHelsepersonellkategorierSomTillaterTurnus" => Ok(self.internships()),
            "HentUtdanningsinstitusjoner" => Ok(self.institutions()),
            // The contract has no operation that saves a search.
            "HentLagredeSøk" => Ok(Value::List(Vec::new())),
            "HentLagretSøk" => Err(wrong("Lagret søk ikke funnet")),
            "Ping" => Ok(request.text("requestId").map(str::to_owned).into()),
            _ => return None,
        })
    }

    pub(super) fn by_hpr(&self, request: &Object) -> Result<Held, Fault> {
        match request.int("hprNummer") {
            None | Some(0) => Err(wrong("HPR-nummer må oppgis")),
            Some(number) => u32::try_from(number)
                .ok()
                .and_then(|number| self.register.by_hpr(number))
                .ok_or_else(|| wrong("HPR-nummer ikke funnet")),
        }
    }

    fn at(&self, request: &Object) -> Moment {
        request
            .time("påTidspunkt")
            .map_or_else(|| self.now(), moment)
    }

    fn seen(&self, entry: &Held, at: Option<Moment>, view: &View<'_>) -> Result<Object, Fault> {
        let p = person(entry).ok_or_else(Fault::internal)?;
        Ok(match at {
            Some(at) => view.person(&as_of(p, at)),
            None => view.person(p),
        })
    }

    fn person(&self, request: &Object, whole: bool) -> Answer {
        let entry = self.by_hpr(request)?;
        let view = View::of(&self.register, &entry, self.now());
        let at = (!whole).then(|| self.at(request));
        Ok(self.seen(&entry, at, &view)?.into())
    }

    fn person_by_nin(&self, request: &Object) -> Answer {
        let Some(nin) = request.text("personNummer") else {
            return Err(wrong("Personnummer må oppgis"));
        };
        let entry = self
            .register
            .by_nin(nin)
            .ok_or_else(|| wrong("Personnummer ikke funnet"))?;
        let view = View::of(&self.register, &entry, self.now());
        Ok(self.seen(&entry, Some(self.at(request)), &view)?.into())
    }

    /// Numbers that lead nowhere are left out; several that lead to one person give that person once.
    fn persons(&self, request: &Object) -> Answer {
        let at = self.at(request);
        let mut found: Vec<Held> = Vec::new();
        for number in request.ints("hprNummer") {
            let entry = u32::try_from(number)
                .ok()
                .and_then(|number| self.register.by_hpr(number));
            if let Some(entry) = entry
                && !found.iter().any(|known| known.no == entry.no)
            {
                found.push(entry);
            }
        }
        let objects = found.iter().map(|entry| {
            let view = View {
                addresses: request.flag("medAdresser"),
                ..View::of(&self.register, entry, self.now())
            };
            self.seen(entry, Some(at), &view)
        });
        Ok(objects.collect::<Result<Vec<Object>, Fault>>()?.into())
    }

    fn approval(&self, request: &Object) -> Answer {
        let not_found = || wrong("Godkjenning ikke funnet");
        let id = request.int("godkjenningId").unwrap_or(0);
        let (entry, part) = self.register.by_part(id).ok_or_else(not_found)?;
        let p = person(&entry).ok_or_else(not_found)?;
        let seen = match request.time("påTidspunkt") {
            Some(at) => as_of(p, moment(at)),
            None => p.clone(),
        };
        let view = View::of(&self.register, &entry, self.now());
        let found = seen.approvals.iter().find(|a| a.no == part);
        found
            .map(|a| view.approval(a, &seen).into())
            .ok_or_else(not_found)
    }

    fn search(&self, request: &Object) -> Answer {
        let (search, basic) = self.searched(request)?;
        let found = self.register.search(&search, 0, MOST);
        if found.total > MOST {
            return Err(wrong(format!(
                "Søket gir flere enn {MOST} treff. Avgrens det, eller bruk Søk2 med sider"
            )));
        }
        Ok(self.listed(&found.page, basic))
    }

    fn search_paged(&self, request: &Object) -> Answer {
        let (search, basic) = self.searched(request)?;
        let asked = request.object("search");
        let asked = |name| asked.and_then(|s| s.int(name));
        let (side, size) = page(asked("Side"), asked("ResultaterPerSide"))?;
        Ok(self.paged(&search, side, size, basic))
    }

    fn searched(&self, request: &Object) -> Result<(Search, bool), Fault> {
        let object = request
            .object("search")
            .ok_or_else(|| wrong("Søkeparametre må oppgis"))?;
        let search = super::search::conditions(object)?;
        if search.is_empty() {
            return Err(wrong("Søket må ha minst ett kriterium"));
        }
        Ok((search, object.flag("KunBasisData")))
    }

    fn listed(&self, page: &[Held], basic: bool) -> Value {
        let objects = page.iter().filter_map(|entry| {
            let view = View {
                details: !basic,
                ..View::of(&self.register, entry, self.now())
            };
            Some(view.person(person(entry)?))
        });
        objects.collect::<Vec<Object>>().into()
    }

    fn paged(&self, search: &Search, side: usize, size: usize, basic: bool) -> Value {
        let skip = side.saturating_sub(1).saturating_mul(size);
        let found = self.register.search(search, skip, size);
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::from(i32::MAX));
        Object::new()
            .with("Personer", self.listed(&found.page, basic))
            .with("ResultaterPerSide", count(size))
            .with("ResultaterTotalt", count(found.total))
            .with("Side", count(side))
            .into()
    }

    fn changed(&self, request: &Object) -> Answer {
        let (from, to) = (request.time("fra"), request.time("til"));
        let (Some(from), Some(to)) = (from.map(moment), to.map(moment)) else {
            return Err(wrong("fra og til må oppgis"));
        };
        if to <= from {
            return Err(wrong("til må være etter fra"));
        }
        let (side, size) = page(request.int("side"), request.int("resultaterPerSide"))?;
        let search = Search {
            changed: Some(Period::between(from, to)),
            ..Search::default()
        };
        Ok(self.paged(&search, side, size, false))
    }

    fn internships(&self) -> Value {
        let settings = self.register.settings();
        let mut allowed: Vec<String> = INTERNSHIPS.iter().map(|c| (*c).to_owned()).collect();
        for (profession, is_allowed) in settings.internships {
            allowed.retain(|known| known != profession.as_str());
            if is_allowed {
                allowed.push(profession.as_str().to_owned());
            }
        }
        allowed.sort();
        let now = self.now();
        Value::List(allowed.iter().map(|c| code(9060, c, now)).collect())
    }

    fn institutions(&self) -> Value {
        let now = self.now();
        let found = self.register.institutions();
        let objects: Vec<Object> = found
            .iter()
            .map(|(no, i)| institution(*no, i, now))
            .collect();
        objects.into()
    }
}

/// The national id of a request, when it has eleven digits.
pub(super) fn nin(text: &str) -> Option<u64> {
    (text.len() == 11)
        .then(|| Packed::digits(text))
        .flatten()
        .map(|packed| packed.0)
}

/// Kept for those who write a person back.
pub(super) fn whole(hpr: &Hpr, entry: &Held) -> Result<Value, Fault> {
    let view = View::of(&hpr.register, entry, hpr.now());
    let p: &Personnel = person(entry).ok_or_else(Fault::internal)?;
    Ok(view.person(p).into())
}
