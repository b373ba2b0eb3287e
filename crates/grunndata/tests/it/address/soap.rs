//! `ICommunicationPartyService` and the export.

use super::{DOCTOR, HOSPITAL, HOSPITAL_NO, OFFICE, OFFICE_NO, WARD, World, everywhere, text_of};
use axum::body::Body;
use axum::http::Request;

const ADMIN: &str = "OrgUsr994598759";

#[test]
fn a_party_as_the_message_library_reads_it() {
    everywhere(async |world: World| {
        let answer = world
            .ar(
                "GetCommunicationPartyDetails",
                &format!("<herId>{WARD}</herId>"),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let text = &answer.text;
        assert!(text.contains(r#"<GetCommunicationPartyDetailsResult"#));
        assert!(text.contains(r#"i:type="Service""#), "{text}");
        assert_eq!(text_of(text, "HerId"), Some("90012"));
        assert_eq!(text_of(text, "ParentHerId"), Some("90011"));
        assert_eq!(text_of(text, "IsValidCommunicationParty"), Some("true"));
        assert_eq!(text_of(text, "PostalCode"), Some("110"));
        for queue in ["async", "sync", "error", "syncreply"] {
            assert!(
                text.contains(&format!("localhost/Helsenav/{HOSPITAL}_{queue}")),
                "{queue}"
            );
        }
        assert!(text.contains("certificateSerialNumber=21"));
        // Alphabetical within the base type.
        let order = [
            "<Active>",
            "<CoverageAreaType",
            "<DisplayName",
            "<ElectronicAddresses",
            "<HerId>",
            "<LastChanged>",
            "<Municipality",
            "<Name>",
            "<PhysicalAddresses",
            "<Type>",
            "<Valid",
            "<Code",
        ];
        let places: Vec<usize> = order
            .iter()
            .map(|o| text.find(o).unwrap_or_else(|| panic!("{o}")))
            .collect();
        assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
    });
}

#[test]
fn an_unknown_her_id_is_the_fault_that_clients_compare_with() {
    everywhere(async |world: World| {
        for (operation, id) in [
            ("GetCommunicationPartyDetails", "1"),
            ("GetCommunicationPartyDetails", "-5"),
            ("GetServiceDetails", "90001"),
            ("GetOrganizationDetails", "90012"),
            ("GetCertificateDetailsForEncryption", "7"),
        ] {
            let answer = world.ar(operation, &format!("<herId>{id}</herId>")).await;
            assert_eq!(answer.status, 500, "{operation}");
            assert_eq!(
                text_of(&answer.text, "ErrorCode"),
                Some("InvalidHerIdSupplied")
            );
            assert_eq!(
                text_of(&answer.text, "Message"),
                Some("Kommunikasjonspart med oppgitt HER-id eksisterer ikke.")
            );
        }
    });
}

#[test]
fn who_is_let_in() {
    everywhere(async |world: World| {
        let answer = world.ar_as("OrgUsr123", "Ping", "").await;
        assert_eq!(answer.status, 401);
        assert!(
            answer.headers["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Basic")
        );
        let answer = world.ar("Ping", "").await;
        assert_eq!(text_of(&answer.text, "PingResult"), Some("Pong"));
    });
}

#[test]
fn persons_show_their_authorisation_and_no_national_id() {
    everywhere(async |world: World| {
        let answer = world
            .ar(
                "GetOrganizationPersonDetails",
                &format!("<herId>{DOCTOR}</herId>"),
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(text_of(&answer.text, "HPRNumber"), Some("1010037"));
        assert_eq!(text_of(&answer.text, "CitizenIdType"), Some("Invalid"));
        assert!(!answer.text.contains("14896849817"));
        assert!(
            answer.text.contains("Fjordglott legekontor AS"),
            "its organisation is shown"
        );
        // The organisation stands in the person, and says what it is (zeep).
        let whole = r#"<Organizations><Organization i:type="Organization"><Active>"#;
        assert!(answer.text.contains(whole), "{}", answer.text);
        let office = answer.text.split("</Organizations>").next().unwrap();
        assert!(office.contains(&format!("<HerId>{OFFICE}</HerId>")));
        assert!(office.contains("<People/>") || office.contains("<People></People>"));
    });
}

#[test]
fn searches_with_constraints_pages_and_facets() {
    everywhere(async |world: World| {
        let search = |constraints: &str, page: usize, size: usize| {
            format!(
                r#"<search><Page>{page}</Page><PageSize>{size}</PageSize><SearchConstraints xmlns:g="http://schemas.datacontract.org/2004/07/System.Collections.Generic">{constraints}</SearchConstraints></search>"#
            )
        };
        let pair = |key: &str, value: &str| {
            format!(
                "<g:KeyValuePairOfstringstring><g:key>{key}</g:key><g:value>{value}</g:value></g:KeyValuePairOfstringstring>"
            )
        };
        for (constraints, total) in [
            (String::new(), "4"),
            (pair("Type", "Organisation"), "2"),
            (pair("Type", "Person"), "1"),
            (pair("Type", "Department"), "0"),
            (pair("BusinessTypeCode", "103"), "2"),
            (
                pair("BusinessTypeCode", "103") + &pair("BusinessTypeCode", "101"),
                "4",
            ),
            (pair("HerId", "90012"), "1"),
            (pair("Name", "nordlys"), "1"),
            (pair("FullText", "medisinsk avd"), "1"),
            (pair("OrganizationNumber", OFFICE_NO), "2"),
            (pair("HprNumber", "1010037"), "1"),
            (pair("ServiceCode", "8668:02"), "1"),
            (pair("PostalCode", "110"), "4"),
            (pair("Name", "finnes ikke"), "0"),
        ] {
            let answer = world.ar("Search", &search(&constraints, 1, 10)).await;
            assert_eq!(answer.status, 200, "{constraints}: {}", answer.text);
            assert_eq!(
                text_of(&answer.text, "TotalResults"),
                Some(total),
                "{constraints}"
            );
        }
        let answer = world.ar("Search", &search("", 2, 3)).await;
        assert_eq!(answer.text.matches("<CommunicationParty ").count(), 1);
        assert_eq!(text_of(&answer.text, "TotalResults"), Some("4"));
        assert!(answer.text.contains("<Name>BusinessTypeCode</Name>"));
        let answer = world
            .ar("Search", &search(&pair("Nonsense", "x"), 1, 10))
            .await;
        assert_eq!(
            text_of(&answer.text, "ErrorCode"),
            Some("InvalidSearchConstraint")
        );
        for (id, count) in [
            (OFFICE_NO, 2),
            ("90012", 1),
            ("1010037", 1),
            ("4200123", 1),
            ("x", 0),
        ] {
            let answer = world.ar("SearchById", &format!("<id>{id}</id>")).await;
            assert_eq!(
                answer.text.matches("<CommunicationParty ").count(),
                count,
                "{id}"
            );
        }
    });
}

#[test]
fn certificates_by_party_number_and_directory_address() {
    everywhere(async |world: World| {
        let answer = world
            .ar(
                "GetCertificateDetailsForEncryption",
                &format!("<herId>{WARD}</herId>"),
            )
            .await;
        assert_eq!(text_of(&answer.text, "Certificate"), Some("AQEBAQ=="));
        let url = text_of(&answer.text, "LdapUrl").unwrap().to_owned();
        let answer = world
            .ar(
                "GetCertificateForValidatingSignatureLdap",
                &format!("<ldapUrl>{url}</ldapUrl>"),
            )
            .await;
        assert_eq!(
            text_of(
                &answer.text,
                "GetCertificateForValidatingSignatureLdapResult"
            ),
            Some("AgICAg==")
        );
        let answer = world
            .ar(
                "GetCertificateForEncryptionByOrganizationNumber",
                &format!("<organizationNumber>{HOSPITAL_NO}</organizationNumber>"),
            )
            .await;
        assert_eq!(
            text_of(
                &answer.text,
                "GetCertificateForEncryptionByOrganizationNumberResult"
            ),
            Some("AQEBAQ==")
        );
        let answer = world
            .ar(
                "GetCertificate",
                "<ldapUrl>ldap://x/?a?b?(certificateSerialNumber=999)</ldapUrl>",
            )
            .await;
        assert_eq!(
            text_of(&answer.text, "ErrorCode"),
            Some("CertificateNotFound")
        );
        let answer = world
            .ar("GetFallbackCertificates", &format!("<herId>{WARD}</herId>"))
            .await;
        assert_eq!(text_of(&answer.text, "FallbackSource"), Some("ParentName"));
        let answer = world.ar("SearchCertificatesForEncryption", "").await;
        assert_eq!(text_of(&answer.text, "ErrorCode"), Some("SearchTooWide"));
    });
}

const COMMON: &str = r#"xmlns:c="http://register.nhn.no/Common""#;

fn service_create(parent: u32, list: &str, code: &str) -> String {
    format!(
        r#"<t><Description>Ny</Description><ElectronicAddresses {COMMON}><c:ElectronicAddress><c:Address>12345678</c:Address><c:Inherited>false</c:Inherited><c:TypeCodeValue>E_TLF</c:TypeCodeValue></c:ElectronicAddress></ElectronicAddresses><ParentHerId>{parent}</ParentHerId><ServiceCode {COMMON}><c:CodeValue>{code}</c:CodeValue><c:OID>{list}</c:OID></ServiceCode></t>"#
    )
}

#[test]
fn services_are_made_under_ones_own_organisation_with_allowed_codes() {
    everywhere(async |world: World| {
        let answer = world
            .ar("CreateService", &service_create(OFFICE, "8666", "05"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let her_id = text_of(&answer.text, "HerId").unwrap().to_owned();
        assert_eq!(her_id, "90013", "the next free number");
        // A hospital's code under a GP office, an unknown code, somebody else's organisation.
        let answer = world
            .ar("CreateService", &service_create(OFFICE, "8659", "4"))
            .await;
        assert!(answer.text.contains("ValidationFault"), "{}", answer.text);
        assert_eq!(text_of(&answer.text, "PropertyName"), Some("ServiceCode"));
        let answer = world
            .ar(
                "CreateService",
                &service_create(OFFICE, "8666", "finnes-ikke"),
            )
            .await;
        assert_eq!(text_of(&answer.text, "HasErrors"), Some("true"));
        let answer = world
            .ar("CreateService", &service_create(HOSPITAL, "8666", "05"))
            .await;
        assert!(answer.text.contains("Access is denied."), "{}", answer.text);
        // The change log knows who.
        let answer = world
            .ar("GetChangeLog", &format!("<herId>{her_id}</herId>"))
            .await;
        assert_eq!(
            text_of(&answer.text, "ByUser"),
            Some(format!("OrgUsr{OFFICE_NO}").as_str())
        );
    });
}

#[test]
fn a_party_is_changed_ended_and_given_its_queues() {
    everywhere(async |world: World| {
        let update = format!(
            r#"<t><ElectronicAddresses {COMMON}><c:ElectronicAddress><c:Address>ikke-epost</c:Address><c:TypeCodeValue>E_EDI</c:TypeCodeValue></c:ElectronicAddress></ElectronicAddresses><HerId>{WARD}</HerId></t>"#
        );
        let user = format!("OrgUsr{HOSPITAL_NO}");
        let answer = world.ar_as(&user, "UpdateServiceDetails", &update).await;
        assert!(answer.text.contains("ValidationFault"), "{}", answer.text);
        let update = update.replace("ikke-epost", "ward@edi.example");
        let answer = world.ar_as(&user, "UpdateServiceDetails", &update).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(
            world.table.parties().party(WARD).unwrap().edi_address,
            "ward@edi.example"
        );
        let end = format!(
            r#"<herId>{WARD}</herId><period {COMMON}><c:From>2020-01-01T00:00:00</c:From><c:To>2021-01-01T00:00:00</c:To></period>"#
        );
        let answer = world.ar_as(ADMIN, "SetCommunicationPartyValid", &end).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = world
            .ar(
                "GetCommunicationPartyDetails",
                &format!("<herId>{WARD}</herId>"),
            )
            .await;
        assert_eq!(
            text_of(&answer.text, "IsValidCommunicationParty"),
            Some("false")
        );
        let create = format!(
            r#"<org><BusinessType {COMMON}><c:CodeValue>103</c:CodeValue><c:OID>9040</c:OID></BusinessType><OrganizationNumber>310000017</OrganizationNumber></org>"#
        );
        let answer = world.ar_as(ADMIN, "CreateOrganization", &create).await;
        assert_eq!(
            text_of(&answer.text, "Name"),
            Some("Ny klinikk AS"),
            "{}",
            answer.text
        );
        let her_id = text_of(&answer.text, "HerId").unwrap().to_owned();
        let again = world.ar_as(ADMIN, "CreateOrganization", &create).await;
        assert!(again.text.contains("ValidationFault"));
        let enable =
            |kind: &str| format!("<herId>{her_id}</herId><transportType>{kind}</transportType>");
        let answer = world
            .ar_as(ADMIN, "EnableTransportOnOrganization", &enable("Brevdue"))
            .await;
        assert_eq!(
            text_of(&answer.text, "ErrorCode"),
            Some("InvalidTransportType")
        );
        let answer = world
            .ar_as(ADMIN, "EnableTransportOnOrganization", &enable("Amqp"))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let answer = world
            .ar(
                "GetOrganizationDetails",
                &format!("<herId>{her_id}</herId>"),
            )
            .await;
        assert!(
            answer
                .text
                .contains(&format!("localhost/Helsenav/{her_id}_async"))
        );
    });
}

#[test]
fn both_generations_are_described_and_answered() {
    everywhere(async |world: World| {
        for (path, has, has_not) in [
            (
                "/v1/ar?singleWsdl",
                "GetChangedCommunicationPartiesInfo",
                "GetDepartmentDetails",
            ),
            (
                "/v1/AR/2016?wsdl",
                "GetDepartmentDetails",
                "UpdateCoverageAreas",
            ),
            (
                "/v1/ARExport?singlewsdl",
                "GetAllCommunicationPartiesXml",
                "Search",
            ),
        ] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = world.send(request).await;
            assert_eq!(answer.status, 200, "{path}");
            assert!(
                answer.text.contains(has) && !answer.text.contains(has_not),
                "{path}"
            );
        }
        let contract = (
            "http://register.nhn.no/CommunicationParty",
            "ICommunicationPartyService",
        );
        let user = format!("OrgUsr{OFFICE_NO}");
        let parameters = format!("<herId>{OFFICE}</herId>");
        let answer = world
            .soap(
                "/v1/AR/2016/Basic",
                contract,
                "GetOrganizationDetails",
                &parameters,
                &user,
            )
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert!(answer.text.contains("<Departments") && !answer.text.contains("CoverageAreaType"));
    });
}

#[test]
fn the_export_holds_every_party() {
    everywhere(async |world: World| {
        let contract = (
            "http://register.nhn.no/CommunicationParty",
            "IARExportService",
        );
        let user = format!("OrgUsr{OFFICE_NO}");
        let answer = world
            .soap(
                "/v1/ARExport",
                contract,
                "GetAllCommunicationPartiesXml",
                "",
                &user,
            )
            .await;
        let text = text_of(&answer.text, "GetAllCommunicationPartiesXmlResult").unwrap();
        let bytes =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
        let document = String::from_utf8(bytes).unwrap();
        assert!(
            document.starts_with("<ArrayOfCommunicationParty"),
            "{document}"
        );
        assert_eq!(document.matches("<CommunicationParty ").count(), 4);
    });
}

#[test]
fn other_reads() {
    everywhere(async |world: World| {
        let answer = world
            .ar(
                "GetChangedCommunicationPartiesInfo",
                r#"<herIds xmlns:a="http://schemas.microsoft.com/2003/10/Serialization/Arrays"><a:int>90001</a:int><a:int>1</a:int></herIds>"#,
            )
            .await;
        assert_eq!(
            answer
                .text
                .matches("<CommunicationPartyLastChangedInfo>")
                .count(),
            1,
            "{}",
            answer.text
        );
        let code =
            format!(r#"<code {COMMON}><c:CodeValue>101</c:CodeValue><c:OID>9040</c:OID></code>"#);
        let answer = world.ar("GetOrganizationsHavingCode", &code).await;
        assert_eq!(
            answer.text.matches("<Organization>").count(),
            1,
            "{}",
            answer.text
        );
        let answer = world.ar("GetCommunicationPartyStatistics", "").await;
        assert_eq!(
            answer.text.matches("<BusinessTypeStatistics>").count(),
            3,
            "two rows in their list"
        );
        let answer = world.ar("GetAllHFCommpartiesCsv", "").await;
        assert!(
            answer
                .text
                .contains("90012;90011;315900077;Service;Medisinsk avdeling")
        );
        let attribute = format!(
            r#"<herId>{OFFICE}</herId><code {COMMON}><c:CodeValue>x</c:CodeValue><c:OID>1</c:OID></code>"#
        );
        let answer = world.ar("AddCustomAttribute", &attribute).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let ids = r#"<herIds xmlns:a="http://schemas.microsoft.com/2003/10/Serialization/Arrays"><a:int>90001</a:int></herIds>"#;
        let answer = world.ar("GetCustomAttributes", ids).await;
        assert_eq!(
            text_of(&answer.text, "CodeValue"),
            Some("x"),
            "{}",
            answer.text
        );
        let answer = world
            .ar(
                "GetOrganizationUpdateStatistics",
                "<fromDate>2000-01-01T00:00:00</fromDate><toDate>2100-01-01T00:00:00</toDate>",
            )
            .await;
        assert!(
            answer.text.matches("<UpdateStatistic>").count() >= 2,
            "{}",
            answer.text
        );
        let answer = world.ar("GetLdapSearchProviders", "").await;
        assert_eq!(text_of(&answer.text, "DisplayName"), Some("Helsenav"));
    });
}
