//! What the owner of the register changes. Every operation is one step on one person: read, changed, written, with who
//! did it and when.

use super::view::{View, etag, institution};
use super::{Hpr, Refused, input, reads, wrong};
use edge::soap::{Fault, Object, Value};
use registers::kernel::EntryId;
use registers::kernel::period::{Moment, Period};
use registers::personnel::record::PartNo;
use registers::personnel::register::{Held, WriteError};
use registers::personnel::{
    Approval, Competence, Condition, Education, OtherId, Personnel, PersonnelRegister, Reaction,
    Requisition, Short, Speciality, Suspension,
};

const MOST_RESERVED: i64 = 10_000;

type Answer = Result<Value, Fault>;

/// A change inside a person either refuses with a fault of its own, or is written.
struct Edit<'a> {
    hpr: &'a Hpr,
    stamp: (Moment, &'a str),
}

fn not_found() -> Fault {
    Refused(WriteError::NotFound).into()
}

fn given<'r>(request: &'r Object, name: &str) -> Result<&'r Object, Fault> {
    request
        .object(name)
        .ok_or_else(|| wrong(format!("{name} må oppgis")))
}

impl Edit<'_> {
    /// `known` is the version that the caller has read; none when it does not say.
    fn person<T>(
        &self,
        id: EntryId,
        known: Option<&str>,
        mut edit: impl FnMut(&mut Personnel) -> Result<T, Fault>,
    ) -> Result<(Held, T), Fault> {
        let mut own = None;
        let done = self.hpr.register.edit(id, self.stamp, |p| {
            if known.is_some_and(|known| known != etag(p)) {
                return Err(WriteError::Stale);
            }
            edit(p).map_err(|fault| {
                own = Some(fault);
                WriteError::NotFound
            })
        });
        done.map_err(|error| own.take().unwrap_or_else(|| Refused(error).into()))
    }

    fn part<T>(
        &self,
        number: Option<i64>,
        known: Option<&str>,
        mut edit: impl FnMut(&mut Personnel, PartNo) -> Result<T, Fault>,
    ) -> Result<(Held, T), Fault> {
        let found = self.hpr.register.by_part(number.unwrap_or(0));
        let (entry, part) = found.ok_or_else(not_found)?;
        self.person(entry.id, known, |p| edit(p, part))
    }

    fn view(&self, entry: &Held) -> View<'_> {
        View::of(&self.hpr.register, entry, self.stamp.0)
    }
}

fn approval_of(p: &mut Personnel, no: PartNo) -> Result<&mut Approval, Fault> {
    p.approvals
        .iter_mut()
        .find(|a| a.no == no)
        .ok_or_else(not_found)
}

/// All lists of suspensions of a person.
fn suspensions(p: &mut Personnel) -> impl Iterator<Item = &mut Vec<Suspension>> {
    p.approvals.iter_mut().flat_map(|a| {
        let rights = a.requisitions.iter_mut().map(|r| &mut r.suspensions);
        let specialities = a.specialities.iter_mut().map(|s| &mut s.suspensions);
        std::iter::once(&mut a.seldom.suspensions)
            .chain(rights)
            .chain(specialities)
    })
}

/// All lists of reactions of a person.
fn reactions(p: &mut Personnel) -> impl Iterator<Item = &mut Vec<Reaction>> {
    let own = std::iter::once(&mut p.rest.reactions);
    own.chain(p.approvals.iter_mut().flat_map(|a| {
        let rights = a.requisitions.iter_mut().map(|r| &mut r.reactions);
        let specialities = a.specialities.iter_mut().map(|s| &mut s.reactions);
        std::iter::once(&mut a.seldom.reactions)
            .chain(rights)
            .chain(specialities)
    }))
}

fn requisition_of(p: &mut Personnel, no: PartNo) -> Result<&mut Requisition, Fault> {
    let mut all = p.approvals.iter_mut().flat_map(|a| &mut a.requisitions);
    all.find(|r| r.no == no).ok_or_else(not_found)
}

fn speciality_of(p: &mut Personnel, no: PartNo) -> Result<&mut Speciality, Fault> {
    let mut all = p.approvals.iter_mut().flat_map(|a| &mut a.specialities);
    all.find(|s| s.no == no).ok_or_else(not_found)
}

/// Takes out what has this number; a fault when nothing has.
fn taken_out<'v, T: 'v>(
    lists: impl Iterator<Item = &'v mut Vec<T>>,
    is_it: impl Fn(&T) -> bool,
) -> Result<(), Fault> {
    for list in lists {
        let before = list.len();
        list.retain(|item| !is_it(item));
        if list.len() < before {
            return Ok(());
        }
    }
    Err(not_found())
}

/// The one with this number in some list.
fn among<'v, T: 'v>(
    mut lists: impl Iterator<Item = &'v mut Vec<T>>,
    is_it: impl Fn(&T) -> bool,
) -> Result<&'v mut T, Fault> {
    lists
        .find_map(|list| list.iter_mut().find(|item| is_it(item)))
        .ok_or_else(not_found)
}

impl Hpr {
    pub(super) fn write(&self, operation: &str, request: &Object, user: &str) -> Answer {
        let edit = Edit {
            hpr: self,
            stamp: (self.now(), user),
        };
        let found = edit
            .persons(operation, request)
            .or_else(|| edit.approvals(operation, request))
            .or_else(|| edit.rights(operation, request))
            .or_else(|| edit.specialities(operation, request))
            .or_else(|| edit.suspensions(operation, request))
            .or_else(|| edit.reactions(operation, request))
            .or_else(|| edit.educations(operation, request))
            .or_else(|| edit.register(operation, request));
        found.unwrap_or_else(|| {
            tracing::error!(operation, "an operation of the contract is not answered");
            Err(Fault::internal())
        })
    }
}

impl Edit<'_> {
    fn persons(&self, operation: &str, request: &Object) -> Option<Answer> {
        Some(match operation {
            "OpprettPerson" => self.create(request),
            "OppdaterPerson" => given(request, "person").and_then(|person| {
                let number = Object::new().with("hprNummer", person.int("HPRNummer"));
                let entry = self.hpr.by_hpr(&number)?;
                let (held, ()) = self.person(entry.id, person.text("ETag"), |p| {
                    input::person(p, person, self.stamp.0)?;
                    registers::personnel::rules::close_at_age(p);
                    Ok(())
                })?;
                reads::whole(self.hpr, &held)
            }),
            "SlettPerson" => self.hpr.by_hpr(request).and_then(|entry| {
                self.person(entry.id, None, |p| {
                    p.rest.deleted = true;
                    Ok(())
                })?;
                Ok(Value::Nil)
            }),
            "SlåSammen" => self.merge(request),
            "LeggTilAlternativId" => given(request, "alternativId").and_then(|from| {
                let entry = self.hpr.by_hpr(request)?;
                let (held, made) = self.person(entry.id, None, |p| {
                    let mut made = OtherId {
                        no: p.next_part(),
                        kind: Short::default(),
                        value: String::new(),
                    };
                    input::other_id(&mut made, from, self.stamp.0)?;
                    p.rest.other_ids.push(made.clone());
                    Ok(made)
                })?;
                Ok(self.view(&held).other_id(&made).into())
            }),
            "OppdaterAlternativId" => given(request, "alternativId").and_then(|from| {
                let (held, made) = self.part(from.int("Id"), from.text("ETag"), |p, no| {
                    let found = p.rest.other_ids.iter_mut().find(|id| id.no == no);
                    let found = found.ok_or_else(not_found)?;
                    input::other_id(found, from, self.stamp.0)?;
                    Ok(found.clone())
                })?;
                Ok(self.view(&held).other_id(&made).into())
            }),
            "SlettAlternativId" => self
                .part(request.int("alternativIdId"), None, |p, no| {
                    taken_out(std::iter::once(&mut p.rest.other_ids), |id| id.no == no)
                })
                .map(|_| Value::Nil),
            _ => return None,
        })
    }

    fn create(&self, request: &Object) -> Answer {
        let from = given(request, "person")?;
        let hpr = match from.int("HPRNummer").unwrap_or(0) {
            number if (0..1_000_000_000).contains(&number) => u32::try_from(number).unwrap_or(0),
            _ => return Err(wrong("HPR-nummer er ugyldig")),
        };
        let mut made = Personnel::new(hpr, registers::PersonName::default());
        input::person(&mut made, from, self.stamp.0)?;
        made.updated = self.stamp.0;
        made.by = self.stamp.1.to_owned();
        let held = self.hpr.register.create(made).map_err(Refused)?;
        reads::whole(self.hpr, &held)
    }

    fn merge(&self, request: &Object) -> Answer {
        let number = |name| {
            let number = request.int(name).unwrap_or(0);
            u32::try_from(number).map_err(|_| wrong("HPR-nummer ikke funnet"))
        };
        let (stays, gone) = (number("hprDestinasjon")?, number("hprUtgår")?);
        if stays == 0 || gone == 0 {
            return Err(wrong("HPR-nummer må oppgis"));
        }
        if stays == gone {
            return Err(wrong("HPR-numrene må være forskjellige"));
        }
        match self.hpr.register.merge(stays, gone, self.stamp) {
            Ok(held) => reads::whole(self.hpr, &held),
            Err(WriteError::NotFound) => Err(wrong("HPR-nummer ikke funnet")),
            Err(other) => Err(Refused(other).into()),
        }
    }

    fn approvals(&self, operation: &str, request: &Object) -> Option<Answer> {
        let (id, at) = (request.int("godkjenningId"), self.stamp.0);
        let written = |done: Result<(Held, (Approval, Personnel)), Fault>| -> Answer {
            let (held, (approval, of)) = done?;
            Ok(self.view(&held).approval(&approval, &of).into())
        };
        Some(match operation {
            "OpprettGodkjenning" => written(given(request, "godkjenning").and_then(|from| {
                let entry = self.hpr.by_hpr(request)?;
                self.person(entry.id, None, |p| {
                    let mut made = Approval {
                        no: p.next_part(),
                        ..Approval::default()
                    };
                    input::approval(&mut made, from, at)?;
                    p.approvals.push(made);
                    registers::personnel::rules::close_at_age(p);
                    let made = p.approvals.last().cloned().unwrap_or_default();
                    Ok((made, p.clone()))
                })
            })),
            "OppdaterGodkjenning" => written(given(request, "godkjenning").and_then(|from| {
                self.part(from.int("Id"), from.text("ETag"), |p, no| {
                    let found = approval_of(p, no)?;
                    input::approval(found, from, at)?;
                    let made = found.clone();
                    Ok((made, p.clone()))
                })
            })),
            "SlettGodkjenning" => self
                .part(id, None, |p, no| {
                    taken_out(std::iter::once(&mut p.approvals), |a| a.no == no)
                })
                .map(|_| Value::Nil),
            "LeggTilUtdannelsePåGodkjenning" => {
                let education = request.int("utdannelseId").unwrap_or(0);
                let found = self.hpr.register.by_part(education);
                found.ok_or_else(not_found).and_then(|(of, part)| {
                    self.part(id, None, |p, no| {
                        let is_own = Personnel::id_of(p.hpr) == of.id
                            && p.rest.educations.iter().any(|e| e.no == part);
                        let approval = approval_of(p, no)?;
                        if !is_own {
                            return Err(not_found());
                        }
                        if !approval.seldom.educations.contains(&part) {
                            approval.seldom.educations.push(part);
                        }
                        Ok(())
                    })?;
                    Ok(Value::Nil)
                })
            }
            "LeggTilGodkjenningVilkår" => given(request, "vilkår").and_then(|from| {
                let (held, made) = self.part(id, None, |p, no| {
                    let mut made = Condition {
                        no: p.next_part(),
                        kind: Short::default(),
                        text: String::new(),
                    };
                    input::condition(&mut made, from, at)?;
                    approval_of(p, no)?.seldom.conditions.push(made.clone());
                    Ok(made)
                })?;
                Ok(self.view(&held).condition(&made).into())
            }),
            "OppdaterGodkjenningVilkår" => given(request, "vilkår").and_then(|from| {
                let (held, made) = self.part(from.int("Id"), from.text("ETag"), |p, no| {
                    let lists = p.approvals.iter_mut().map(|a| &mut a.seldom.conditions);
                    let found = among(lists, |c| c.no == no)?;
                    input::condition(found, from, at)?;
                    Ok(found.clone())
                })?;
                Ok(self.view(&held).condition(&made).into())
            }),
            "SlettGodkjenningVilkår" => self
                .part(request.int("vilkårId"), None, |p, no| {
                    let lists = p.approvals.iter_mut().map(|a| &mut a.seldom.conditions);
                    taken_out(lists, |c| c.no == no)
                })
                .map(|_| Value::Nil),
            _ => return None,
        })
    }

    fn rights(&self, operation: &str, request: &Object) -> Option<Answer> {
        let (id, at) = (request.int("godkjenningId"), self.stamp.0);
        Some(match operation {
            "OpprettRekvisisjonsrett" => given(request, "rekvisisjonsrett").and_then(|from| {
                let (held, made) = self.part(id, None, |p, no| {
                    let mut made = Requisition {
                        no: p.next_part(),
                        ..Requisition::default()
                    };
                    input::requisition(&mut made, from, at)?;
                    approval_of(p, no)?.requisitions.push(made.clone());
                    Ok(made)
                })?;
                Ok(self.view(&held).requisition(&made).into())
            }),
            "OppdaterRekvisisjonsrett" => given(request, "rekvisisjonsrett").and_then(|from| {
                let (held, made) = self.part(from.int("Id"), from.text("ETag"), |p, no| {
                    let found = requisition_of(p, no)?;
                    input::requisition(found, from, at)?;
                    Ok(found.clone())
                })?;
                Ok(self.view(&held).requisition(&made).into())
            }),
            "SlettRekvisisjonsrett" => self
                .part(request.int("rekvisisjonsrettId"), None, |p, no| {
                    let lists = p.approvals.iter_mut().map(|a| &mut a.requisitions);
                    taken_out(lists, |r| r.no == no)
                })
                .map(|_| Value::Nil),
            "OpprettTilleggskompetanse" => given(request, "tilleggskompetanse").and_then(|from| {
                let (held, made) = self.part(id, None, |p, no| {
                    let mut made = Competence {
                        no: p.next_part(),
                        ..Competence::default()
                    };
                    input::competence(&mut made, from, at)?;
                    approval_of(p, no)?.seldom.competences.push(made.clone());
                    Ok(made)
                })?;
                Ok(self.view(&held).competence(&made).into())
            }),
            "OppdaterTilleggskompetanse" => given(request, "tilleggskompetanse").and_then(|from| {
                let (held, made) = self.part(from.int("Id"), from.text("ETag"), |p, no| {
                    let lists = p.approvals.iter_mut().map(|a| &mut a.seldom.competences);
                    let found = among(lists, |c| c.no == no)?;
                    input::competence(found, from, at)?;
                    Ok(found.clone())
                })?;
                Ok(self.view(&held).competence(&made).into())
            }),
            "SlettTilleggskompetanse" => self
                .part(request.int("tilleggskompetanseId"), None, |p, no| {
                    let lists = p.approvals.iter_mut().map(|a| &mut a.seldom.competences);
                    taken_out(lists, |c| c.no == no)
                })
                .map(|_| Value::Nil),
            _ => return None,
        })
    }

    fn specialities(&self, operation: &str, request: &Object) -> Option<Answer> {
        let (id, at) = (request.int("godkjenningId"), self.stamp.0);
        Some(match operation {
            "OpprettSpesialitet" => given(request, "spesialitet").and_then(|from| {
                let (held, made) = self.part(id, None, |p, no| {
                    let mut made = Speciality {
                        no: p.next_part(),
                        ..Speciality::default()
                    };
                    input::speciality(&mut made, from, at)?;
                    approval_of(p, no)?.specialities.push(made.clone());
                    Ok(made)
                })?;
                Ok(self.view(&held).speciality(&made).into())
            }),
            "OppdaterSpesialitet" => given(request, "spesialitet").and_then(|from| {
                let (held, made) = self.part(from.int("Id"), from.text("ETag"), |p, no| {
                    let found = speciality_of(p, no)?;
                    input::speciality(found, from, at)?;
                    Ok(found.clone())
                })?;
                Ok(self.view(&held).speciality(&made).into())
            }),
            "SlettSpesialitet" => self
                .part(request.int("spesialitetId"), None, |p, no| {
                    let lists = p.approvals.iter_mut().map(|a| &mut a.specialities);
                    taken_out(lists, |s| s.no == no)
                })
                .map(|_| Value::Nil),
            _ => return None,
        })
    }

    fn suspensions(&self, operation: &str, request: &Object) -> Option<Answer> {
        let add = |id: &str,
                   name: &str,
                   list: &dyn Fn(&mut Personnel, PartNo, Suspension) -> Result<(), Fault>|
         -> Answer {
            let from = given(request, name)?;
            let (held, made) = self.part(request.int(id), None, |p, no| {
                let mut made = Suspension {
                    no: p.next_part(),
                    period: Period::ALWAYS,
                };
                input::suspension(&mut made, from)?;
                list(p, no, made.clone())?;
                Ok(made)
            })?;
            Ok(self.view(&held).suspension(&made).into())
        };
        Some(match operation {
            "LeggTilGodkjenningSuspensjonsperiode" => {
                add("godkjenningId", "suspensjonsPeriode", &|p, no, made| {
                    approval_of(p, no)?.seldom.suspensions.push(made);
                    Ok(())
                })
            }
            "LeggTilRekvisisjonsrettSuspensjonsperiode" => add(
                "rekvisisjonsrettId",
                "suspensjonsperiode",
                &|p, no, made| {
                    requisition_of(p, no)?.suspensions.push(made);
                    Ok(())
                },
            ),
            "LeggTilSpesialitetSuspensjonsperiode" => {
                add("spesialitetsId", "suspensjonsperiode", &|p, no, made| {
                    speciality_of(p, no)?.suspensions.push(made);
                    Ok(())
                })
            }
            "OppdaterSuspensjonsperiode" => given(request, "suspensjonsperiode").and_then(|from| {
                let (held, made) = self.part(from.int("Id"), from.text("ETag"), |p, no| {
                    let found = among(suspensions(p), |s| s.no == no)?;
                    input::suspension(found, from)?;
                    Ok(found.clone())
                })?;
                Ok(self.view(&held).suspension(&made).into())
            }),
            "SlettSuspensjonsperiode" => self
                .part(request.int("suspensjonsperiodeId"), None, |p, no| {
                    taken_out(suspensions(p), |s| s.no == no)
                })
                .map(|_| Value::Nil),
            _ => return None,
        })
    }

    fn reactions(&self, operation: &str, request: &Object) -> Option<Answer> {
        let at = self.stamp.0;
        let made = |p: &mut Personnel| -> Result<Reaction, Fault> {
            let from = given(request, "administrativReaksjon")?;
            let mut made = Reaction {
                no: p.next_part(),
                kind: Short::default(),
                period: Period::ALWAYS,
            };
            input::reaction(&mut made, from, at)?;
            Ok(made)
        };
        let written = |done: Result<(Held, Reaction), Fault>| -> Answer {
            let (held, made) = done?;
            Ok(self.view(&held).reaction(&made).into())
        };
        Some(match operation {
            "LeggTilAdministrativReaksjonTilGodkjenning" => {
                written(self.part(request.int("godkjenningId"), None, |p, no| {
                    let made = made(p)?;
                    approval_of(p, no)?.seldom.reactions.push(made.clone());
                    Ok(made)
                }))
            }
            "LeggTilAdministrativReaksjonTilRekvisisjonsrett" => {
                written(self.part(request.int("rekvisisjonsrettId"), None, |p, no| {
                    let made = made(p)?;
                    requisition_of(p, no)?.reactions.push(made.clone());
                    Ok(made)
                }))
            }
            "LeggTilAdministrativReaksjonTilSpesialitet" => {
                written(self.part(request.int("spesialitetId"), None, |p, no| {
                    let made = made(p)?;
                    speciality_of(p, no)?.reactions.push(made.clone());
                    Ok(made)
                }))
            }
            "LeggTilAdministrativReaksjonTilPersonell" => {
                written(self.hpr.by_hpr(request).and_then(|entry| {
                    self.person(entry.id, None, |p| {
                        let made = made(p)?;
                        p.rest.reactions.push(made.clone());
                        Ok(made)
                    })
                }))
            }
            "OppdaterAdministrativReaksjon" => {
                written(given(request, "administrativReaksjon").and_then(|from| {
                    self.part(from.int("Id"), from.text("ETag"), |p, no| {
                        let found = among(reactions(p), |r| r.no == no)?;
                        input::reaction(found, from, at)?;
                        Ok(found.clone())
                    })
                }))
            }
            "SlettAdministrativReaksjon" => self
                .part(request.int("administrativReaksjonId"), None, |p, no| {
                    taken_out(reactions(p), |r| r.no == no)
                })
                .map(|_| Value::Nil),
            _ => return None,
        })
    }

    fn educations(&self, operation: &str, request: &Object) -> Option<Answer> {
        let at = self.stamp.0;
        let known = |e: &Education| match e.institution {
            Some(number) if self.hpr.register.institution(number).is_none() => {
                Err(wrong("Utdanningsinstitusjon ikke funnet"))
            }
            _ => Ok(()),
        };
        Some(match operation {
            "OpprettUtdannelse" => given(request, "utdannelse").and_then(|from| {
                let entry = self.hpr.by_hpr(request)?;
                let (held, made) = self.person(entry.id, None, |p| {
                    let mut made = Education {
                        no: p.next_part(),
                        ..Education::default()
                    };
                    input::education(&mut made, from, at)?;
                    known(&made)?;
                    p.rest.educations.push(made.clone());
                    Ok(made)
                })?;
                Ok(self.view(&held).education(&made).into())
            }),
            "OppdaterUtdannelse" => given(request, "utdannelse").and_then(|from| {
                let (held, made) = self.part(from.int("Id"), from.text("ETag"), |p, no| {
                    let found = p.rest.educations.iter_mut().find(|e| e.no == no);
                    let found = found.ok_or_else(not_found)?;
                    input::education(found, from, at)?;
                    known(found)?;
                    Ok(found.clone())
                })?;
                Ok(self.view(&held).education(&made).into())
            }),
            "SlettUtdannelse" => self
                .part(request.int("utdannelseId"), None, |p, no| {
                    for approval in &mut p.approvals {
                        approval.seldom.educations.retain(|e| *e != no);
                    }
                    taken_out(std::iter::once(&mut p.rest.educations), |e| e.no == no)
                })
                .map(|_| Value::Nil),
            _ => return None,
        })
    }

    /// What belongs to no person: numbers, institutions, professions.
    fn register(&self, operation: &str, request: &Object) -> Option<Answer> {
        let (register, at): (&PersonnelRegister, Moment) = (&self.hpr.register, self.stamp.0);
        let numbers = |numbers: &[u32]| {
            Value::List(numbers.iter().map(|number| Value::from(*number)).collect())
        };
        let refused = |error| Fault::from(Refused(error));
        let put = |number: Option<i64>, from: &Object| -> Answer {
            let number = number.map(|n| u32::try_from(n).map_err(|_| not_found()));
            let made = input::institution(from, at)?;
            let number = match number.transpose()? {
                None => register.create_institution(made.clone()).map_err(refused)?,
                Some(number) => {
                    let changed = register.edit_institution(number, |held| *held = made.clone());
                    changed.map_err(refused)?;
                    number
                }
            };
            Ok(institution(number, &made, at).into())
        };
        Some(match operation {
            "ReserverHPRNummerliste" => match request.int("antall") {
                Some(count @ 1..=MOST_RESERVED) => register
                    .reserve(usize::try_from(count).unwrap_or(0))
                    .map(|found| numbers(&found))
                    .map_err(refused),
                _ => Err(wrong(format!("antall må være 1 til {MOST_RESERVED}"))),
            },
            "FrigiHPRNummerliste" => {
                let freed: Vec<i64> = request.ints("hprNummer").collect();
                register
                    .set(|_, s| s.reserved.retain(|n| !freed.contains(&i64::from(*n))))
                    .map(|()| Value::Nil)
                    .map_err(refused)
            }
            "HentReserverteHPRNummer" => Ok(numbers(&register.settings().reserved)),
            "SettTurnusTillattflaggPåHelsepersonellkategori" => {
                let profession = request.text("kategori").and_then(Short::new);
                let known = profession
                    .filter(|p| registers::personnel::rules::is_active_code(9060, p.as_str(), at));
                let Some(profession) = known else {
                    return Some(Err(wrong("kategori er ukjent")));
                };
                let flag = request.flag("flagg");
                register
                    .set(|_, s| {
                        s.internships.retain(|(known, _)| *known != profession);
                        s.internships.push((profession, flag));
                    })
                    .map(|()| Value::Nil)
                    .map_err(refused)
            }
            "OpprettUtdanningsinstitusjon" => {
                given(request, "utdanningsinstitusjon").and_then(|from| put(None, from))
            }
            "OppdaterUtdanningsinstitusjon" => given(request, "utdanningsinstitusjon")
                .and_then(|from| put(Some(from.int("Id").unwrap_or(-1)), from)),
            "SlettUtdanningsinstitusjon" => {
                let number = request.int("utdanningsinstitusjonId").unwrap_or(-1);
                let number = u32::try_from(number).map_err(|_| not_found());
                number.and_then(|number| {
                    let gone = register.edit_institution(number, |held| {
                        held.deleted = true;
                        held.updated = at;
                    });
                    gone.map(|_| Value::Nil).map_err(refused)
                })
            }
            _ => return None,
        })
    }
}
