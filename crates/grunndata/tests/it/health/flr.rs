//! FLR: who is whose GP, with roles, the journal, the lists of offices, changes, the export.

use super::{
    DOCTOR, HPR, OFFICE, OTHER, OWNER, PATIENT, PROTECTED, UNIT, USER, World, everywhere, text_of,
};
use axum::http::StatusCode;
use registers::Directory as _;
use store::Durability;

async fn flr(
    world: &World,
    (path, interface): (&str, &str),
    user: &str,
    operation: &str,
    parameters: &str,
) -> (StatusCode, String) {
    let contract = format!("http://schemas.nhn.no/reg/flr/{interface}");
    world
        .call(path, &contract, operation, parameters, user)
        .await
}

const READ: (&str, &str) = ("/v2/flr", "IFlrReadOperations");
const WRITE: (&str, &str) = ("/v2/flrwrite", "IFlrWriteOperations");

async fn read(world: &World, user: &str, operation: &str, parameters: &str) -> String {
    let (status, text) = flr(world, READ, user, operation, parameters).await;
    assert_eq!(status, 200, "{operation}: {text}");
    text
}

pub async fn write(world: &World, operation: &str, parameters: &str) -> String {
    let (status, text) = flr(world, WRITE, OWNER, operation, parameters).await;
    assert_eq!(status, 200, "{operation}: {text}");
    text
}

fn contract(id: u32, max: u32) -> String {
    format!(
        "<gpContract><DoctorCycles><GPOnContractAssociation><HprNumber>{HPR}</HprNumber><Relationship><c:CodeValue>LPFL</c:CodeValue></Relationship><Valid><en:From>2020-01-01T00:00:00</en:From></Valid><WorkingPercentage>100</WorkingPercentage></GPOnContractAssociation></DoctorCycles><GPOfficeOrganizationNumber>{OFFICE}</GPOfficeOrganizationNumber><Id>{id}</Id><MaxPatients>{max}</MaxPatients><Municipality><c:CodeValue>0301</c:CodeValue></Municipality><Name>Lista</Name><Status><c:CodeValue>FAAA</c:CodeValue></Status><Valid><en:From>2020-01-01T00:00:00</en:From></Valid></gpContract>"
    )
}

fn association(nin: &str, contract: u32, from: &str) -> String {
    format!(
        "<association><GPContractId>{contract}</GPContractId><PatientNIN>{nin}</PatientNIN><Period><en:From>{from}T00:00:00</en:From></Period></association>"
    )
}

pub async fn filled(world: &World) {
    write(world, "CreateGPContract", &contract(1001, 2)).await;
    write(world, "CreateGPContract", &contract(1002, 10)).await;
    for nin in [PATIENT, PROTECTED] {
        let line = association(nin, 1001, "2021-01-01");
        write(world, "CreatePatientToGPContractAssociation", &line).await;
    }
}

#[test]
fn who_is_whose_gp() {
    everywhere(async |world: World| {
        filled(&world).await;
        let of = |nin: &str| format!("<patientNin>{nin}</patientNin>");
        let text = read(&world, OTHER, "GetPatientGPDetails", &of(PATIENT)).await;
        assert_eq!(text_of(&text, "PatientNIN"), Some(PATIENT));
        assert_eq!(text_of(&text, "HprNumber"), Some(HPR));
        assert_eq!(
            text_of(&text, "PlacesAvailable"),
            Some("0"),
            "two of two: {text}"
        );
        for nin in ["12345678999", "tull", ""] {
            let (status, text) = flr(&world, READ, USER, "GetPatientGPDetails", &of(nin)).await;
            assert_eq!(status, 500);
            assert_eq!(text_of(&text, "ErrorCode"), Some("Feil"));
            assert_eq!(
                text_of(&text, "Message"),
                Some("ArgumentException: patientNin er ugyldig")
            );
            assert!(
                nin.len() <= 4 || !text.contains(nin),
                "the number is not told back"
            );
        }
        let (day, hpr) = (
            "<atTime>2021-01-01T00:00:00</atTime>",
            format!("<hprNumber>{HPR}</hprNumber>"),
        );
        for (parameters, is_gp) in [
            (format!("{}{hpr}", of(PATIENT)), "true"),
            (format!("{}{hpr}{day}", of(PATIENT)), "true"),
            (
                format!("{}{hpr}<atTime>2020-12-31T23:59:59</atTime>", of(PATIENT)),
                "false",
            ),
            (format!("{}<hprNumber>5</hprNumber>", of(PATIENT)), "false"),
        ] {
            let text = read(&world, USER, "ConfirmGP", &parameters).await;
            assert!(
                text.contains(&format!(">{is_gp}</ConfirmGPResult>")),
                "{parameters}: {text}"
            );
        }
        let at_time = format!(
            "<patientNins><NinWithTimestamp><AtTime>2020-06-01T00:00:00</AtTime><NIN>{PATIENT}</NIN></NinWithTimestamp><NinWithTimestamp><AtTime>2022-06-01T00:00:00</AtTime><NIN>{PATIENT}</NIN></NinWithTimestamp></patientNins>"
        );
        let text = read(&world, USER, "GetPatientsGPDetailsAtTime", &at_time).await;
        assert_eq!(
            text.matches("<PatientNIN>").count(),
            1,
            "nobody before: {text}"
        );
    });
}

#[test]
fn look_ups_are_journalled_protected_persons_before_the_answer() {
    everywhere(async |world: World| {
        filled(&world).await;
        world.journal.lock().unwrap().clear();
        let both = format!(
            "<patientNins><arr:string>{PATIENT}</arr:string><arr:string>{PROTECTED}</arr:string></patientNins>"
        );
        read(&world, USER, "GetPatientsGPDetails", &both).await;
        let lines = world.journal.lock().unwrap();
        let durabilities: Vec<Durability> = lines.iter().map(|(_, d)| *d).collect();
        assert_eq!(durabilities.len(), 2);
        assert!(durabilities.contains(&Durability::BeforeAnswer));
        assert!(
            lines
                .iter()
                .all(|(e, _)| e.members["actor.orgnr_parent"] == OFFICE)
        );
    });
}

#[test]
fn lists_of_an_office_and_roles() {
    everywhere(async |world: World| {
        filled(&world).await;
        let list = "<gpContractId>1001</gpContractId>";
        let text = read(&world, USER, "GetGPPatientList", list).await;
        assert_eq!(text.matches("<PatientNIN>").count(), 2);
        for (user, operation, status) in [
            (OTHER, "GetGPPatientList", 500),
            (OTHER, "GetGPContract", 200),
            (USER, "GetGPContract", 200),
            (OWNER, "GetGPPatientList", 200),
            (USER, "GetGPContractForNav", 500),
        ] {
            let (found, text) = flr(&world, READ, user, operation, list).await;
            assert_eq!(found.as_u16(), status, "{user} {operation}: {text}");
        }
        let (status, _) = flr(&world, WRITE, USER, "CreateGPContract", &contract(7, 7)).await;
        assert_eq!(status, 500, "the writer only");
        let office = format!("<organizationNumber>{OFFICE}</organizationNumber>");
        let text = read(&world, USER, "GetGPContractsOnOffice", &office).await;
        assert_eq!(text.matches("<GPContract>").count(), 2);
        let search = |page: u32, size: u32| {
            format!(
                "<searchParameters><FullText>dyktig</FullText><Page>{page}</Page><PageSize>{size}</PageSize></searchParameters>"
            )
        };
        let text = read(&world, USER, "SearchForGP", &search(1, 10)).await;
        assert_eq!(text_of(&text, "Total"), Some("1"));
        for (page, size) in [(0, 10), (1, 0), (1, 1001), (100_001, 1)] {
            let (status, text) = flr(&world, READ, USER, "SearchForGP", &search(page, size)).await;
            assert_eq!(status, 500, "{page} {size}: {text}");
        }
    });
}

#[test]
fn changes_of_lists() {
    everywhere(async |world: World| {
        filled(&world).await;
        let move_to = association(PATIENT, 1002, "2022-01-01")
            .replace("association", "PatientToGPContractAssociation");
        let from = format!(
            "<fromGPContractId>1001</fromGPContractId><patientsToMove>{move_to}</patientsToMove>"
        );
        write(&world, "MovePatients", &from).await;
        let (status, _) = flr(&world, WRITE, OWNER, "MovePatients", &from).await;
        assert_eq!(status, 500, "is not there any more");
        let history = read(
            &world,
            USER,
            "GetPatientGPHistory",
            &format!("<patientNin>{PATIENT}</patientNin>"),
        )
        .await;
        assert_eq!(history.matches("<PatientNIN>").count(), 2);
        assert!(
            history.contains("<b:To>2022-01-01T00:00:00</b:To>"),
            "the old line ends where the new one begins: {history}"
        );
        let substitute = "<association><GPContractId>1002</GPContractId><HprNumber>77</HprNumber><Relationship><c:CodeValue>LPVI</c:CodeValue></Relationship><SubstituteForHprNumber>5</SubstituteForHprNumber><Valid><en:From>2026-01-01T00:00:00</en:From></Valid></association>";
        let (status, _) = flr(
            &world,
            WRITE,
            OWNER,
            "CreateGPOnContractAssociation",
            substitute,
        )
        .await;
        assert_eq!(status, 500, "a substitute for nobody on the contract");
        let right = substitute.replace(">5<", &format!(">{HPR}<"));
        let made = write(&world, "CreateGPOnContractAssociation", &right).await;
        assert!(
            text_of(&made, "CreateGPOnContractAssociationResult").is_some()
                || made.contains("CreateGPOnContractAssociationResult")
        );
        write(
            &world,
            "UpdateGPContractMaxPatients",
            "<gpContractId>1002</gpContractId><maxPatients>1</maxPatients>",
        )
        .await;
        let text = read(
            &world,
            USER,
            "GetGPContract",
            "<gpContractId>1002</gpContractId>",
        )
        .await;
        assert_eq!(text_of(&text, "PlacesAvailable"), Some("0"));
        write(&world, "CancelPatientOnGPContract", &format!("<gpContractId>1002</gpContractId><patientNin>{PATIENT}</patientNin><endReason><c:CodeValue>OHID</c:CodeValue></endReason><lastChanged>2026-01-01T00:00:00</lastChanged>")).await;
        let (status, text) = flr(
            &world,
            READ,
            USER,
            "GetPatientGPDetails",
            &format!("<patientNin>{PATIENT}</patientNin>"),
        )
        .await;
        assert_eq!(
            (status.as_u16(), text_of(&text, "Message")),
            (500, Some("ArgumentException: Pasienten har ingen fastlege"))
        );
        write(
            &world,
            "UpdatePatientNin",
            &format!("<oldNin>{PROTECTED}</oldNin><newNin>{PATIENT}</newNin>"),
        )
        .await;
        assert_eq!(world.lists.history(PATIENT.parse().unwrap()).len(), 3);
    });
}

/// What services and portals ask: the person with her GP.
#[test]
fn a_change_of_gp_reaches_whoever_asks_for_the_person() {
    everywhere(async |world: World| {
        let gp = || world.table.person(PATIENT).unwrap().gp;
        assert_eq!(gp(), None, "on no list");
        filled(&world).await;
        let at_first = gp().unwrap();
        assert_eq!(
            (at_first.hpr.as_deref(), at_first.orgnr.as_str()),
            (Some(HPR), OFFICE)
        );
        assert!(at_first.substitutes.is_empty());
        // Half past twelve in Norway has been when it is noon in UTC.
        let from = "2026-11-22T12:30:00";
        let without_doctor = contract(1003, 10)
            .replace("LPFL", "LPVI")
            .replace(HPR, "1010045");
        write(&world, "CreateGPContract", &without_doctor).await;
        let line = format!(
            "<PatientToGPContractAssociation><GPContractId>1003</GPContractId><PatientNIN>{PATIENT}</PatientNIN><Period><en:From>{from}</en:From></Period></PatientToGPContractAssociation>"
        );
        let moved = format!(
            "<fromGPContractId>1001</fromGPContractId><patientsToMove>{line}</patientsToMove>"
        );
        write(&world, "MovePatients", &moved).await;
        assert_eq!(
            gp().unwrap().hpr,
            None,
            "the new list has no doctor of its own"
        );
        let substitute = format!(
            "<association><GPContractId>1001</GPContractId><HprNumber>77</HprNumber><Relationship><c:CodeValue>LPVI</c:CodeValue></Relationship><SubstituteForHprNumber>{HPR}</SubstituteForHprNumber><Valid><en:From>2026-01-01T00:00:00</en:From><en:To>2026-12-01T00:00:00</en:To></Valid></association>"
        );
        write(&world, "CreateGPOnContractAssociation", &substitute).await;
        let other = world.table.person(PROTECTED).unwrap().gp.unwrap();
        let [substitute] = &other.substitutes[..] else {
            panic!("one substitute: {other:?}")
        };
        assert_eq!(substitute.hpr, "77");
        assert_eq!(
            substitute.to,
            jiff::civil::date(2026, 11, 30),
            "the last day inside"
        );
        let cancelled = format!(
            "<gpContractId>1003</gpContractId><patientNin>{PATIENT}</patientNin><lastChanged>2026-11-22T12:45:00</lastChanged>"
        );
        write(&world, "CancelPatientOnGPContract", &cancelled).await;
        assert_eq!(gp(), None, "off every list");
    });
}

/// Whoever comes into the registers with a GP is put on that list.
#[test]
fn a_newcomer_with_a_gp_comes_onto_the_list() {
    everywhere(async |world: World| {
        filled(&world).await;
        let mut newcomer = world.table.person(PROTECTED).unwrap();
        newcomer.nin = "12705825562".to_owned();
        newcomer.protection = registers::Protection::Unclassified;
        let row = |p: &registers::Person| registers::table::Row::Person(Box::new(p.clone()));
        let import = |p: &registers::Person| {
            tokio::task::block_in_place(|| world.table.import(vec![row(p)]))
        };
        import(&newcomer).unwrap();
        import(&newcomer).unwrap();
        let number = newcomer.nin.parse().unwrap();
        assert_eq!(world.lists.history(number).len(), 1, "once");
        assert_eq!(world.table.person(&newcomer.nin).unwrap().gp, newcomer.gp);
        newcomer.gp.as_mut().unwrap().orgnr = "999977775".to_owned();
        newcomer.nin = "13116900216".to_owned();
        assert!(import(&newcomer).is_err(), "no such list");
    });
}

#[test]
fn the_export_is_an_archive() {
    everywhere(async |world: World| {
        filled(&world).await;
        let export = ("/v2/flrexport", "IFlrExportOperations");
        let (status, _) = flr(&world, export, USER, "ExportGPContracts", "").await;
        assert_eq!(status, 500, "not for everybody");
        let (status, text) = flr(
            &world,
            export,
            OWNER,
            "ExportGPContracts",
            "<searchParameters><GetFullPersonInfo>true</GetFullPersonInfo></searchParameters>",
        )
        .await;
        assert_eq!(status, 200, "{text}");
        let packed = text.split("ExportGPContractsResult").nth(1).unwrap();
        let packed = &packed[packed.find('>').unwrap() + 1..packed.rfind("</").unwrap()];
        use base64::Engine;
        let zip = base64::engine::general_purpose::STANDARD
            .decode(packed)
            .unwrap();
        assert!(zip.starts_with(b"PK\x03\x04"));
        let name = format!("{OFFICE}.xml");
        assert!(zip.windows(name.len()).any(|w| w == name.as_bytes()));
    });
}

#[test]
fn what_is_set_of_an_office() {
    everywhere(async |world: World| {
        filled(&world).await;
        let of = format!("<organizationNumber>{OFFICE}</organizationNumber>");
        let shown = async |world: &World| {
            let id = "<gpContractId>1001</gpContractId>";
            read(world, USER, "GetGPContract", id).await
        };
        let name = format!("{of}<displayName>Legene på hjørnet</displayName>");
        write(&world, "SetDisplayNameOnGPOffice", &name).await;
        let district = format!(
            "{of}<district><c:CodeValue>030105</c:CodeValue></district><isGroupOffice>true</isGroupOffice>"
        );
        write(&world, "SetDistrictAndIsGroupOffice", &district).await;
        let address = |kind: &str| {
            format!(
                "{of}<electronicAddresses><c:ElectronicAddress><c:Address>22 00 00 00</c:Address><c:TypeCodeValue>{kind}</c:TypeCodeValue></c:ElectronicAddress></electronicAddresses>"
            )
        };
        write(&world, "SetElectronicAddresses", &address("E_TLF")).await;
        let visit = format!(
            "{of}<address><c:City>OSLO</c:City><c:PostalCode>155</c:PostalCode><c:StreetAddress>Hjørnet 1</c:StreetAddress></address>"
        );
        write(&world, "SetCustomFloAddress", &visit).await;
        let text = shown(&world).await;
        for part in [
            ">Legene på hjørnet<",
            ">22 00 00 00<",
            ">Hjørnet 1<",
            ">155<",
            ">030105<",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(text_of(&text, "IsGroupOffice"), Some("true"));
        let near = read(
            &world,
            USER,
            "GetGPContractIdsOperatingInPostalCode",
            "<postNr>015</postNr>",
        )
        .await;
        assert!(near.contains(">1001<") && near.contains(">1002<"), "{near}");
        write(&world, "DeleteCustomFloAddress", &of).await;
        let near = read(
            &world,
            USER,
            "GetGPContractIdsOperatingInPostalCode",
            "<postNr>015</postNr>",
        )
        .await;
        assert!(!near.contains(">1001<"), "{near}");
        // Nobody's office, and an address without its kind.
        let other = "<organizationNumber>1</organizationNumber>";
        for (operation, parameters) in [
            ("DeleteCustomFloAddress", other.to_owned()),
            ("SetElectronicAddresses", address("")),
        ] {
            let (status, text) = flr(&world, WRITE, OWNER, operation, &parameters).await;
            assert_eq!(status, 500, "{text}");
            assert_eq!(text_of(&text, "ErrorCode"), Some("Feil"));
        }
    });
}

/// Stock clients take the first address of the office, and know the GP by national id.
#[test]
fn an_office_has_the_addresses_of_the_organisation_register() {
    everywhere(async |world: World| {
        filled(&world).await;
        let at_unit = contract(1003, 10).replace(OFFICE, UNIT);
        write(&world, "CreateGPContract", &at_unit).await;
        for id in [1001, 1003] {
            let asked = format!("<gpContractId>{id}</gpContractId>");
            let text = read(&world, USER, "GetGPContract", &asked).await;
            let office = text.split_once("<GPOffice").unwrap().1;
            assert_eq!(text_of(office, "StreetAddress"), Some("Torget 1"), "{id}");
            assert_eq!(text_of(office, "PostalCode"), Some("902"));
            for part in [">RES<", ">22 11 11 11<", ">Norge<", ">landkoder<"] {
                assert!(office.contains(part), "{part}: {office}");
            }
        }
        let one = format!("<patientNin>{PATIENT}</patientNin>");
        let text = read(&world, USER, "GetPatientGPDetails", &one).await;
        assert_eq!(text_of(&text, "NIN"), Some(DOCTOR), "{text}");
        let here = async |prefix: &str| {
            let asked = format!("<postNr>{prefix}</postNr>");
            read(
                &world,
                USER,
                "GetGPContractIdsOperatingInPostalCode",
                &asked,
            )
            .await
        };
        let near = here("09").await;
        assert!(near.contains(">1001<") && near.contains(">1003<"), "{near}");
        assert!(!here("0901").await.contains(">1001<"));
    });
}

#[test]
fn whose_patient_a_protected_person_is_only_few_may_know() {
    everywhere(async |world: World| {
        filled(&world).await;
        let one = format!("<patientNin>{PROTECTED}</patientNin>");
        let text = read(&world, USER, "GetPatientGPDetails", &one).await;
        assert_eq!(
            text_of(&text, "PatientNIN"),
            Some(PROTECTED),
            "her own office"
        );
        let text = read(&world, OWNER, "GetPatientGPDetails", &one).await;
        assert_eq!(
            text_of(&text, "PatientNIN"),
            Some(PROTECTED),
            "the register"
        );
        let (status, text) = flr(&world, READ, OTHER, "GetPatientGPDetails", &one).await;
        assert_eq!(status, 500);
        assert_eq!(
            text_of(&text, "Message"),
            Some("ArgumentException: Pasienten har ingen fastlege"),
            "to others she is without a GP"
        );
        let lines = world.journal.lock().unwrap().clone();
        let last = &lines.last().unwrap().0;
        assert_eq!(
            last.persons.len(),
            1,
            "that she was looked for is in the journal"
        );
        let at_time = format!(
            "<patientNins><NinWithTimestamp><AtTime>2022-06-01T00:00:00</AtTime><NIN>{PROTECTED}</NIN></NinWithTimestamp></patientNins>"
        );
        let text = read(&world, OTHER, "GetPatientsGPDetailsAtTime", &at_time).await;
        assert!(!text.contains("<PatientNIN>"), "{text}");
        // A role that this user has not: refused, and in the journal.
        let (status, _) = flr(&world, READ, OTHER, "ConfirmGP", &one).await;
        assert_eq!(status, 500);
        let lines = world.journal.lock().unwrap().clone();
        let last = &lines.last().unwrap().0;
        assert_eq!(last.members["outcome"], "deny");
        assert_eq!(last.members["operation"], "ConfirmGP");
        assert!(last.persons.is_empty());
    });
}
