//! The whole catalogue of messages as one table: each is recognised by its namespace, its version is named and judged, its
//! functions lead to it, and it is answered with the receipt of the right version.

use edi::apprec::{AppRec, ErrorCode, Status, Version};
use edi::catalogue::MessageKind as M;
use edi::catalogue::functions::kind_of;
use edi::catalogue::versions::Standing::{self, Coming, Current, Older, TooOld};
use edi::message::{Header, identify, identify_doc};
use edi::report::{Language, explain};
use edi::xml::XmlDoc;

const K: &str = "http://www.kith.no/xmlstds/";
const E: &str = "http://ehelse.no/xmlstds/";

/// Base, rest of the namespace, kind, version as it is named, how it stands, version of its receipt.
type Row = (
    &'static str,
    &'static str,
    M,
    &'static str,
    Standing,
    Version,
);
use Version::{V1_0, V1_1};

const ROWS: &[Row] = &[
    (
        K,
        "henvisning/2005-07-08",
        M::Henvisning,
        "1.0",
        Older,
        V1_0,
    ),
    (
        K,
        "henvisning/2012-02-15",
        M::Henvisning,
        "1.1",
        Older,
        V1_1,
    ),
    (
        E,
        "henvisning/2017-11-30",
        M::Henvisning,
        "2.0",
        Current,
        V1_1,
    ),
    (K, "epikrise", M::Epikrise, "1.0", TooOld, V1_0),
    (K, "epikrise/2006-09-23", M::Epikrise, "1.1", Older, V1_0),
    (K, "epikrise/2012-02-15", M::Epikrise, "1.2", Current, V1_1),
    (
        K,
        "rekvisisjon/2005-05-20",
        M::Rekvisisjon,
        "1.4",
        TooOld,
        V1_0,
    ),
    (
        K,
        "rekvisisjon/2008-12-01",
        M::Rekvisisjon,
        "1.5",
        Older,
        V1_0,
    ),
    (
        K,
        "rekvisisjon/2012-02-15",
        M::Rekvisisjon,
        "1.6",
        Current,
        V1_1,
    ),
    (K, "labsvar/2005-03-14", M::Svarrapport, "1.2", TooOld, V1_0),
    (K, "labsvar/2008-12-01", M::Svarrapport, "1.3", Older, V1_0),
    (
        K,
        "labsvar/2012-02-15",
        M::Svarrapport,
        "1.4",
        Current,
        V1_1,
    ),
    (
        K,
        "dialog/2006-10-11",
        M::Dialogmelding,
        "1.0",
        Current,
        V1_0,
    ),
    (
        K,
        "dialog/2013-01-23",
        M::Dialogmelding,
        "1.1",
        Current,
        V1_1,
    ),
    (
        K,
        "po/Innleggelsesrapport/2009-06-30",
        M::Plo,
        "1.5 Innleggelsesrapport",
        Older,
        V1_0,
    ),
    (
        K,
        "po/Innleggelsesrapport/2012-04-01",
        M::Plo,
        "1.6 Innleggelsesrapport",
        Current,
        V1_1,
    ),
    (
        K,
        "po/HelseopplysningerVedSoknad/2012-04-01",
        M::Plo,
        "1.6 HelseopplysningerVedSoknad",
        Current,
        V1_1,
    ),
    (
        K,
        "po/TverrfagligEpikrise/2012-04-01",
        M::Plo,
        "1.6 TverrfagligEpikrise",
        Current,
        V1_1,
    ),
    (
        K,
        "po/Pasientlogistikk/2012-04-01",
        M::Plo,
        "1.6 Pasientlogistikk",
        Current,
        V1_1,
    ),
    (
        K,
        "po/HelseopplysningerTilLege/2012-04-01",
        M::Plo,
        "1.6 HelseopplysningerTilLege",
        Current,
        V1_1,
    ),
    (
        K,
        "po/Konsultasjon/2009-06-30",
        M::Plo,
        "1.5 Konsultasjon",
        Older,
        V1_0,
    ),
    (
        K,
        "po/MedisinskeOpplysninger/2012-04-01",
        M::Plo,
        "1.6 MedisinskeOpplysninger",
        Current,
        V1_1,
    ),
    (
        K,
        "po/OrienteringOmTjenestetilbud/2012-04-01",
        M::Plo,
        "1.6 OrienteringOmTjenestetilbud",
        Current,
        V1_1,
    ),
    (
        K,
        "po/MeldingFravar/2009-06-30",
        M::Plo,
        "1.5 MeldingFravar",
        Current,
        V1_0,
    ),
    (
        E,
        "po/Pasientlogistikk/2016-05-30",
        M::Plo,
        "2.0 Pasientlogistikk",
        Coming,
        V1_1,
    ),
    (
        K,
        "epj/EPJEkstrakt/2008-02-20",
        M::EpjEkstrakt,
        "1.4",
        Current,
        V1_1,
    ),
    (
        K,
        "sysvak/kodeverkrequest/2008-01-01",
        M::Sysvak,
        "kodeverkrequest 2008-01-01",
        Current,
        V1_1,
    ),
    (
        K,
        "sysvak/hendelserequest/2008-01-01",
        M::Sysvak,
        "hendelserequest 2008-01-01",
        Current,
        V1_1,
    ),
    (
        K,
        "sysvak/sokresponse/2008-01-01",
        M::Sysvak,
        "sokresponse 2008-01-01",
        Current,
        V1_1,
    ),
    (
        K,
        "legeerklaring/2008-06-06",
        M::Legeerklaering,
        "1.0",
        Current,
        V1_0,
    ),
    (
        K,
        "helseopplysningerNAV/2013-10-01",
        M::Sykmelding,
        "1.3",
        Current,
        V1_0,
    ),
    (
        K,
        "sykmelding/2011-03-04",
        M::Sykmelding,
        "1.1",
        Older,
        V1_0,
    ),
    (
        K,
        "nav/innrapporteringtrekk/2010-02-04",
        M::Trekk,
        "1.0",
        Current,
        V1_0,
    ),
    (
        K,
        "bkm/2006-12-20",
        M::Behandlerkrav,
        "1.8.3",
        Current,
        V1_0,
    ),
    (
        K,
        "nav/egenandel/2010-02-01",
        M::Egenandel,
        "2010-02-01",
        Older,
        V1_0,
    ),
    (
        K,
        "nav/egenandel/2016-06-10",
        M::Egenandel,
        "2016-06-10",
        Current,
        V1_0,
    ),
    (
        K,
        "nav/fastlege/2010-02-01",
        M::Fastlege,
        "1.0",
        Current,
        V1_0,
    ),
    (
        K,
        "nav/pasientliste/2010-02-01",
        M::Pasientliste,
        "1.0",
        Current,
        V1_0,
    ),
    (
        K,
        "eresept/m1/2013-10-08",
        M::EResept,
        "M1 2013-10-08",
        Current,
        V1_0,
    ),
    (
        K,
        "eresept/m1/2010-05-01",
        M::EResept,
        "M1 2010-05-01",
        Older,
        V1_0,
    ),
    (
        K,
        "eresept/m1/2006-01-01",
        M::EResept,
        "M1 2006-01-01",
        TooOld,
        V1_0,
    ),
    (
        "http://www.ehelse.no/xmlstds/",
        "eresept/m98/2018-07-01",
        M::EResept,
        "M98 2018-07-01",
        Current,
        V1_0,
    ),
    (
        "http://www.ehelse.no/xmlstds/",
        "eresept/mv/2030-01-01",
        M::EResept,
        "MV 2030-01-01",
        Coming,
        V1_0,
    ),
    (
        "http://www.npr.no/xmlstds/",
        "53_1_2",
        M::Registermelding,
        "",
        Standing::NotListed,
        V1_1,
    ),
    (
        K,
        "brystkreft",
        M::Kreftmelding,
        "",
        Standing::NotListed,
        V1_1,
    ),
    (K, "solide", M::Kreftmelding, "", Standing::NotListed, V1_1),
    (
        K,
        "nonsolide",
        M::Kreftmelding,
        "",
        Standing::NotListed,
        V1_1,
    ),
    (
        K,
        "dat/moas/2008-09-29",
        M::Yrkesskade,
        "1.0",
        Standing::NotListed,
        V1_1,
    ),
    (
        E,
        "MeldingInnbygger/2018-09-25",
        M::InnbyggerMelding,
        "2018-09-25",
        Current,
        V1_1,
    ),
    (
        E,
        "Videreformidling/2018-09-25",
        M::InnbyggerMelding,
        "2018-09-25",
        Current,
        V1_1,
    ),
    (
        E,
        "leveringsrapport/2018-08-14",
        M::InnbyggerMelding,
        "2018-08-14",
        Current,
        V1_1,
    ),
    (E, "reservasjon/v2.0", M::Personvern, "v2.0", Current, V1_1),
    (E, "samtykke/v1.0", M::Personvern, "v1.0", Current, V1_1),
    (
        E,
        "tilgangsbegrensning/v1.0",
        M::Personvern,
        "v1.0",
        Current,
        V1_1,
    ),
    (
        E,
        "tjenesteoversikt",
        M::Tjenesteoversikt,
        "",
        Standing::NotListed,
        V1_1,
    ),
    (
        "urn:ietf:params:xml:ns:",
        "icalendar-2.0",
        M::Kalender,
        "2.0",
        Standing::NotListed,
        V1_1,
    ),
    (K, "apprec/2004-11-21", M::AppRec, "1.0", Older, V1_1),
    (K, "apprec/2012-02-15", M::AppRec, "1.1", Current, V1_1),
];

#[test]
fn every_message_of_the_catalogue_is_recognised_and_judged() {
    let mut wrong = Vec::new();
    for (base, rest, kind, version, standing, receipt) in ROWS {
        let xml = format!("<Message xmlns=\"{base}{rest}\"/>");
        let found = identify(xml.as_bytes());
        let named = found.version.clone().unwrap_or_default();
        let answered = Version::for_message(&found);
        if (found.kind, named.as_str(), found.standing, answered)
            != (*kind, *version, *standing, *receipt)
        {
            wrong.push(format!(
                "{rest}: {:?} {named:?} {:?} {answered:?}",
                found.kind, found.standing
            ));
        }
        // The judgement stands in the report, in words.
        let text = explain(xml.as_bytes(), &edi::check::Options::default());
        let text = text.to_text(Language::En);
        let words = match standing {
            Current => "is the current version",
            Older => "there is a newer version",
            TooOld => "obsolete version",
            Coming => "not in use yet",
            Standing::NotListed => "",
        };
        if !text.contains(words) {
            wrong.push(format!("{rest}: «{words}» is not in the report"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Functions (8279) of the catalogue, and the document that each carries; none where it may be several.
const FUNCTIONS: &[(&[&str], Option<M>)] = &[
    (
        &["HENVISNING", "HENVISNING_NYTILSTAND", "HENVISNING_VIDERE"],
        Some(M::Henvisning),
    ),
    (
        &[
            "TILBAKEMELD",
            "DIALOG_STATUS_HENVISNING",
            "DIALOG_FORESPORSEL",
            "DIALOG_SVAR",
            "DIALOG_NOTAT",
            "DIALOG_AVVIK",
            "DIALOG_HELSEFAGLIG",
            "DIALOG_TIL_ARKIVERING",
        ],
        Some(M::Dialogmelding),
    ),
    (&["EPIKRISE", "FODSELS_EPIKRISE"], Some(M::Epikrise)),
    (
        &[
            "REQ_LAB",
            "REQ_KKL",
            "REQ_MBIO",
            "REQ_HIST",
            "REQ_CYT",
            "REQ_RTG",
            "BEKREFT_REKVISISJON",
            "STATUS_REKVISISJON",
        ],
        Some(M::Rekvisisjon),
    ),
    (
        &[
            "SVAR_LAB",
            "SVAR_KKL",
            "SVAR_MBIO",
            "SVAR_HIST",
            "SVAR_CYT",
            "SVAR_RTG",
        ],
        Some(M::Svarrapport),
    ),
    (
        &[
            "INNLEGGELSESRAPPORT",
            "HELSEOPPL_SOKNAD",
            "UTSKRIVNINGSRAPPORT",
            "TVERRFAGLIG_EPIKRISE",
            "LOG_INNLAGT",
            "LOG_UTSKRIVNINGSKLAR",
            "LOG_AVMELDING",
            "LOG_UTSKREVET",
            "LOG_DOD",
            "HELSEOPPLYSNINGER_LEGE",
            "MEDISINSKE_OPPLYSNINGER",
            "ORIENTERING_TJENESTETILBUD",
            "FRAVARSMELDING",
        ],
        Some(M::Plo),
    ),
    (
        &["EPJ-EKSTRAKT", "LEGEMIDDELHANDTERING"],
        Some(M::EpjEkstrakt),
    ),
    (
        &[
            "KODEVERKREQUEST",
            "KODEVERKRESPONSE",
            "HENDELSEREQUEST",
            "HENDELSERESPONSE",
            "SOKREQUEST",
            "SOKRESPONSE",
        ],
        Some(M::Sysvak),
    ),
    (&["LEGEERKL"], Some(M::Legeerklaering)),
    (&["SYKMELD"], Some(M::Sykmelding)),
    (&["INNRAPPORTERING_TREKK"], Some(M::Trekk)),
    (
        &[
            "EgenandelForesporsel",
            "EgenandelForesporselV2",
            "EgenandelSvar",
            "EgenandelMengdeForesporsel",
        ],
        Some(M::Egenandel),
    ),
    (&["FastlegeForesporsel", "FastlegeSvar"], Some(M::Fastlege)),
    (
        &[
            "Pasientliste",
            "PasientlisteForesporsel",
            "PasientlisteStartAbonnement",
        ],
        Some(M::Pasientliste),
    ),
    (&["ERM1", "ERM98", "ERMV"], Some(M::EResept)),
    (
        &[
            "NPR_KJERNEMELDING",
            "KPR_HST",
            "KPR_IPL",
            "IPLOS_TILBAKEMELDING",
        ],
        Some(M::Registermelding),
    ),
    (
        &["CANCER_BR", "CANCER_S", "CANCER_NS"],
        Some(M::Kreftmelding),
    ),
    (
        &[
            "PERSONVERN_INNBYGGER_RESERVASJON",
            "PERSONVERN_INNBYGGER_SAMTYKKE",
            "PERSONVERN_INNBYGGER_TILGANGSBEGRENSNING",
        ],
        Some(M::Personvern),
    ),
    (&["DIALOG_INNBYGGER_TIMERESERVASJON"], None),
    (&["APPREC"], Some(M::AppRec)),
    (&["AMQP_SOAP_FAULT"], None),
];

#[test]
fn every_function_of_the_catalogue_stands_in_the_list_and_leads_to_its_document() {
    let list = codes::lists::list("2.16.578.1.12.4.1.1.8279").unwrap();
    let mut wrong = Vec::new();
    for (functions, kind) in FUNCTIONS {
        for function in *functions {
            if list.get(function).is_none() {
                wrong.push(format!("{function} is not in the list"));
            }
            if kind_of(function) != *kind {
                wrong.push(format!("{function}: {:?}", kind_of(function)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a receipt says is the same in both versions, and each is read back as what was written.
#[test]
fn receipts_go_both_ways_in_both_versions() {
    let now = "2026-11-23T12:00:00Z".parse().unwrap();
    let id = "5d79bd68-a58c-4599-a4e7-9db28ea20099";
    for (name, text) in crate::made::all() {
        let doc = XmlDoc::parse(text.as_bytes()).unwrap();
        if identify_doc(&doc).kind == M::AppRec {
            continue;
        }
        let header = Header::from_doc(&doc).unwrap();
        for (status, errors) in [
            (Status::Ok, vec![]),
            (
                Status::Rejected,
                vec![
                    ErrorCode::E35.error("words of ours"),
                    ErrorCode::T02.error("line 3"),
                ],
            ),
        ] {
            let mut said = Vec::new();
            for version in [V1_0, V1_1] {
                let me = header.receiver.clone();
                let receipt = AppRec::answer(&header, status, errors.clone(), id, now, &me)
                    .in_version(version);
                let written = receipt.to_xml();
                assert!(written.contains(version.mig_version()), "{name}");
                let read = AppRec::read_doc(&XmlDoc::parse(written.as_bytes()).unwrap()).unwrap();
                assert_eq!(read, receipt, "{name}");
                assert_eq!(read.original.id, header.msg_id, "{name}");
                // A receiver's rules have nothing against it.
                let found = edi::check::run(written.as_bytes(), &edi::check::Options::default());
                assert!(
                    !found.has_errors(),
                    "{name} {version:?}: {:#?}",
                    found.findings
                );
                let words: Vec<(String, Option<String>)> = read
                    .errors
                    .iter()
                    .map(|e| (e.code().to_owned(), e.other.clone()))
                    .collect();
                said.push((read.status, words));
            }
            assert_eq!(said[0], said[1], "{name}");
        }
    }
}
