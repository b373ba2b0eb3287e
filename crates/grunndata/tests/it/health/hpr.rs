//! HPR: look-ups with their faults, as of a time and with history, search, and every kind of change by the owner.

use super::{DOCTOR, HPR, OTHER, OWNER, USER, World, everywhere, text_of};
use axum::http::StatusCode;
use registers::Directory;

async fn hpr(world: &World, user: &str, operation: &str, parameters: &str) -> (StatusCode, String) {
    let contract = "http://schemas.nhn.no/reg/HPRv2/IHPR2Service";
    world
        .call("/v2/HPR", contract, operation, parameters, user)
        .await
}

async fn read(world: &World, operation: &str, parameters: &str) -> String {
    let (status, text) = hpr(world, USER, operation, parameters).await;
    assert_eq!(status, 200, "{operation}: {text}");
    text
}

pub async fn write(world: &World, operation: &str, parameters: &str) -> String {
    let (status, text) = hpr(world, OWNER, operation, parameters).await;
    assert_eq!(status, 200, "{operation}: {text}");
    text
}

async fn refused(world: &World, user: &str, operation: &str, parameters: &str) -> String {
    let (status, text) = hpr(world, user, operation, parameters).await;
    assert_eq!(status, 500, "{operation}: {text}");
    let message = text_of(&text, "Message").or(text_of(&text, "s:Value"));
    message.map_or(text.clone(), str::to_owned)
}

#[test]
fn look_ups_and_their_faults() {
    everywhere(async |world: World| {
        for (operation, parameters, says) in [
            (
                "HentPerson",
                "<hprNummer>1</hprNummer>",
                "ArgumentException: HPR-nummer ikke funnet",
            ),
            (
                "HentPerson",
                "<hprNummer>0</hprNummer>",
                "ArgumentException: HPR-nummer må oppgis",
            ),
            ("HentPerson", "", "ArgumentException: HPR-nummer må oppgis"),
            (
                "HentPerson",
                "<hprNummer>-5</hprNummer>",
                "ArgumentException: HPR-nummer ikke funnet",
            ),
            (
                "HentPersonMedHistorikk",
                "<hprNummer>1</hprNummer>",
                "ArgumentException: HPR-nummer ikke funnet",
            ),
            (
                "HentPersonMedPersonnummer",
                "<personNummer>13116900216</personNummer>",
                "ArgumentException: Personnummer ikke funnet",
            ),
            (
                "HentPersonMedPersonnummer",
                "<personNummer>tull</personNummer>",
                "ArgumentException: Personnummer ikke funnet",
            ),
            (
                "Søk2",
                "<search/>",
                "ArgumentException: Søket må ha minst ett kriterium",
            ),
        ] {
            assert_eq!(
                refused(&world, USER, operation, parameters).await,
                says,
                "{operation}"
            );
        }
        let text = read(
            &world,
            "HentPerson",
            &format!("<hprNummer>{HPR}</hprNummer>"),
        )
        .await;
        assert_eq!(text_of(&text, "HPRNummer"), Some(HPR));
        assert_eq!(text_of(&text, "NIN"), Some(DOCTOR));
        assert!(
            text.contains("<b:Verdi>LE</b:Verdi>") && text.contains("<b:OID>9060</b:OID>"),
            "{text}"
        );
        assert!(
            text.contains("<b:Fra>2001-07-01T00:00:00</b:Fra>"),
            "{text}"
        );
        let by_nin = read(
            &world,
            "HentPersonMedPersonnummer",
            &format!("<personNummer>{DOCTOR}</personNummer>"),
        )
        .await;
        assert_eq!(text_of(&by_nin, "HPRNummer"), Some(HPR));
        // As of a time before the authorisation: the person, without it.
        let before =
            format!("<hprNummer>{HPR}</hprNummer><påTidspunkt>2001-06-30T23:59:59</påTidspunkt>");
        let text = read(&world, "HentPerson", &before).await;
        assert!(
            text.contains("<Godkjenninger/>") || text.contains("<Godkjenninger></Godkjenninger>"),
            "{text}"
        );
        let many = "<hprNummer><arr:int>1010037</arr:int><arr:int>5</arr:int></hprNummer>";
        let text = read(&world, "HentPersoner", many).await;
        assert_eq!(text.matches("<HPRNummer>").count(), 1);
        assert!(read(&world, "Ping", "<requestId>hei</requestId>").await.contains("<PingResult xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\">hei</PingResult>"));
    });
}

#[test]
fn roles() {
    everywhere(async |world: World| {
        let who = format!("<hprNummer>{HPR}</hprNummer>");
        for (user, operation, status) in [
            (USER, "HentPerson", 200),
            (OTHER, "HentPerson", 500),
            (USER, "SlettPerson", 500),
            (USER, "HentReserverteHPRNummer", 500),
            (OWNER, "HentReserverteHPRNummer", 200),
            ("OrgUsr1", "HentPerson", 401),
        ] {
            let (found, text) = hpr(&world, user, operation, &who).await;
            assert_eq!(found.as_u16(), status, "{user} {operation} {text}");
        }
    });
}

#[test]
fn searches() {
    everywhere(async |world: World| {
        for (search, total) in [
            ("<Etternavn>lege</Etternavn>", "1"),
            ("<Navn>lege dyk</Navn>", "1"),
            ("<Etternavn>ukjent</Etternavn>", "0"),
            (
                "<Helsepersonellkategorier><arr:string>LE</arr:string></Helsepersonellkategorier>",
                "1",
            ),
            (
                "<Helsepersonellkategorier><arr:string>SP</arr:string></Helsepersonellkategorier>",
                "0",
            ),
            (
                "<Periode><no:Fra>1990-01-01T00:00:00</no:Fra><no:Til>2001-07-01T00:00:00</no:Til></Periode>",
                "0",
            ),
            (
                "<Periode><no:Fra>1990-01-01T00:00:00</no:Fra><no:Til>2001-07-02T00:00:00</no:Til></Periode>",
                "1",
            ),
        ] {
            let text = read(&world, "Søk2", &format!("<search>{search}<ResultaterPerSide>10</ResultaterPerSide><Side>1</Side></search>")).await;
            assert_eq!(
                text_of(&text, "ResultaterTotalt"),
                Some(total),
                "{search}: {text}"
            );
        }
        let wide = refused(
            &world,
            USER,
            "Søk2",
            "<search><Navn>a</Navn><ResultaterPerSide>1001</ResultaterPerSide></search>",
        )
        .await;
        assert!(wide.contains("ResultaterPerSide"), "{wide}");
    });
}

#[test]
fn the_owner_writes() {
    everywhere(async |world: World| {
        let made = write(&world, "OpprettPerson", "<person><Etternavn>Ny</Etternavn><Fornavn>Helt</Fornavn><Kjønn><no:Verdi>2</no:Verdi></Kjønn></person>").await;
        let number = text_of(&made, "HPRNummer").unwrap().to_owned();
        let who = format!("<hprNummer>{number}</hprNummer>");
        let valid = "<no:Fra>2020-01-01T00:00:00</no:Fra>";
        let approval = format!(
            "{who}<godkjenning><Autorisasjon><no:Verdi>1</no:Verdi></Autorisasjon><Gyldig>{valid}</Gyldig><Helsepersonellkategori><no:Verdi>LE</no:Verdi></Helsepersonellkategori></godkjenning>"
        );
        let made = write(&world, "OpprettGodkjenning", &approval).await;
        let id = text_of(&made, "Id").unwrap().to_owned();
        let of = format!("<godkjenningId>{id}</godkjenningId>");
        let wrong_code = approval.replace(">LE<", ">QQ<");
        assert!(
            refused(&world, OWNER, "OpprettGodkjenning", &wrong_code)
                .await
                .contains("Helsepersonellkategori")
        );
        let right = format!(
            "{of}<rekvisisjonsrett><Gyldig>{valid}</Gyldig><Type><no:Verdi>1</no:Verdi></Type></rekvisisjonsrett>"
        );
        let made = write(&world, "OpprettRekvisisjonsrett", &right).await;
        let right = text_of(&made, "Id").unwrap().to_owned();
        let period = format!(
            "<suspensjonsPeriode><Periode>{valid}<no:Til>2020-02-01T00:00:00</no:Til></Periode></suspensjonsPeriode>"
        );
        let made = write(
            &world,
            "LeggTilGodkjenningSuspensjonsperiode",
            &format!("{of}{period}"),
        )
        .await;
        let suspension = text_of(&made, "Id").unwrap().to_owned();
        write(
            &world,
            "LeggTilGodkjenningVilkår",
            &format!("{of}<vilkår><Fritekst>Bare under veiledning</Fritekst></vilkår>"),
        )
        .await;
        let text = read(
            &world,
            "HentPerson",
            &format!("{who}<påTidspunkt>2020-01-15T00:00:00</påTidspunkt>"),
        )
        .await;
        for part in [
            "<Fritekst>Bare under veiledning</Fritekst>".to_owned(),
            format!("<Id>{suspension}</Id>"),
            format!("<Id>{right}</Id>"),
        ] {
            assert!(text.contains(&part), "{part}: {text}");
        }
        let later = read(&world, "HentPerson", &who).await;
        assert!(
            !later.contains(&format!("<Id>{suspension}</Id>")),
            "the suspension is over: {later}"
        );
        write(
            &world,
            "SlettSuspensjonsperiode",
            &format!("<suspensjonsperiodeId>{suspension}</suspensjonsperiodeId>"),
        )
        .await;
        assert!(
            refused(
                &world,
                OWNER,
                "SlettSuspensjonsperiode",
                &format!("<suspensjonsperiodeId>{suspension}</suspensjonsperiodeId>")
            )
            .await
            .contains("finnes ikke")
        );
        // Somebody has changed it since.
        let stale = format!(
            "<rekvisisjonsrett><ETag>0-0</ETag><Gyldig>{valid}</Gyldig><Id>{right}</Id><Type><no:Verdi>1</no:Verdi></Type></rekvisisjonsrett>"
        );
        assert!(
            refused(&world, OWNER, "OppdaterRekvisisjonsrett", &stale)
                .await
                .contains("endret siden")
        );
        let log = read(
            &world,
            "HentEndringerForPerson",
            &format!("{who}<fra>2000-01-01T00:00:00</fra>"),
        )
        .await;
        assert!(
            log.contains("<Tjenestebruker>OrgUsr994598759</Tjenestebruker>"),
            "{log}"
        );
        assert!(log.matches("<Endringslogginnslag>").count() >= 5, "{log}");
        // Two numbers of one person.
        let merged = write(
            &world,
            "SlåSammen",
            &format!("<hprDestinasjon>{HPR}</hprDestinasjon><hprUtgår>{number}</hprUtgår>"),
        )
        .await;
        assert_eq!(text_of(&merged, "HPRNummer"), Some(HPR));
        let text = read(&world, "HentPerson", &who).await;
        assert_eq!(text_of(&text, "HPRNummer"), Some(HPR), "the survivor");
        let events = tokio::task::block_in_place(|| world.personnel.events(1, 100)).unwrap();
        assert!(events.iter().any(|e| e.kind.name() == "HprNumbersMerged"));
        write(
            &world,
            "SlettPerson",
            &format!("<hprNummer>{HPR}</hprNummer>"),
        )
        .await;
        assert!(
            refused(
                &world,
                USER,
                "HentPerson",
                &format!("<hprNummer>{HPR}</hprNummer>")
            )
            .await
            .contains("HPR-nummer ikke funnet")
        );
    });
}

#[test]
fn institutions_numbers_and_internships() {
    everywhere(async |world: World| {
        let made = write(&world, "OpprettUtdanningsinstitusjon", "<utdanningsinstitusjon><Navn>Høgskolen</Navn><Organisasjonsnummer>999977775</Organisasjonsnummer></utdanningsinstitusjon>").await;
        let id = text_of(&made, "Id").unwrap().to_owned();
        assert!(
            read(&world, "HentUtdanningsinstitusjoner", "")
                .await
                .contains("<Navn>Høgskolen</Navn>")
        );
        let education = format!(
            "<hprNummer>{HPR}</hprNummer><utdannelse><Institution><Id>{id}</Id></Institution></utdannelse>"
        );
        assert!(
            write(&world, "OpprettUtdannelse", &education)
                .await
                .contains("<Navn>Høgskolen</Navn>")
        );
        write(
            &world,
            "SlettUtdanningsinstitusjon",
            &format!("<utdanningsinstitusjonId>{id}</utdanningsinstitusjonId>"),
        )
        .await;
        assert!(
            !read(&world, "HentUtdanningsinstitusjoner", "")
                .await
                .contains("Høgskolen")
        );
        let numbers = write(&world, "ReserverHPRNummerliste", "<antall>3</antall>").await;
        assert_eq!(numbers.matches("int>").count(), 6, "{numbers}");
        assert!(
            refused(
                &world,
                OWNER,
                "ReserverHPRNummerliste",
                "<antall>0</antall>"
            )
            .await
            .contains("antall")
        );
        write(
            &world,
            "SettTurnusTillattflaggPåHelsepersonellkategori",
            "<kategori>LE</kategori><flagg>false</flagg>",
        )
        .await;
        let allowed = read(&world, "HentHelsepersonellkategorierSomTillaterTurnus", "").await;
        assert!(
            !allowed.contains(">LE<") && allowed.contains(">FT<"),
            "{allowed}"
        );
    });
}

#[test]
fn what_the_register_says_counts_for_everybody_who_asks() {
    everywhere(async |world: World| {
        let day = jiff::civil::date(2026, 11, 22);
        let doctor = || world.table.practitioner_by_hpr(HPR).unwrap();
        assert!(doctor().active(Some("LE"), day).is_some());
        assert_eq!(world.table.practitioner_by_nin(DOCTOR), Some(doctor()));
        let text = read(
            &world,
            "HentPerson",
            &format!("<hprNummer>{HPR}</hprNummer>"),
        )
        .await;
        let approvals = text.split("<Godkjenning>").nth(1).unwrap();
        let id = approvals
            .match_indices("<Id>")
            .map(|(at, _)| &approvals[at + 4..at + 4 + approvals[at + 4..].find('<').unwrap()])
            .next()
            .unwrap();
        let period = format!(
            "<godkjenningId>{id}</godkjenningId><suspensjonsPeriode><Periode><no:Fra>2026-11-01T00:00:00</no:Fra></Periode></suspensjonsPeriode>"
        );
        write(&world, "LeggTilGodkjenningSuspensjonsperiode", &period).await;
        assert!(doctor().active(Some("LE"), day).is_none(), "suspended");
        assert!(
            doctor()
                .active(Some("LE"), jiff::civil::date(2026, 10, 31))
                .is_some()
        );
        write(
            &world,
            "SlettPerson",
            &format!("<hprNummer>{HPR}</hprNummer>"),
        )
        .await;
        assert!(world.table.practitioner_by_hpr(HPR).is_none());
    });
}
