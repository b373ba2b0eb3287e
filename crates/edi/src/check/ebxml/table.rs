//! The numbered rules of the message validator for ebXML (HITS 1172), as a table.
//!
//! Where the norm gives two numbers for sender and receiver, the first is the sender's. What a message server answers to
//! a break is the rule's [`Effect`]; the validator goes on after every break.

/// What a message server does when the rule is broken (messaging.md §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Worth knowing; no answer depends on it.
    Information,
    /// Noted by the mail layer only.
    Log,
    /// An error list with warnings only: taken, but somebody should look.
    Warning,
    /// An error list with this error code: not taken.
    Error(&'static str),
    /// A SOAP fault: nothing that can be addressed was understood.
    Fault,
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct NumberedRule {
    /// Its number in HITS 1172; those from 1000 on are rules that the norm has without a number.
    pub number: u16,
    /// What follows.
    pub effect: Effect,
    /// What is wrong and what to do, Norwegian.
    pub nb: &'static str,
    /// The same in English.
    pub en: &'static str,
}

impl NumberedRule {
    /// The rule as a vendor finds it in the norm.
    pub fn name(&self) -> String {
        if self.number < 1000 {
            format!("HITS 1172 nr. {}", self.number)
        } else {
            "HITS 1172".to_owned()
        }
    }
}

const I: Effect = Effect::Information;
const L: Effect = Effect::Log;
const W: Effect = Effect::Warning;
const F: Effect = Effect::Fault;
const MIME: Effect = Effect::Error("MimeProblem");
const XML: Effect = Effect::Error("OtherXml");
const VALUE: Effect = Effect::Error("ValueNotRecognized");
const CLASH: Effect = Effect::Error("Inconsistent");
const SAFETY: Effect = Effect::Error("SecurityFailure");

macro_rules! rules {
    ($($number:literal $effect:ident $nb:literal / $en:literal)*) => {
        &[$(NumberedRule { number: $number, effect: $effect, nb: $nb, en: $en }),*]
    };
}

/// Every rule, by group.
pub const RULES: &[NumberedRule] = rules! {
    18 L "E-posten mangler From; sett avsenders EDI-adresse" / "The mail has no From; give the sender's EDI address"
    19 L "E-posten mangler To; sett mottakers EDI-adresse" / "The mail has no To; give the receiver's EDI address"
    80 L "From er tom; sett avsenders EDI-adresse" / "From is empty; give the sender's EDI address"
    81 L "To er tom; sett mottakers EDI-adresse" / "To is empty; give the receiver's EDI address"
    250 L "E-posten mangler Message-ID" / "The mail has no Message-ID"
    20 L "E-posten mangler Date" / "The mail has no Date"
    251 L "Message-ID er tom" / "Message-ID is empty"
    83 L "Date er tom" / "Date is empty"

    21 F "MIME-Version mangler; skriv MIME-Version: 1.0" / "MIME-Version is missing; write MIME-Version: 1.0"
    82 F "MIME-Version skal være 1.0" / "MIME-Version must be 1.0"
    22 F "SOAPAction mangler; skriv SOAPAction: \"ebXML\"" / "SOAPAction is missing; write SOAPAction: \"ebXML\""
    51 F "SOAPAction skal være \"ebXML\"" / "SOAPAction must be \"ebXML\""
    252 F "Content-Type mangler eller er text/plain; bruk multipart/related (melding) eller text/xml (signal)" / "Content-Type is missing or text/plain; use multipart/related (message) or text/xml (signal)"
    66 F "Content-Type skal være multipart/related eller text/xml" / "Content-Type must be multipart/related or text/xml"
    253 MIME "Parameteren type i Content-Type skal være \"text/xml\"" / "The parameter type of Content-Type must be \"text/xml\""
    1001 MIME "Parameteren start er ikke Content-ID til SOAP-delen" / "The parameter start is not the Content-ID of the SOAP part"

    67 F "Delen med SOAP (text/xml) mangler; den skal være den første" / "The part with SOAP (text/xml) is missing; it must be the first"
    255 MIME "SOAP-delen skal ha Content-Type text/xml" / "The SOAP part must have Content-Type text/xml"
    256 MIME "SOAP-delen skal ha charset=\"UTF-8\"" / "The SOAP part must have charset=\"UTF-8\""
    257 MIME "SOAP-delen mangler Content-Transfer-Encoding" / "The SOAP part has no Content-Transfer-Encoding"
    258 MIME "Content-Transfer-Encoding for SOAP-delen skal være 8bit, binary, quoted-printable eller base64" / "Content-Transfer-Encoding of the SOAP part must be 8bit, binary, quoted-printable or base64"
    259 MIME "Vedlegget skal ha Content-Transfer-Encoding base64, og innholdet skal være gyldig base64" / "The attachment must have Content-Transfer-Encoding base64, and its content must be valid base64"
    260 MIME "Vedlegget skal ha Content-Type application/pkcs7-mime; smime-type=enveloped-data" / "The attachment must have Content-Type application/pkcs7-mime; smime-type=enveloped-data"
    263 SAFETY "Vedlegget er ikke kryptert (CMS EnvelopedData)" / "The attachment is not encrypted (CMS EnvelopedData)"
    264 MIME "MIME-delen inni det krypterte vedlegget mangler gyldig Content-Transfer-Encoding (8bit eller base64)" / "The MIME part inside the encrypted attachment has no valid Content-Transfer-Encoding (8bit or base64)"
    1007 I "Det krypterte innholdet bør ha Content-Type application/xml" / "The encrypted content should have Content-Type application/xml"

    78 F "XML-deklarasjonen mangler; start med <?xml version=\"1.0\" encoding=\"UTF-8\"?>" / "The XML declaration is missing; begin with <?xml version=\"1.0\" encoding=\"UTF-8\"?>"
    68 F "SOAP-konvolutten skal være kodet i UTF-8" / "The SOAP envelope must be encoded in UTF-8"
    86 F "Innholdet kan ikke kjennes igjen som ebXML" / "The content cannot be recognised as ebXML"
    16 F "SOAP-konvolutten følger ikke XML-skjemaet for SOAP 1.1" / "The SOAP envelope breaks the XML schema of SOAP 1.1"
    17 F "ebXML-elementene følger ikke XML-skjemaet (msg-header-2_0.xsd)" / "The ebXML elements break the XML schema (msg-header-2_0.xsd)"

    43 F "SOAP Envelope mangler som rotelement" / "SOAP Envelope is missing as root element"
    2 F "SOAP Header mangler" / "SOAP Header is missing"
    3 F "SOAP Body mangler" / "SOAP Body is missing"
    100 XML "Header har en ukjent blokk med mustUnderstand=1" / "Header has an unknown block with mustUnderstand=1"
    101 XML "Body har et ukjent element" / "Body has an unknown element"
    1002 XML "Body har mer enn ett element" / "Body has more than one element"
    1003 CLASH "Signal og nyttelast er blandet: Acknowledgment og ErrorList skal stå alene, uten AckRequested og Manifest" / "Signal and payload are mixed: Acknowledgment and ErrorList stand alone, without AckRequested and Manifest"
    1004 CLASH "Elementet skal finnes nøyaktig én gang" / "The element must be there exactly once"

    4 F "eb:MessageHeader mangler" / "eb:MessageHeader is missing"
    8 VALUE "MessageHeader mangler eb:version" / "MessageHeader has no eb:version"
    70 VALUE "eb:version skal være 2.0" / "eb:version must be 2.0"
    7 VALUE "MessageHeader mangler SOAP:mustUnderstand" / "MessageHeader has no SOAP:mustUnderstand"
    69 VALUE "SOAP:mustUnderstand skal være 1" / "SOAP:mustUnderstand must be 1"
    76 VALUE "MessageId mangler" / "MessageId is missing"
    102 VALUE "MessageId skal være en UUID eller en id etter RFC 2822" / "MessageId must be a UUID or an id by RFC 2822"
    77 VALUE "Timestamp mangler eller er ikke på formen yyyy-MM-ddTHH:mm:ssZ" / "Timestamp is missing or not of the form yyyy-MM-ddTHH:mm:ssZ"
    11 VALUE "CPAId mangler" / "CPAId is missing"
    12 VALUE "CPAId skal være HERlav_HERhøy, en UUID fra CPA-registeret eller NAVs form nav:…" / "CPAId must be HERlow_HERhigh, a UUID of the CPA registry or NAV's form nav:…"

    10 F "From mangler" / "From is missing"
    9 F "To mangler" / "To is missing"
    58 F "Avsenders PartyId mangler" / "The sender's PartyId is missing"
    59 F "Mottakers PartyId mangler" / "The receiver's PartyId is missing"
    25 F "Avsenders PartyId er tom" / "The sender's PartyId is empty"
    55 F "Mottakers PartyId er tom" / "The receiver's PartyId is empty"
    60 F "Avsender mangler PartyId med eb:type=\"HER\"" / "The sender has no PartyId with eb:type=\"HER\""
    61 F "Mottaker mangler PartyId med eb:type=\"HER\"" / "The receiver has no PartyId with eb:type=\"HER\""
    14 W "Avsender skal ha nøyaktig én PartyId" / "The sender must have exactly one PartyId"
    13 W "Mottaker skal ha nøyaktig én PartyId" / "The receiver must have exactly one PartyId"
    31 F "Avsenders HER-id skal bare ha sifre" / "The sender's HER-id must be digits only"
    56 F "Mottakers HER-id skal bare ha sifre" / "The receiver's HER-id must be digits only"
    47 VALUE "Service mangler" / "Service is missing"
    71 VALUE "Service er tom" / "Service is empty"
    48 VALUE "Action mangler" / "Action is missing"
    72 VALUE "Action er tom" / "Action is empty"

    29 F "Avsenders HER-id finnes ikke i Adresseregisteret" / "The sender's HER-id is not in the address register"
    30 VALUE "Avsender skal være en tjeneste eller en person i organisasjonen (nivå 2)" / "The sender must be a service or a person of the organisation (level 2)"
    54 VALUE "Mottakers HER-id finnes ikke i Adresseregisteret, eller er ikke tjeneste eller person (nivå 2)" / "The receiver's HER-id is not in the address register, or is no service or person (level 2)"
    110 CLASH "CPAId stemmer ikke med avsender og mottaker, eller avtalen finnes ikke" / "CPAId does not agree with sender and receiver, or there is no such agreement"
    111 CLASH "Avsender er ikke part i avtalen (CPA)" / "The sender is no party of the agreement (CPA)"
    112 CLASH "Mottaker er ikke part i avtalen (CPA)" / "The receiver is no party of the agreement (CPA)"
    113 CLASH "Timestamp er før avtalen (CPA) gjelder" / "Timestamp is before the agreement (CPA) holds"
    114 CLASH "Timestamp er etter at avtalen (CPA) gikk ut" / "Timestamp is after the agreement (CPA) ended"
    261 CLASH "From er ikke avsenders EDI-adresse i Adresseregisteret" / "From is not the sender's EDI address in the address register"
    262 CLASH "To er ikke mottakers EDI-adresse i Adresseregisteret" / "To is not the receiver's EDI address in the address register"
    79 SAFETY "Avsenders signeringssertifikat finnes ikke i Adresseregisteret" / "The sender's signing certificate is not in the address register"
    44 SAFETY "Sertifikatet i signaturen er et annet enn det avsender har i Adresseregisteret" / "The certificate in the signature is not the one the sender has in the address register"

    45 SAFETY "Signaturen (ds:Signature) mangler" / "The signature (ds:Signature) is missing"
    52 SAFETY "Det er mer enn én signatur" / "There is more than one signature"
    363 SAFETY "SignedInfo mangler" / "SignedInfo is missing"
    42 SAFETY "SignatureValue mangler" / "SignatureValue is missing"
    32 SAFETY "KeyInfo mangler" / "KeyInfo is missing"
    39 SAFETY "Signaturen har ingen Reference" / "The signature has no Reference"
    40 SAFETY "Signaturen mangler Reference URI=\"\" (hele konvolutten)" / "The signature has no Reference URI=\"\" (the whole envelope)"
    34 SAFETY "Referanse til vedlegg skal begynne med cid:" / "A reference to an attachment must begin with cid:"
    33 SAFETY "Digest-algoritmen er ikke sha1 eller sha256" / "The digest algorithm is neither sha1 nor sha256"
    1005 I "Normen fra 2011 sier sha1; sha256 er i bruk og tas imot" / "The norm of 2011 says sha1; sha256 is in use and is taken"
    37 SAFETY "Første transform skal være enveloped-signature" / "The first transform must be enveloped-signature"
    36 SAFETY "Andre transform skal være XPath-filteret for nextMSH" / "The second transform must be the XPath filter for nextMSH"
    35 SAFETY "Tredje transform skal være Canonical XML 1.0" / "The third transform must be Canonical XML 1.0"
    38 W "Referansen til konvolutten skal ha nøyaktig tre transformer" / "The reference to the envelope must have exactly three transforms"
    84 SAFETY "Signaturmetoden er ikke rsa-sha1 eller rsa-sha256" / "The signature method is neither rsa-sha1 nor rsa-sha256"
    41 SAFETY "KeyInfo mangler X509Data" / "KeyInfo has no X509Data"
    64 SAFETY "Reference mangler DigestValue" / "Reference has no DigestValue"
    85 SAFETY "Reference mangler URI" / "Reference has no URI"
    103 SAFETY "X509Data mangler X509Certificate" / "X509Data has no X509Certificate"
    65 SAFETY "Signaturen skal ha nøyaktig ett sertifikat" / "The signature must have exactly one certificate"
    46 SAFETY "X509Certificate er ikke et sertifikat" / "X509Certificate is no certificate"
    104 SAFETY "Timestamp er før sertifikatet gjelder" / "Timestamp is before the certificate is valid"
    105 SAFETY "Timestamp er etter at sertifikatet gikk ut" / "Timestamp is after the certificate expired"
    50 SAFETY "Signaturen er ugyldig" / "The signature is invalid"

    106 CLASH "En kvittering skal ha Service urn:oasis:names:tc:ebxml-msg:service" / "An acknowledgment must have Service urn:oasis:names:tc:ebxml-msg:service"
    107 CLASH "En kvittering skal ha Action Acknowledgment" / "An acknowledgment must have Action Acknowledgment"
    108 CLASH "Acknowledgment mangler RefToMessageId" / "Acknowledgment has no RefToMessageId"
    109 CLASH "En kvittering skal ikke ha RefToMessageId i MessageData" / "An acknowledgment must have no RefToMessageId in MessageData"
    115 CLASH "En kvittering skal ikke ha ErrorList" / "An acknowledgment must have no ErrorList"
    116 CLASH "Acknowledgment mangler Reference URI=\"\" fra meldingen den kvitterer for" / "Acknowledgment has no Reference URI=\"\" from the message it acknowledges"
    117 W "Acknowledgment mangler Reference til vedlegget (cid:) fra meldingen den kvitterer for" / "Acknowledgment has no Reference to the attachment (cid:) from the message it acknowledges"
    120 CLASH "En feilmelding skal ha Service urn:oasis:names:tc:ebxml-msg:service" / "An error message must have Service urn:oasis:names:tc:ebxml-msg:service"
    121 CLASH "En feilmelding skal ha Action MessageError" / "An error message must have Action MessageError"
    122 CLASH "En feilmelding skal ha RefToMessageId i MessageData" / "An error message must have RefToMessageId in MessageData"
    123 CLASH "En feilmelding skal ikke ha Acknowledgment" / "An error message must have no Acknowledgment"

    74 VALUE "DuplicateElimination mangler" / "DuplicateElimination is missing"
    75 W "AckRequested mangler; avsender får bare en advarsel tilbake" / "AckRequested is missing; the sender gets a warning only"
    94 VALUE "AckRequested skal ha eb:signed=\"true\"" / "AckRequested must have eb:signed=\"true\""
    5 VALUE "Manifest mangler eb:version 2.0" / "Manifest has no eb:version 2.0"
    6 VALUE "Manifest mangler eller har ingen Reference" / "Manifest is missing or has no Reference"
    27 MIME "Manifestet viser til et vedlegg, men meldingen har ingen" / "The manifest refers to an attachment, but the message has none"
    23 MIME "Ingen del har den Content-ID som manifestet viser til" / "No part has the Content-ID that the manifest refers to"
    1006 VALUE "xlink:href er tom" / "xlink:href is empty"
    265 W "Schema mangler location" / "Schema has no location"
    266 W "Schema mangler version, eller den er ikke på formen n.n" / "Schema has no version, or it is not of the form n.n"
    267 W "Navnerommet i Schema er ikke en kjent melding" / "The namespace in Schema is no known message"
    268 W "Versjonen i Schema er ikke den navnerommet har" / "The version in Schema is not the one of the namespace"
    269 W "Service og Action passer ikke sammen, eller ikke med meldingen i Schema; Service er S-<Action>" / "Service and Action do not fit each other, or not the message of Schema; Service is S-<Action>"
    270 W "Dokumentet er en annen melding enn den i Schema" / "The document is another message than the one in Schema"
    271 W "Description mangler MSH-system" / "Description has no MSH-system"
    272 W "MSH-system er tom" / "MSH-system is empty"
    273 W "Description mangler MSH-versjon" / "Description has no MSH-versjon"
    274 W "MSH-versjon er tom" / "MSH-versjon is empty"
    279 W "Både Description (MSH-system og -versjon) og Schema skal være med, til overvåking" / "Both Description (MSH-system and -versjon) and Schema must be there, for supervision"
};

/// A rule by number.
pub(super) fn rule(number: u16) -> Option<&'static NumberedRule> {
    RULES.iter().find(|rule| rule.number == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_texts_are_whole() {
        let mut numbers: Vec<u16> = RULES.iter().map(|r| r.number).collect();
        numbers.sort_unstable();
        let count = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
        for rule in RULES {
            assert!(rule.nb.len() > 8 && rule.en.len() > 8, "{}", rule.number);
            assert!(
                !rule.nb.ends_with('.') && !rule.en.ends_with('.'),
                "{}",
                rule.number
            );
        }
    }
}
