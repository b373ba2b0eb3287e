//! The population register's feed into the person register: all or nothing, in order, exactly once; and what must be
//! forgotten.

use crate::place::{Node, Place, everywhere};
use registers::kernel::identifiers::Packed;
use registers::kernel::period::Moment;
use registers::persons::PersonRegister;
use registers::persons::codes::PersonStatus;
use registers::persons::freg::import::{FEED, ImportError, Importer, Report};
use registers::persons::freg::source::{Items, SourceError};
use registers::persons::life::REPOSITORY;
use registers::persons::register::Options;
use std::path::Path;

const NOW: Moment = Moment(1_795_000_000_000);

fn number(n: u32) -> String {
    format!("1488{n:07}")
}

fn packed(n: u32) -> Packed {
    Packed::digits(&number(n)).unwrap()
}

fn identifier(n: u32, status: &str) -> String {
    format!(
        r#"{{"status":"{status}","foedselsEllerDNummer":"{}","identifikatortype":"foedselsnummer"}}"#,
        number(n)
    )
}

fn street(n: u32) -> String {
    format!("Qzxjwvkq{n}yhpf")
}

fn person(n: u32) -> String {
    format!(
        r#"{{"identifikasjonsnummer":[{}],"navn":[{{"fornavn":"Kari","etternavn":"Nummer"}}],"status":[{{"status":"bosatt"}}],"bostedsadresse":[{}]}}"#,
        identifier(n, "iBruk"),
        address(n)
    )
}

fn address(n: u32) -> String {
    format!(
        r#"{{"vegadresse":{{"kommunenummer":"0301","adressenavn":"{}","adressenummer":{{"husnummer":"4"}}}},"adressegradering":"ugradert"}}"#,
        street(n)
    )
}

fn event(sequence: u64, n: u32, kind: &str, entries: &[(&str, String)]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|(entity, content)| {
            format!(
                r#"{{"{entity}":{content},"entitet":"{entity}","entitetsendring":"registrereNy"}}"#
            )
        })
        .collect();
    format!(
        r#"{{"sekvensnummer":{sequence},"hendelse":{{"hendelsesdokument":{{"hendelse":{{"folkeregisteridentifikator":"{}","hendelsestype":"{kind}","ajourholdstidspunkt":"2026-03-01T12:00:00Z","egenskapshendelse":[{}]}}}}}}}}"#,
        number(n),
        entries.join(",")
    )
}

fn renamed(sequence: u64, n: u32, given: &str) -> String {
    let name = format!(r#"{{"fornavn":"{given}","etternavn":"Nummer"}}"#);
    event(sequence, n, "endringINavn", &[("navn", name)])
}

fn open(node: &Node, folder: &Path) -> PersonRegister {
    PersonRegister::open(node.store.clone(), node.grant(), Options::new(folder)).unwrap()
}

fn import(register: &PersonRegister, lines: &[String]) -> (Report, Result<(), ImportError>) {
    let mut importer = Importer::new(register, NOW).unwrap();
    let text = lines.join("\n");
    let done = run(register, &mut importer, &text);
    (importer.report(), done)
}

fn run(
    register: &PersonRegister,
    importer: &mut Importer<'_>,
    text: &str,
) -> Result<(), ImportError> {
    let mut items = Items::open(text.as_bytes())?;
    if register.is_empty()
        && let Some((place, item)) = importer.load(&mut items, |_| {})?
    {
        importer.take(place, item)?;
    }
    let mut together = Vec::new();
    let mut wrong = None;
    for item in items {
        match item {
            Ok(item) => together.push(item),
            Err(error) => {
                wrong = Some(error);
                break;
            }
        }
    }
    importer.take_all(together)?;
    match wrong {
        Some(error) => Err(error.into()),
        None => importer.finish(),
    }
}

fn given(register: &PersonRegister, n: u32) -> Option<String> {
    let no = register.find(packed(n)).unwrap()?;
    register
        .with(no, |row| row.names().last().map(|h| h.value.given))
        .unwrap()
        .flatten()
}

#[test]
fn a_file_fills_an_empty_register_whole_or_not_at_all() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let folder = tempfile::tempdir().unwrap();
        let register = open(&node, folder.path());
        let mut lines: Vec<String> = (0..40).map(person).collect();
        lines[30] = r#"{"identifikasjonsnummer":[{}]}"#.to_owned();
        let (_, done) = import(&register, &lines);
        assert!(matches!(
            done,
            Err(ImportError::Source(SourceError::Item { place: 31, .. }))
        ));
        assert!(register.is_empty(), "nothing half imported");
        lines[30] = person(7);
        let (_, done) = import(&register, &lines);
        assert!(matches!(done, Err(ImportError::Twice { place: 31 })));
        assert!(register.is_empty());
        lines[30] = person(30);
        let (report, done) = import(&register, &lines);
        done.unwrap();
        assert_eq!((report.created, register.len()), (40, 40));
        let (report, done) = import(&register, &lines);
        done.unwrap();
        assert_eq!(
            (report.created, report.changed, report.unchanged),
            (0, 0, 40)
        );
    });
}

#[test]
fn events_are_followed_in_order_and_once() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let folder = tempfile::tempdir().unwrap();
        let register = open(&node, folder.path());
        import(&register, &(0..3).map(person).collect::<Vec<_>>())
            .1
            .unwrap();
        let first = [
            renamed(101, 0, "En"),
            renamed(102, 1, "To"),
            renamed(102, 1, "Feil"),
            renamed(103, 0, "Tre"),
        ];
        let (report, done) = import(&register, &first);
        done.unwrap();
        assert_eq!(
            (report.events, report.duplicates, report.last_event),
            (3, 1, 103)
        );
        assert_eq!(given(&register, 0).as_deref(), Some("Tre"));
        // Some of it again, then a hole.
        let second = [
            renamed(103, 0, "Feil"),
            renamed(104, 2, "Fire"),
            renamed(106, 2, "Seks"),
        ];
        let (report, done) = import(&register, &second);
        match done {
            Err(ImportError::Gap {
                place,
                expected,
                found,
            }) => assert_eq!((place, expected, found), (3, 105, 106)),
            other => panic!("{other:?}"),
        }
        assert_eq!((report.events, report.duplicates), (1, 1));
        assert_eq!(
            given(&register, 2).as_deref(),
            Some("Fire"),
            "what came before stands"
        );
        assert_eq!(register.log().upstream(FEED).unwrap(), 104);
        // A process of its own goes on where it was.
        let again = open(&node, folder.path());
        import(&again, &[renamed(105, 2, "Fem"), renamed(106, 2, "Seks")])
            .1
            .unwrap();
        assert_eq!(given(&again, 2).as_deref(), Some("Seks"));
        let unknown = import(&again, &[renamed(107, 99, "X")]).1;
        assert!(matches!(unknown, Err(ImportError::Nobody { place: 1 })));
        assert_eq!(again.log().upstream(FEED).unwrap(), 106);
        // A position that somebody else moved is noticed: the register writes nothing.
        let mut stale = Importer::new(&register, NOW).unwrap();
        import(&again, &[renamed(107, 0, "Syv")]).1.unwrap();
        let error = run(&register, &mut stale, &renamed(107, 1, "Annen")).unwrap_err();
        assert!(
            error.to_string().contains("somebody else follows"),
            "{error}"
        );
    });
}

#[test]
fn items_together_do_what_they_do_one_by_one() {
    let mut lines: Vec<String> = (0..9).map(person).collect();
    let names = ["En", "To", "Tre", "Fire"];
    let mut sequence = 0;
    for (round, name) in names.into_iter().enumerate() {
        for n in [0, 3, 0, 5, 3, 8] {
            sequence += 1;
            lines.push(renamed(sequence, n, &format!("{name}{sequence}")));
        }
        // Ends the batch in the middle of what was read ahead.
        let gone = round as u32 * 2 + 1;
        let ended = [("identifikasjonsnummer", identifier(gone, "opphoert"))];
        sequence += 1;
        let kind = "personErViderefoertSomGjeldendeVedSammenslaaing";
        lines.push(event(sequence, 8, kind, &ended));
        sequence += 1;
        lines.push(renamed(sequence, 8, &format!("{name}{sequence}")));
    }
    let seen: Vec<Vec<String>> = [1, 2, 7, 1_000]
        .into_iter()
        .map(|together| {
            let folder = tempfile::tempdir().unwrap();
            let place = Place::Folder(tempfile::tempdir().unwrap());
            let node = place.start(REPOSITORY);
            let register = open(&node, folder.path());
            let mut importer = Importer::new(&register, NOW).unwrap();
            let text = lines.join("\n");
            let mut items = Items::open(text.as_bytes()).unwrap();
            let (at, first) = importer.load(&mut items, |_| {}).unwrap().unwrap();
            importer.take(at, first).unwrap();
            let items: Vec<_> = items.map(Result::unwrap).collect();
            let mut items = items.into_iter().peekable();
            while items.peek().is_some() {
                importer
                    .take_all(items.by_ref().take(together).collect())
                    .unwrap();
            }
            importer.finish().unwrap();
            assert_eq!(importer.report().events, sequence);
            (0..9)
                .map(|n| format!("{:?}", given(&register, n)))
                .collect()
        })
        .collect();
    assert!(seen.windows(2).all(|two| two[0] == two[1]), "{seen:?}");
}

#[test]
fn births_deaths_and_relations() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let folder = tempfile::tempdir().unwrap();
        let register = open(&node, folder.path());
        import(&register, &[person(0)]).1.unwrap();
        let mother = format!(
            r#"{{"relatertPerson":"{}","relatertPersonsRolle":"mor"}}"#,
            number(0)
        );
        let child = [
            ("identifikasjonsnummer", identifier(50, "iBruk")),
            (
                "navn",
                r#"{"fornavn":"Barn","etternavn":"Nummer"}"#.to_owned(),
            ),
            ("status", r#"{"status":"foedselsregistrert"}"#.to_owned()),
            ("familierelasjon", mother),
        ];
        let lines = [
            event(1, 50, "personErOpprettet", &child),
            renamed(2, 50, "Barnet"),
        ];
        let (report, done) = import(&register, &lines);
        done.unwrap();
        assert_eq!((report.created, register.len()), (1, 2));
        assert_eq!(given(&register, 50).as_deref(), Some("Barnet"));
        let notice = format!(
            "<meldingOmDoedsfall><forespoersel><doedPerson><foedselsnummer>{}</foedselsnummer><doedsdato>2026-03-01</doedsdato></doedPerson></forespoersel></meldingOmDoedsfall>",
            number(0)
        );
        import(&register, &[notice]).1.unwrap();
        let no = register.find(packed(0)).unwrap().unwrap();
        let status = register.with(no, |row| row.status().last().map(|h| h.value));
        assert_eq!(status.unwrap().flatten(), Some(PersonStatus::Deceased));
    });
}

#[test]
fn duplicates_become_one_and_two_again() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let folder = tempfile::tempdir().unwrap();
        let register = open(&node, folder.path());
        import(&register, &(0..3).map(person).collect::<Vec<_>>())
            .1
            .unwrap();
        let merged = [
            event(
                1,
                1,
                "personErViderefoertSomGjeldendeVedSammenslaaing",
                &[("identifikasjonsnummer", identifier(2, "opphoert"))],
            ),
            event(
                2,
                2,
                "personErOpphoertSomDublett",
                &[("status", r#"{"status":"opphoert"}"#.to_owned())],
            ),
        ];
        import(&register, &merged).1.unwrap();
        let stays = register.find(packed(1)).unwrap();
        assert_eq!(register.find(packed(2)).unwrap(), stays);
        let status = register.with(stays.unwrap(), |row| row.status().last().map(|h| h.value));
        assert_eq!(
            status.unwrap().flatten(),
            Some(PersonStatus::Resident),
            "what happened to the duplicate did not happen to the one who stays"
        );
        import(
            &register,
            &[event(3, 2, "personErGjenopprettetVedSplitting", &[])],
        )
        .1
        .unwrap();
        assert_ne!(register.find(packed(2)).unwrap(), stays);
    });
}

/// Every file below a folder that has the bytes, in either case.
fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let mut windows = bytes.windows(text.len());
            if windows.any(|w| w.eq_ignore_ascii_case(text.as_bytes())) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

#[test]
fn of_a_person_who_becomes_kode_6_no_file_keeps_the_address() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().to_owned();
    let place = Place::Folder(root);
    let node = place.start(REPOSITORY);
    let folder = data.join("read");
    let register = open(&node, &folder);
    import(&register, &(0..20).map(person).collect::<Vec<_>>())
        .1
        .unwrap();
    // Loaded with the others; changed by a commit before and after: all versions have the address.
    import(&register, &[renamed(1, 5, "Før"), renamed(2, 6, "Nabo")])
        .1
        .unwrap();
    let id = |n| {
        let no = register.find(packed(n)).unwrap().unwrap();
        register
            .with(no, |row| row.id())
            .unwrap()
            .flatten()
            .unwrap()
    };
    let (hidden, neighbour) = (id(5), id(6));
    assert_eq!(register.log().versions(hidden, 9).unwrap().len(), 2);
    node.store.maintain().unwrap();
    assert!(
        !files_with(&data, &street(5)).is_empty(),
        "the test can fail"
    );
    let strict = |level: &str| format!(r#"{{"graderingsnivaa":"{level}"}}"#);
    let protect = |sequence, level: &str| {
        event(
            sequence,
            5,
            "endringIAdressebeskyttelse",
            &[("adressebeskyttelse", strict(level))],
        )
    };
    import(&register, &[protect(3, "strengtFortrolig")])
        .1
        .unwrap();
    let versions = register.log().versions(hidden, 9).unwrap();
    assert_eq!(versions.len(), 1, "what was known before is gone");
    assert!(versions[0].entry.content.residential.is_empty());
    assert!(register.maintain().unwrap(), "a new read form at once");
    assert!(!register.maintain().unwrap());
    node.store.maintain().unwrap();
    assert_eq!(files_with(&data, &street(5)), Vec::<String>::new());
    assert!(
        !files_with(&data, &street(6)).is_empty(),
        "others keep theirs"
    );
    assert_eq!(register.log().versions(neighbour, 9).unwrap().len(), 2);
    // The register stands as it did: numbers, order, another process.
    assert_eq!(
        (register.len(), given(&register, 5).as_deref()),
        (20, Some("Før"))
    );
    std::fs::remove_file(folder.join("persons.read")).unwrap();
    let again = open(&node, &folder);
    assert_eq!(
        (again.len(), given(&again, 5).as_deref()),
        (20, Some("Før"))
    );
    // And once more after the protection was lifted and an address came.
    let home = ("bostedsadresse", address(77));
    import(
        &again,
        &[
            protect(4, "ugradert"),
            event(5, 5, "endringIBostedsadresse", &[home]),
        ],
    )
    .1
    .unwrap();
    again.rebuild().unwrap();
    assert!(!files_with(&data, &street(77)).is_empty());
    import(&again, &[protect(6, "strengtFortrolig")]).1.unwrap();
    again.maintain().unwrap();
    node.store.maintain().unwrap();
    assert_eq!(files_with(&data, &street(77)), Vec::<String>::new());
    std::fs::remove_file(folder.join("persons.read")).unwrap();
    let last = open(&node, &folder);
    assert_eq!((last.len(), given(&last, 5).as_deref()), (20, Some("Før")));
}

#[test]
fn after_an_erasure_everybody_is_found_on_both_engines() {
    everywhere(|place| {
        let node = place.start(REPOSITORY);
        let folder = tempfile::tempdir().unwrap();
        let register = open(&node, folder.path());
        import(&register, &(0..6).map(person).collect::<Vec<_>>())
            .1
            .unwrap();
        let second = place.is_shared().then(|| place.start(REPOSITORY));
        let other_folder = tempfile::tempdir().unwrap();
        let other = open(second.as_ref().unwrap_or(&node), other_folder.path());
        let strict = (
            "adressebeskyttelse",
            r#"{"graderingsnivaa":"strengtFortrolig"}"#.to_owned(),
        );
        let lines: Vec<String> = [0, 3, 5]
            .iter()
            .zip(1..)
            .map(|(n, sequence)| {
                event(
                    sequence,
                    *n,
                    "endringIAdressebeskyttelse",
                    std::slice::from_ref(&strict),
                )
            })
            .collect();
        import(&register, &lines).1.unwrap();
        other.follow().unwrap();
        let fresh_folder = tempfile::tempdir().unwrap();
        let fresh = open(&node, fresh_folder.path());
        for persons in [&register, &other, &fresh] {
            assert_eq!(persons.len(), 6);
            for n in 0..6 {
                let no = persons.find(packed(n)).unwrap().unwrap();
                let has = persons.with(no, |row| row.has_address()).unwrap();
                assert_eq!(has, Some(![0, 3, 5].contains(&n)), "{n}");
            }
        }
        assert!(other.maintain().unwrap(), "the other process forgets too");
    });
}
