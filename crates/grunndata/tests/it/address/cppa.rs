//! Collaboration protocols over REST and SOAP.

use super::{HOSPITAL, HOSPITAL_NO, NOW_S, OFFICE_NO, WARD, World, at, everywhere, text_of};
use edi::cppa::Taken;
use grunndata::cppa::rest::{AUDIENCE, PREFIX, SCOPE_V2};
use serde_json::{Value, json};

const DOCTOR: u32 = super::DOCTOR;
const EPIKRISE: &str = "4ab55eaa-a095-4a4f-96e4-48fbf577fe48";

fn taken(version: &str, role: &str) -> Taken {
    Taken {
        uuid: EPIKRISE.to_owned(),
        version: version.to_owned(),
        role: role.to_owned(),
    }
}

async fn call(
    world: &World,
    method: &str,
    path: &str,
    orgnr: &str,
    body: Option<Value>,
) -> super::Answer {
    let path = format!("{PREFIX}/v2{path}");
    world
        .rest((method, &path), (AUDIENCE, SCOPE_V2), orgnr, body, &[])
        .await
}

/// Runs blocking work of a test.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

async fn with_profiles(world: &World) {
    let cppa = world.cppa.clone();
    blocking(move || {
        let hospital = vec![
            taken("1.1", "EPIKRISEsender"),
            taken("1.2", "EPIKRISEsender"),
        ];
        let doctor = vec![
            taken("1.1", "EPIKRISEreceiver"),
            taken("1.2", "EPIKRISEreceiver"),
        ];
        cppa.set_roles(WARD, hospital).unwrap();
        cppa.set_roles(DOCTOR, doctor).unwrap();
    })
    .await;
}

#[test]
fn an_agreement_holds_until_something_changes() {
    everywhere(async |world: World| {
        let path = format!("/Agreements/HerIds/{DOCTOR}/{WARD}");
        assert_eq!(
            call(&world, "GET", &path, OFFICE_NO, None).await.status,
            404,
            "no profiles"
        );
        with_profiles(&world).await;
        let stranger = call(&world, "GET", &path, "310000017", None).await;
        assert_eq!(stranger.status, 404, "a third party makes no agreement");
        let first = call(&world, "GET", &path, OFFICE_NO, None).await;
        assert_eq!(first.status, 200, "{}", first.text);
        assert!(
            first.text.contains("tns:Status tns:value=\"proposed\""),
            "as every known document has it"
        );
        assert!(
            first.headers["content-type"]
                .to_str()
                .unwrap()
                .starts_with("application/xml")
        );
        assert!(
            first
                .text
                .contains("tns:name=\"Epikrise\" tns:version=\"1.2\"")
                && !first
                    .text
                    .contains("tns:name=\"Epikrise\" tns:version=\"1.1\"")
        );
        assert!(
            first
                .text
                .contains(&format!("localhost/Helsenav/{HOSPITAL}_async")),
            "inherited address"
        );
        let id = |text: &str| {
            let at = text.find("tns:cpaid=\"").unwrap() + 11;
            text[at..at + 36].to_owned()
        };
        let cpa = id(&first.text);
        // The same from the other side, and by its id.
        let turned = format!("/agreements/herids/{WARD}/{DOCTOR}");
        assert_eq!(
            id(&call(&world, "GET", &turned, OFFICE_NO, None).await.text),
            cpa
        );
        let by_id = call(
            &world,
            "GET",
            &format!("/Agreements/{cpa}"),
            OFFICE_NO,
            None,
        )
        .await;
        assert_eq!(by_id.text, first.text);
        // A new certificate of the organisation above makes it anew.
        let parties = world.table.parties().clone();
        let cppa = world.cppa.clone();
        blocking(move || {
            parties
                .update(HOSPITAL, at(NOW_S), |p| {
                    let mut line = p.certificates[0].clone();
                    line.serial = "99".to_owned();
                    line.der = vec![9; 4];
                    line.since = at(NOW_S);
                    p.certificates.push(line);
                })
                .unwrap();
            cppa.keep().unwrap();
        })
        .await;
        let second = call(&world, "GET", &path, OFFICE_NO, None).await;
        assert_ne!(id(&second.text), cpa);
        let summaries = call(
            &world,
            "GET",
            &format!("/AgreementSummaries/{WARD}"),
            OFFICE_NO,
            None,
        )
        .await
        .json();
        let states: Vec<&str> = summaries
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["status"].as_str().unwrap())
            .collect();
        assert_eq!(states, ["Active", "Terminated"]);
        assert_eq!(
            call(
                &world,
                "GET",
                &format!("/Agreements/{cpa}"),
                OFFICE_NO,
                None
            )
            .await
            .status,
            200,
            "messages on their way may name the earlier one"
        );
    });
}

#[test]
fn only_ones_own_profile_is_edited_and_agreements_are_revoked() {
    everywhere(async |world: World| {
        let path = format!("/Profiles/{WARD}/Processes");
        let body = json!([{"uuid": EPIKRISE, "version": "1.2", "role": "EPIKRISEsender"}]);
        let answer = call(&world, "PUT", &path, OFFICE_NO, Some(body.clone())).await;
        assert_eq!(answer.status, 403, "{}", answer.text);
        let wrong = json!([{"uuid": EPIKRISE, "version": "7", "role": "EPIKRISEsender"}]);
        assert_eq!(
            call(&world, "PUT", &path, HOSPITAL_NO, Some(wrong))
                .await
                .status,
            400
        );
        assert_eq!(
            call(&world, "PUT", &path, HOSPITAL_NO, Some(json!({})))
                .await
                .status,
            400
        );
        let answer = call(&world, "PUT", &path, HOSPITAL_NO, Some(body)).await;
        assert_eq!(answer.status, 204, "{}", answer.text);
        let profile = call(&world, "GET", &format!("/Profiles/{WARD}"), OFFICE_NO, None).await;
        assert!(profile.text.contains("tns:cppid=") && profile.text.contains("EPIKRISEsender"));
        let doctor = format!("/Profiles/{DOCTOR}/Processes");
        let receiver = json!({"uuid": EPIKRISE, "version": "1.2", "role": "EPIKRISEreceiver"});
        assert_eq!(
            call(&world, "POST", &doctor, OFFICE_NO, Some(receiver))
                .await
                .status,
            204
        );
        let between = format!("/Agreements/HerIds/{WARD}/{DOCTOR}");
        let made = call(&world, "GET", &between, OFFICE_NO, None).await;
        let begin = made.text.find("tns:cpaid=\"").unwrap() + 11;
        let cpa = &made.text[begin..begin + 36];
        let stranger = call(
            &world,
            "DELETE",
            &format!("/Agreements/{cpa}"),
            "310000017",
            None,
        )
        .await;
        assert_eq!(stranger.status, 403);
        let revoked = call(
            &world,
            "DELETE",
            &format!("/Agreements/{cpa}"),
            OFFICE_NO,
            None,
        )
        .await;
        assert_eq!(revoked.status, 204, "{}", revoked.text);
        assert_eq!(
            call(&world, "GET", &between, OFFICE_NO, None).await.status,
            404,
            "looking does not make a revoked agreement again"
        );
        let gone = format!("/Profiles/{WARD}/Processes/{EPIKRISE}/1.2/EPIKRISEsender");
        assert_eq!(
            call(&world, "DELETE", &gone, HOSPITAL_NO, None)
                .await
                .status,
            204
        );
        assert_eq!(
            call(&world, "GET", &format!("/Profiles/{WARD}"), OFFICE_NO, None)
                .await
                .status,
            404
        );
        let history = call(
            &world,
            "GET",
            &format!("/Profiles/{WARD}/History"),
            OFFICE_NO,
            None,
        )
        .await;
        assert_eq!(history.json().as_array().unwrap().len(), 2);
    });
}

#[test]
fn the_same_over_soap() {
    everywhere(async |world: World| {
        let user = format!("OrgUsr{HOSPITAL_NO}");
        let contract = (
            "http://schemas.nhn.no/reg/CollaborationProtocolProfile",
            "ICPPAService",
        );
        let soap = async |operation: &str, parameters: &str| {
            world
                .soap("/v1/CPPA/Basic", contract, operation, parameters, &user)
                .await
        };
        let answer = soap("GetCppXmlForCommunicationParty", "<herId>1</herId>").await;
        assert_eq!(
            text_of(&answer.text, "ErrorCode"),
            Some("InvalidHerIdSupplied")
        );
        let herid = format!("<herId>{WARD}</herId>");
        let answer = soap("GetCppXmlForCommunicationParty", &herid).await;
        assert_eq!(text_of(&answer.text, "ErrorCode"), Some("CppNotFound"));
        with_profiles(&world).await;
        let answer = soap("GetCppXmlForCommunicationParty", &herid).await;
        let text = text_of(&answer.text, "GetCppXmlForCommunicationPartyResult").unwrap();
        assert!(text.starts_with("&lt;?xml"), "the document as escaped text");
        let parameters = format!(
            "<communicationPartAHerId>{WARD}</communicationPartAHerId><communicationPartBHerId>{DOCTOR}</communicationPartBHerId>"
        );
        let answer = soap("GetCpaForCommunicationPartiesXml", &parameters).await;
        assert!(
            answer.text.contains("CollaborationProtocolAgreementXml"),
            "{}",
            answer.text
        );
        let answer = soap("GetCpaForCommunicationParties", &parameters).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let id = text_of(&answer.text, "Id").unwrap().to_owned();
        let answer = soap("GetCpaXml", &format!("<cpaId>{id}</cpaId>")).await;
        assert!(answer.text.contains(&id));
        let answer = soap(
            "GetCpaXml",
            "<cpaId>00000000-0000-0000-0000-000000000001</cpaId>",
        )
        .await;
        assert_eq!(text_of(&answer.text, "ErrorCode"), Some("CpaNotFound"));
        let answer = soap("GetProcessesInCpp", &herid).await;
        assert_eq!(
            answer.text.matches("VersionNumber").count(),
            4,
            "two versions: {}",
            answer.text
        );
        for operation in [
            "GetCppForCommunicationParty",
            "GetCpasForCommunicationParty",
        ] {
            let answer = soap(operation, &herid).await;
            assert_eq!(answer.status, 200, "{operation} {}", answer.text);
        }
        let answer = soap("GetAllCollaborationRoles", "").await;
        assert!(answer.text.matches("<RoleName>").count() > 400);
        let process = |her_id: u32, version: &str| {
            format!(
                r#"<processParameter xmlns:d="http://schemas.datacontract.org/2004/07/NHN.Palantir.WebServices.Contracts.CPPA.Data"><d:HerId>{her_id}</d:HerId><d:Name>Epikrise</d:Name><d:Process><d:Guid>{EPIKRISE}</d:Guid><d:VersionNumber>{version}</d:VersionNumber></d:Process></processParameter>"#
            )
        };
        let answer = soap("AddProcessToCpp", &process(DOCTOR, "1.2")).await;
        assert!(answer.text.contains("Access is denied."));
        let answer = soap("AddProcessToCpp", &process(WARD, "99")).await;
        assert_eq!(text_of(&answer.text, "ErrorCode"), Some("UnknownProcess"));
        let answer = soap("RemoveProcessFromCpp", &process(WARD, "1.1")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(world.cppa.profile(WARD).unwrap().roles.len(), 1);
        let revoke = format!("<cpaId>{id}</cpaId><herId>{WARD}</herId>");
        let answer = soap("RevokeCpa", &revoke).await;
        assert!(
            answer.status == 200 || answer.text.contains("CpaNotFound"),
            "{}",
            answer.text
        );
    });
}
