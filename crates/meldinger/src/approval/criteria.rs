//! The acceptance criteria as a table: id, family, how it is judged, rule, and words in the languages of the pages.
//!
//! The families are those of the national acceptance tests (spec/messaging.md §9.3); ids and words are our own. `R` are criteria of
//! receiving, `S` of sending; within them `T` transport, `A` application receipt, `C` cases, `X` document, `P` patient, `D` self-declared.

use serde::Serialize;

use super::standard::{Case, Direction, SendCase, Standard};

/// Families of the national acceptance tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Transport and its receipt.
    Transport,
    /// XML: well-formed, valid, namespace, encoding.
    Xml,
    /// Application receipt.
    Apprec,
    /// Patient.
    Patient,
    /// Corrections and cancellations.
    Corrections,
    /// Addressing (HIS 1153).
    Addressing,
    /// Fields read and shown.
    Presentation,
    /// Receipt logged, original stored.
    Log,
    /// Attachments.
    Attachments,
}

/// How a criterion is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Every message of the battery was taken by the receiver's side.
    Fetched,
    /// Something about every receipt that came.
    Receipts,
    /// At most one receipt for a message.
    OneReceipt,
    /// A case of the battery was answered as it should be.
    Case(Case),
    /// Something about every message that the vendor sent.
    Messages,
    /// The vendor has shown this case.
    Shown(SendCase),
    /// The vendor has fetched our receipts.
    ReceiptsFetched,
    /// The hub cannot see it: yes or no by the vendor.
    Declared,
}

/// Words in bokmål, nynorsk, English and Northern Sami.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Words {
    /// Bokmål.
    pub nb: &'static str,
    /// Nynorsk.
    pub nn: &'static str,
    /// English.
    pub en: &'static str,
    /// Northern Sami.
    pub se: &'static str,
}

/// One criterion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Criterion {
    /// Id.
    pub id: &'static str,
    /// Direction it belongs to.
    pub direction: Direction,
    /// Family.
    pub family: Family,
    /// How it is judged.
    pub kind: Kind,
    /// Where it comes from.
    pub rule: &'static str,
    /// What is asked.
    pub words: Words,
}

impl Criterion {
    /// Whether a run of this standard has it. Criteria of cases belong to the runs that have the case.
    #[must_use]
    pub fn belongs_to(&self, standard: Standard, has_case: impl Fn(Case) -> bool) -> bool {
        match self.kind {
            Kind::Case(case) => has_case(case),
            Kind::Shown(case) => case.belongs_to(standard),
            Kind::Declared => standard.has_versions() || !matches!(self.id, "R-D04" | "R-D05"),
            _ => true,
        }
    }
}

const fn row(
    id: &'static str,
    direction: Direction,
    family: Family,
    kind: Kind,
    rule: &'static str,
    [nb, nn, en, se]: [&'static str; 4],
) -> Criterion {
    Criterion {
        id,
        direction,
        family,
        kind,
        rule,
        words: Words { nb, nn, en, se },
    }
}

const R: Direction = Direction::Receive;
const S: Direction = Direction::Send;

/// The table.
#[rustfmt::skip]
pub const CRITERIA: &[Criterion] = &[
    row("R-T01", R, Family::Transport, Kind::Fetched, "HITS 1216, HITS 1210", [
        "Alle meldinger er hentet og kvittert på transportnivå.", "Alle meldingar er henta og kvitterte på transportnivå.",
        "Every message was fetched and acknowledged on the transport.", "Buot dieđáhusat leat vižžojuvvon ja duođaštuvvon sáddendásis."]),
    row("R-A01", R, Family::Apprec, Kind::Receipts, "HIS 80415", [
        "Applikasjonskvitteringen har den versjonen som hører til meldingen.", "Applikasjonskvitteringa har den versjonen som høyrer til meldinga.",
        "The application receipt has the version that belongs to the message.", "Applikašuvdnakvitteremis lea dieđáhusa rivttes veršuvdna."]),
    row("R-A02", R, Family::Apprec, Kind::Receipts, "HIS 80415", [
        "Applikasjonskvitteringen er velformet og gyldig.", "Applikasjonskvitteringa er velforma og gyldig.",
        "The application receipt is well formed and valid.", "Applikašuvdnakvitteren lea riekta hábmejuvvon ja gustojeaddji."]),
    row("R-A03", R, Family::Apprec, Kind::Receipts, "HIS 80415 OriginalMsgId", [
        "Kvitteringen viser til riktig melding: MsgId, type og GenDate.", "Kvitteringa viser til rett melding: MsgId, type og GenDate.",
        "The receipt refers to the right message: MsgId, type and GenDate.", "Kvitteren čujuha rivttes dieđáhussii: MsgId, šládja ja GenDate."]),
    row("R-A04", R, Family::Addressing, Kind::Receipts, "HIS 80415, HIS 1153", [
        "Avsender og mottaker er byttet om i kvitteringen, med HER-id på begge nivåer.", "Avsendar og mottakar er bytte om i kvitteringa, med HER-id på begge nivå.",
        "Sender and receiver are swapped in the receipt, with HER-ids on both levels.", "Sáddejeaddji ja vuostáiváldi leat lonuhuvvon kvitteremis, HER-id:iin goappašiid dásiin."]),
    row("R-A05", R, Family::Apprec, Kind::Receipts, "HITS 1216, HITS 1210", [
        "Kvitteringen er signert av virksomheten og kryptert til mottakeren.", "Kvitteringa er signert av verksemda og kryptert til mottakaren.",
        "The receipt is signed by the organisation and encrypted for its receiver.", "Kvitteren lea doaimmahaga vuolláičállon ja krypterejuvvon vuostáiváldái."]),
    row("R-A06", R, Family::Apprec, Kind::Receipts, "HIS 80415 Status, Error", [
        "Negativ kvittering har feilkode fra 8221, positiv har ingen.", "Negativ kvittering har feilkode frå 8221, positiv har ingen.",
        "A negative receipt has an error code of 8221, a positive one has none.", "Negatiiva kvitteremis lea meattáhuskoda listtus 8221, positiivvas ii leat."]),
    row("R-A07", R, Family::Apprec, Kind::OneReceipt, "HIS 80415", [
        "Hver melding får høyst én applikasjonskvittering.", "Kvar melding får høgst éi applikasjonskvittering.",
        "No message gets more than one application receipt.", "Juohke dieđáhus oažžu eanemusat ovtta applikašuvdnakvitterema."]),
    row("R-A08", R, Family::Apprec, Kind::Receipts, "HIS 80415 Id", [
        "Kvitteringens egen Id er en UUID.", "Kvitteringa sin eigen Id er ein UUID.",
        "The receipt's own Id is a UUID.", "Kvitterema iežas Id lea UUID."]),
    row("R-C01", R, Family::Apprec, Kind::Case(Case::Normal), "HIS 80415", [
        "Vanlig melding: positiv kvittering.", "Vanleg melding: positiv kvittering.",
        "Ordinary message: positive receipt.", "Dábálaš dieđáhus: positiiva kvitteren."]),
    row("R-C02", R, Family::Corrections, Kind::Case(Case::Change), "7309 M", [
        "Endret dokument: positiv kvittering.", "Endra dokument: positiv kvittering.",
        "Changed document: positive receipt.", "Rievdaduvvon dokumeanta: positiiva kvitteren."]),
    row("R-C03", R, Family::Corrections, Kind::Case(Case::Cancel), "7309 C", [
        "Kansellert dokument: positiv kvittering.", "Kansellert dokument: positiv kvittering.",
        "Cancelled document: positive receipt.", "Šluhttejuvvon dokumeanta: positiiva kvitteren."]),
    row("R-C04", R, Family::Patient, Kind::Case(Case::NoPatientId), "HIS 80415 E30, E36", [
        "Pasient med bare navn: avvist med E30, E35 eller E36.", "Pasient med berre namn: avvist med E30, E35 eller E36.",
        "Patient with a name only: rejected with E30, E35 or E36.", "Pasieanta dušše namain: hilgojuvvon koda E30, E35 dahje E36."]),
    row("R-C05", R, Family::Patient, Kind::Case(Case::BirthDateOnly), "HIS 80415 E36", [
        "Bare navn, fødselsdato og kjønn: godtatt, eller avvist med E30 eller E35, aldri som utilstrekkelig.", "Berre namn, fødselsdato og kjønn: godteke, eller avvist med E30 eller E35, aldri som utilstrekkeleg.",
        "Name, birth date and sex only: accepted, or rejected with E30 or E35, never as insufficient.", "Dušše namma, riegádanbeaivi ja sohkabealli: dohkkehuvvon, dahje hilgojuvvon E30 dahje E35, ii goassege váilevažžan."]),
    row("R-C06", R, Family::Patient, Kind::Case(Case::SeveralIds), "9051, 8116", [
        "Flere identifikatorer for pasient og parter: positiv kvittering.", "Fleire identifikatorar for pasient og partar: positiv kvittering.",
        "Several identifiers of patient and parties: positive receipt.", "Máŋga dovddaldaga pasieanttas ja oassebeliin: positiiva kvitteren."]),
    row("R-C07", R, Family::Patient, Kind::Case(Case::DNumber), "8116 DNR", [
        "Pasient med D-nummer: positiv kvittering.", "Pasient med D-nummer: positiv kvittering.",
        "Patient with a D-number: positive receipt.", "Pasieanta D-nummariin: positiiva kvitteren."]),
    row("R-C08", R, Family::Patient, Kind::Case(Case::WrongPatientId), "HIS 80415 E31", [
        "Fødselsnummer med feil kontrollsiffer: avvist med E31 eller E36.", "Fødselsnummer med feil kontrollsiffer: avvist med E31 eller E36.",
        "National identifier with a wrong check digit: rejected with E31 or E36.", "Riegádannummar boasttu dárkkistanloguin: hilgojuvvon E31 dahje E36."]),
    row("R-C09", R, Family::Attachments, Kind::Case(Case::Attachment), "HIS 1036", [
        "PDF-vedlegg: godtatt, eller avvist når systemet ikke kan vise det.", "PDF-vedlegg: godteke, eller avvist når systemet ikkje kan vise det.",
        "PDF attachment: accepted, or rejected when the system cannot show it.", "PDF-mielddus: dohkkehuvvon, dahje hilgojuvvon go vuogádat ii sáhte dan čájehit."]),
    row("R-C10", R, Family::Attachments, Kind::Case(Case::TooBig), "HIS 1036", [
        "Vedlegg over 10 MB: nøyaktig ett svar, på kvitteringsnivå eller transportnivå.", "Vedlegg over 10 MB: nøyaktig eitt svar, på kvitteringsnivå eller transportnivå.",
        "Attachment above 10 MB: exactly one answer, by receipt or on the transport.", "Mielddus badjel 10 MB: dušše okta vástádus, kvitteremiin dahje sáddendásis."]),
    row("R-C11", R, Family::Xml, Kind::Case(Case::UnknownCode), "HIS 80415", [
        "Ukjent kodeverdi i et ellers gyldig dokument: ikke avvist.", "Ukjend kodeverdi i eit elles gyldig dokument: ikkje avvist.",
        "Unknown code value in an otherwise valid document: not rejected.", "Amas kodaárvu muđui gustojeaddji dokumeanttas: ii hilgojuvvon."]),
    row("R-C12", R, Family::Apprec, Kind::Case(Case::BadMsgId), "HIS 80415 E10", [
        "MsgId som ikke er UUID: avvist med E10.", "MsgId som ikkje er UUID: avvist med E10.",
        "MsgId that is no UUID: rejected with E10.", "MsgId mii ii leat UUID: hilgojuvvon E10:in."]),
    row("R-C13", R, Family::Addressing, Kind::Case(Case::WrongAddressee), "HITS 1216 2.2.3, HIS 1153", [
        "Dokument adressert til en annen: avvist med E10 eller E21, eller feil på transportnivå.", "Dokument adressert til ein annan: avvist med E10 eller E21, eller feil på transportnivå.",
        "Document addressed to somebody else: rejected with E10 or E21, or a transport error.", "Dokumeanta nuppi vuostáiváldái: hilgojuvvon E10 dahje E21, dahje sáddenmeattáhus."]),
    row("R-C14", R, Family::Apprec, Kind::Case(Case::Duplicate), "HIS 80415", [
        "Samme melding to ganger: én kvittering.", "Same melding to gonger: éi kvittering.",
        "The same message twice: one receipt.", "Seamma dieđáhus guktii: okta kvitteren."]),
    row("R-C15", R, Family::Xml, Kind::Case(Case::WrongNamespace), "HIS 80415 T10", [
        "Ukjent navnerom: avvist med T01, T02, T10 eller T99, eller feil på transportnivå.", "Ukjent namnerom: avvist med T01, T02, T10 eller T99, eller feil på transportnivå.",
        "Unknown namespace: rejected with T01, T02, T10 or T99, or a transport error.", "Amas nammalatnja: hilgojuvvon T01, T02, T10 dahje T99, dahje sáddenmeattáhus."]),
    row("R-C16", R, Family::Xml, Kind::Case(Case::NotWellFormed), "HIS 80415 T01", [
        "XML som ikke er velformet: avvist med T01 eller T02, eller feil på transportnivå.", "XML som ikkje er velforma: avvist med T01 eller T02, eller feil på transportnivå.",
        "XML that is not well formed: rejected with T01 or T02, or a transport error.", "XML mii ii leat riekta hábmejuvvon: hilgojuvvon T01 dahje T02, dahje sáddenmeattáhus."]),
    row("R-C17", R, Family::Apprec, Kind::Case(Case::Receipt), "HIS 80415", [
        "En kvittering blir ikke kvittert.", "Ei kvittering blir ikkje kvittert.",
        "A receipt is not answered with a receipt.", "Kvitteren ii vástiduvvo kvitteremiin."]),
    row("R-D01", R, Family::Presentation, Kind::Declared, "Test og godkjenning", [
        "Alle felter i meldingen er lest inn og vist for brukeren.", "Alle felt i meldinga er lesne inn og viste for brukaren.",
        "All fields of the message are read and shown to the user.", "Buot dieđáhusa gieddit leat lohkkojuvvon ja čájehuvvon geavaheaddjái."]),
    row("R-D02", R, Family::Log, Kind::Declared, "Test og godkjenning", [
        "Mottaket står i systemets logg.", "Mottaket står i loggen til systemet.",
        "The receipt of the message stands in the system's log.", "Vuostáiváldin lea vuogádaga loggas."]),
    row("R-D03", R, Family::Log, Kind::Declared, "Test og godkjenning", [
        "Den opprinnelige meldingen er lagret uendret.", "Den opphavlege meldinga er lagra uendra.",
        "The original message is stored unchanged.", "Álgo dieđáhus lea vurkejuvvon rievdatkeahttá."]),
    row("R-D04", R, Family::Corrections, Kind::Declared, "7309 M", [
        "Endringen erstatter den forrige utgaven i visningen.", "Endringa erstattar den førre utgåva i visinga.",
        "The change replaces the earlier version on the screen.", "Rievdadus buhtte ovddit veršuvnna čájeheamis."]),
    row("R-D05", R, Family::Corrections, Kind::Declared, "7309 C", [
        "Det kansellerte dokumentet vises ikke lenger som gyldig.", "Det kansellerte dokumentet blir ikkje lenger vist som gyldig.",
        "The cancelled document is no longer shown as valid.", "Šluhttejuvvon dokumeanta ii šat čájehuvvo gustojeaddjin."]),
    row("R-D06", R, Family::Attachments, Kind::Declared, "HIS 1036", [
        "Vedlegget kan åpnes av brukeren.", "Vedlegget kan opnast av brukaren.",
        "The user can open the attachment.", "Geavaheaddji sáhttá rahpat mielddusa."]),
    row("R-D07", R, Family::Apprec, Kind::Declared, "HIS 80415", [
        "Den andre utgaven av en duplisert melding vises ikke på nytt.", "Den andre utgåva av ei duplisert melding blir ikkje vist på nytt.",
        "The second copy of a repeated message is not shown again.", "Geardduhuvvon dieđáhusa nubbi veršuvdna ii čájehuvvo ođđasit."]),
    row("R-D08", R, Family::Patient, Kind::Declared, "HIS 80415 E35", [
        "Meldinger om ukjente pasienter kommer fram for en saksbehandler.", "Meldingar om ukjende pasientar kjem fram for ein saksbehandlar.",
        "Messages about unknown patients come before a human.", "Dieđáhusat amas pasieanttaid birra bohtet áššemeannudeaddjái."]),
    row("S-T01", S, Family::Transport, Kind::ReceiptsFetched, "HITS 1216, HITS 1210", [
        "Applikasjonskvitteringene fra navet er hentet.", "Applikasjonskvitteringane frå navet er henta.",
        "The hub's application receipts were fetched.", "Guovddáža applikašuvdnakvitteremat leat vižžojuvvon."]),
    row("S-E01", S, Family::Transport, Kind::Messages, "HISD 1209, HITS 1216", [
        "Konvolutten er signert og kryptert, og funksjonen er den dokumentet har.", "Konvolutten er signert og kryptert, og funksjonen er den dokumentet har.",
        "The envelope is signed and encrypted, and its function is that of the document.", "Konvoluhtta lea vuolláičállon ja krypterejuvvon, ja doaibma lea seamma go dokumeanttas."]),
    row("S-X01", S, Family::Xml, Kind::Messages, "XML 1.0", [
        "Dokumentet er velformet XML i UTF-8.", "Dokumentet er velforma XML i UTF-8.",
        "The document is well-formed XML in UTF-8.", "Dokumeanta lea riekta hábmejuvvon XML UTF-8:s."]),
    row("S-X02", S, Family::Xml, Kind::Messages, "Meldingsstandarden", [
        "Navnerom og versjon er standardens.", "Namnerom og versjon er standarden sine.",
        "Namespace and version are those of the standard.", "Nammalatnja ja veršuvdna leat standárdda mielde."]),
    row("S-X03", S, Family::Xml, Kind::Messages, "Meldingsstandarden", [
        "Dokumentet er gyldig: struktur, koder, tider og innholdsregler.", "Dokumentet er gyldig: struktur, kodar, tider og innhaldsreglar.",
        "The document is valid: structure, codes, times and content rules.", "Dokumeanta lea gustojeaddji: struktuvra, kodat, áiggit ja sisdoallonjuolggadusat."]),
    row("S-X04", S, Family::Xml, Kind::Messages, "HIS 80601 MsgId", [
        "MsgId er en UUID som ikke er brukt om igjen.", "MsgId er ein UUID som ikkje er brukt om att.",
        "MsgId is a UUID that is not used again.", "MsgId lea UUID mii ii leat geavahuvvon ovdal."]),
    row("S-P01", S, Family::Patient, Kind::Messages, "HIS 80415 E30-E36", [
        "Pasienten er godt nok og riktig identifisert.", "Pasienten er godt nok og rett identifisert.",
        "The patient is identified well enough and rightly.", "Pasieanta lea doarvái bures ja riekta dovddahuvvon."]),
    row("S-A01", S, Family::Addressing, Kind::Messages, "HIS 1153", [
        "Avsender og mottaker har HER-id på riktig nivå, de samme som i konvolutten.", "Avsendar og mottakar har HER-id på rett nivå, dei same som i konvolutten.",
        "Sender and receiver have HER-ids on the right level, the same as in the envelope.", "Sáddejeaddjis ja vuostáiváldis lea HER-id rivttes dásis, seamma go konvoluhtas."]),
    row("S-B01", S, Family::Attachments, Kind::Messages, "HIS 1036", [
        "Vedlegg er i et format som alle kan vise, og ikke for store.", "Vedlegg er i eit format som alle kan vise, og ikkje for store.",
        "Attachments have a format that everybody can show, and are not too large.", "Mildosiin lea formáhtta maid buohkat sáhttet čájehit, eaige leat menddo stuorrát."]),
    row("S-C01", S, Family::Xml, Kind::Shown(SendCase::Normal), "7309 N", [
        "Vanlig melding er sendt og godtatt.", "Vanleg melding er send og godteken.",
        "An ordinary message was sent and accepted.", "Dábálaš dieđáhus lea sáddejuvvon ja dohkkehuvvon."]),
    row("S-C02", S, Family::Corrections, Kind::Shown(SendCase::Change), "7309 M", [
        "Endring av et tidligere sendt dokument er sendt og godtatt.", "Endring av eit tidlegare sendt dokument er send og godteken.",
        "A change of a document sent before was sent and accepted.", "Ovdal sáddejuvvon dokumeantta rievdadus lea sáddejuvvon ja dohkkehuvvon."]),
    row("S-C03", S, Family::Corrections, Kind::Shown(SendCase::Cancel), "7309 C", [
        "Kansellering av et tidligere sendt dokument er sendt og godtatt.", "Kansellering av eit tidlegare sendt dokument er send og godteken.",
        "A cancellation of a document sent before was sent and accepted.", "Ovdal sáddejuvvon dokumeantta šluhtten lea sáddejuvvon ja dohkkehuvvon."]),
    row("S-C04", S, Family::Attachments, Kind::Shown(SendCase::Attachment), "HIS 1036", [
        "Melding med vedlegg er sendt og godtatt.", "Melding med vedlegg er send og godteken.",
        "A message with an attachment was sent and accepted.", "Dieđáhus mildosiin lea sáddejuvvon ja dohkkehuvvon."]),
    row("S-C05", S, Family::Patient, Kind::Shown(SendCase::OtherId), "8116", [
        "Melding om en pasient uten fødselsnummer (D-nummer, hjelpenummer, eller navn, fødselsdato og kjønn) er sendt og godtatt.",
        "Melding om ein pasient utan fødselsnummer (D-nummer, hjelpenummer, eller namn, fødselsdato og kjønn) er send og godteken.",
        "A message about a patient without fødselsnummer (D-number, help number, or name, birth date and sex) was sent and accepted.",
        "Dieđáhus pasieantta birra geas ii leat riegádannummar (D-nummar, veahkkenummar, dahje namma, riegádanbeaivi ja sohkabealli) lea sáddejuvvon ja dohkkehuvvon."]),
    row("S-C06", S, Family::Addressing, Kind::Shown(SendCase::Reply), "HIS 80601 ConversationRef", [
        "Melding som viser til en tidligere melding (ConversationRef), er sendt og godtatt.", "Melding som viser til ei tidlegare melding (ConversationRef), er send og godteken.",
        "A message that refers to an earlier one (ConversationRef) was sent and accepted.", "Dieđáhus mii čujuha ovddit dieđáhussii (ConversationRef) lea sáddejuvvon ja dohkkehuvvon."]),
    row("S-D01", S, Family::Apprec, Kind::Declared, "HIS 80415", [
        "Status for hver sendt melding vises for brukeren.", "Status for kvar send melding blir vist for brukaren.",
        "The state of each message sent is shown to the user.", "Juohke sáddejuvvon dieđáhusa dilli čájehuvvo geavaheaddjái."]),
    row("S-D02", S, Family::Apprec, Kind::Declared, "HIS 80415", [
        "En negativ kvittering varsler en bruker, med feiltekst.", "Ei negativ kvittering varslar ein brukar, med feiltekst.",
        "A negative receipt alerts a user, with its words.", "Negatiiva kvitteren várre geavaheaddji, meattáhusteavsttain."]),
    row("S-D03", S, Family::Apprec, Kind::Declared, "HIS 80415 96 t", [
        "En melding uten kvittering innen 96 timer varsler en bruker.", "Ei melding utan kvittering innan 96 timar varslar ein brukar.",
        "A message without receipt within 96 hours alerts a user.", "Dieđáhus almmá kvitterema haga 96 diimmu siste várre geavaheaddji."]),
    row("S-D04", S, Family::Transport, Kind::Declared, "HITS 1210", [
        "En melding sendes ikke på nytt etter positiv transportkvittering.", "Ei melding blir ikkje send på nytt etter positiv transportkvittering.",
        "A message is not sent again after a positive transport receipt.", "Dieđáhus ii sáddejuvvo ođđasit maŋŋel positiiva sáddenkvitterema."]),
    row("S-D05", S, Family::Log, Kind::Declared, "Test og godkjenning", [
        "Den sendte meldingen og kvitteringen er lagret uendret.", "Den sende meldinga og kvitteringa er lagra uendra.",
        "The message sent and its receipt are stored unchanged.", "Sáddejuvvon dieđáhus ja kvitteren leat vurkejuvvon rievdatkeahttá."]),
];

/// A criterion by its id.
#[must_use]
pub fn find(id: &str) -> Option<&'static Criterion> {
    CRITERIA.iter().find(|criterion| criterion.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Transport;

    #[test]
    fn every_id_is_there_once_and_has_its_words() {
        for (place, criterion) in CRITERIA.iter().enumerate() {
            assert_eq!(
                CRITERIA.iter().position(|c| c.id == criterion.id),
                Some(place)
            );
            let Words { nb, nn, en, se } = criterion.words;
            assert!(
                [nb, nn, en, se].iter().all(|text| text.ends_with('.')),
                "{}",
                criterion.id
            );
            let letter = if criterion.direction == Direction::Send {
                'S'
            } else {
                'R'
            };
            assert!(criterion.id.starts_with(letter));
        }
    }

    #[test]
    fn every_case_has_its_criterion() {
        for case in Case::ALL {
            assert!(
                CRITERIA.iter().any(|c| c.kind == Kind::Case(case)),
                "{case:?}"
            );
        }
        for case in SendCase::ALL {
            assert!(
                CRITERIA.iter().any(|c| c.kind == Kind::Shown(case)),
                "{case:?}"
            );
        }
    }

    #[test]
    fn a_dialogue_is_not_asked_for_corrections() {
        let has = |standard: Standard, id| {
            let cases: Vec<Case> = standard.cases(Transport::Amqp).collect();
            find(id)
                .unwrap()
                .belongs_to(standard, |case| cases.contains(&case))
        };
        for id in ["R-C02", "R-D04", "S-C03"] {
            assert!(has(Standard::Epikrise12, id));
            assert!(!has(Standard::Dialogmelding11, id));
        }
        assert!(has(Standard::Dialogmelding11, "S-C06"));
    }
}
