//! Texts of the care relation list of specialist care (`urn:AuditEventHL7Norway/CodeSystem/carerelation`), as HL7 Norway
//! published it with the audit profile of the trust framework. The Volven lists are in `codes`; this one is not theirs.

const TEXTS: &[(&str, &str)] = &[
    ("KONSSERIE", "Åpen konsultasjonsserie"),
    ("LEDSBEL", "Inneliggende ledsager"),
    ("VURDHENV", "Vurdert henvisning"),
    ("ITSYSARB", "IT-Systemarbeid"),
    ("TILSYN", "Tilsyn på annen avdeling."),
    ("ARBFLYT", "Oppgave i arbeidsflyt"),
    ("BEHANDLER", "Bruker har behandlingsansvar for pasienten"),
    ("INFOANSV", "Bruker er informasjonsansvarlig for pasienten"),
    ("JOURANSV", "Bruker er journalansvarlig for pasienten"),
    ("PASANSV", "Bruker er koordinator for pasienten"),
    ("HENVISNING", "Henvisning til vurdering"),
    ("BELEGG", "Innlagt pasient"),
    ("PLANOPP", "Planlagt oppmøte"),
    ("POLBESOK", "Poliklinisk besøk"),
    ("TILSYN2", "Tilsyn med helsepersonellets virksomhet"),
    ("INNSYN", "Pasientinnsyn"),
    (
        "OFFBEST",
        "Bestilling av dokumenter fra offentlige og juridiske instanser og forsikringselskap",
    ),
    ("HENV_PAS", "Henvendelse fra pasienten"),
    ("HENVPER", "Åpen henvisningsperiode"),
    ("PLANKONT", "Ventende pasient"),
    ("PRIMKONT", "Bruker er pasientens primærkontakt"),
    ("HENV_BEH", "Henvendelse fra pasientens behandler"),
    ("HENV_PAA", "Henvendelse fra pasientens pårørende"),
    ("MELDT", "Meldt pasient"),
    ("EKSTSVAR", "Eksternt prøvesvar/notat til vurdering"),
    ("OPRPLAN", "Pasienten finnes på operasjonsoversikten"),
    (
        "EGENLAER",
        "Egen læring/kvalitetssikring av gitt behandling",
    ),
    ("DELBEHAN", "Deltar i behandlingen av pasienten"),
    ("TILSYN3", "Statlig tilsyn"),
    ("BLAALYS", "Blålys"),
    ("KVAL", "Internkontroll/Kvalitetssikring"),
    ("FORSK", "Forskning"),
    ("ETTERARB", "Etterarbeide"),
    ("UNDERVISN", "Undervisning"),
    ("NYPAS", "Pasientadministrasjon"),
    ("ROLPAS", "Bruker har rolle overfor pasient"),
    ("HHJELANPAS", "Yte helsehjelp til annen pasient"),
    ("PASADM", "Administrasjon"),
];

/// Text of a code; nothing for one that is not on the list.
pub(super) fn display(code: &str) -> Option<&'static str> {
    TEXTS
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, text)| *text)
}
