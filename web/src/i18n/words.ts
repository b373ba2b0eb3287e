import type { Language, Text } from './texts.tsx';

const ROLES: Readonly<Record<string, Text>> = {
  AA: { nb: 'ambulansearbeider', en: 'ambulance worker' },
  BI: { nb: 'bioingeniør', en: 'biomedical scientist' },
  ET: { nb: 'ergoterapeut', en: 'occupational therapist' },
  FA1: { nb: 'farmasøyt', en: 'pharmacist' },
  FA2: { nb: 'farmasøyt', en: 'pharmacist' },
  FT: { nb: 'fysioterapeut', en: 'physiotherapist' },
  HE: { nb: 'helsesekretær', en: 'medical secretary' },
  HF: { nb: 'helsefagarbeider', en: 'health care worker' },
  JO: { nb: 'jordmor', en: 'midwife' },
  LE: { nb: 'lege', en: 'doctor' },
  PM: { nb: 'paramedisiner', en: 'paramedic' },
  PS: { nb: 'psykolog', en: 'psychologist' },
  RA: { nb: 'radiograf', en: 'radiographer' },
  SP: { nb: 'sykepleier', en: 'nurse' },
  TL: { nb: 'tannlege', en: 'dentist' },
  TP: { nb: 'tannpleier', en: 'dental hygienist' },
  VP: { nb: 'vernepleier', en: 'social educator' },
};

const PERSONNEL: Text = { nb: 'helsepersonell', en: 'health worker' };

/** A role of list 9060 in words, in the middle of a sentence. */
export function role(code: string | null | undefined, language: Language): string {
  return (ROLES[code ?? ''] ?? PERSONNEL)[language];
}

const PARTS: Readonly<Record<string, Text>> = {
  critical: { nb: 'kritisk informasjon', en: 'critical information' },
  own: { nb: 'det pasienten selv har skrevet', en: 'what the patient wrote' },
  vaccines: { nb: 'vaksiner', en: 'vaccines' },
  medicines: { nb: 'medisiner', en: 'medicines' },
  results: { nb: 'prøvesvar', en: 'test results' },
  documents: { nb: 'brev og dokumenter', en: 'letters and documents' },
  visits: { nb: 'besøk', en: 'visits' },
  plans: { nb: 'planer', en: 'plans' },
  person: { nb: 'personopplysninger', en: 'personal details' },
  portal: { nb: 'nettsidene', en: 'the web pages' },
  log: { nb: 'loggen', en: 'the log' },
  tech: { nb: 'teknisk kontroll', en: 'technical check' },
  other: { nb: 'andre opplysninger', en: 'other information' },
  kjernejournal: { nb: 'hele kjernejournalen', en: 'the whole core record' },
};

/** A part of a record in words, in the middle of a sentence. */
export function part(code: string, language: Language): string {
  return PARTS[code]?.[language] ?? code;
}

const DOCUMENT_KINDS: Readonly<Record<string, Text>> = {
  A02: { nb: 'Individuell plan', en: 'Individual plan' },
  A03: { nb: 'Utskrivningsbrev', en: 'Discharge letter' },
  A04: { nb: 'Sammendrag fra sykepleier', en: 'Nursing summary' },
  A12: { nb: 'Orientering ved utskrivning', en: 'Information at discharge' },
  A13: { nb: 'Brev etter time', en: 'Letter after an appointment' },
  B02: { nb: 'Notat', en: 'Note' },
  B03: { nb: 'Notat etter time', en: 'Note after an appointment' },
  E01: { nb: 'Bildebeskrivelse', en: 'Image report' },
  I01: { nb: 'Henvisning', en: 'Referral' },
  I02: { nb: 'Brev', en: 'Letter' },
  J01: { nb: 'Sykmelding eller trygdesak', en: 'Sick note or benefit case' },
};

/** A document type of list 9602 in plain words. */
export function documentKind(code: string | null | undefined, language: Language): string {
  const known = DOCUMENT_KINDS[(code ?? '').slice(0, 3)];
  return known?.[language] ?? (language === 'nb' ? 'Brev' : 'Letter');
}

const DISCIPLINES: Readonly<Record<string, Text>> = {
  CLIN: { nb: 'Blod- og urinprøver', en: 'Blood and urine tests' },
  MBIO: { nb: 'Mikrobiologi', en: 'Microbiology' },
  PAT: { nb: 'Vevsprøver', en: 'Tissue samples' },
  HIST: { nb: 'Vevsprøver', en: 'Tissue samples' },
  CYTO: { nb: 'Celleprøver', en: 'Cell samples' },
  RAD: { nb: 'Røntgen og bilder', en: 'X-ray and images' },
  IMTR: { nb: 'Immunologi', en: 'Immunology' },
  MGEN: { nb: 'Genetikk', en: 'Genetics' },
  FARM: { nb: 'Legemidler i blod', en: 'Medicines in blood' },
};

/** A report type of list 8202 in plain words. */
export function discipline(code: string | null | undefined, language: Language): string {
  return DISCIPLINES[code ?? '']?.[language] ?? (language === 'nb' ? 'Prøvesvar' : 'Test results');
}

const FUNCTIONS: Readonly<Record<string, Text>> = {
  APPREC: { nb: 'Kvittering', en: 'Receipt' },
  AMQP_SOAP_FAULT: { nb: 'Feilmelding', en: 'Error message' },
  DIALOG_AVVIK: { nb: 'Melding om feil', en: 'Report of an error' },
  DIALOG_FORESPORSEL: { nb: 'Forespørsel', en: 'Request' },
  DIALOG_HELSEFAGLIG: { nb: 'Helsefaglig dialog', en: 'Clinical dialogue' },
  DIALOG_NOTAT: { nb: 'Notat', en: 'Note' },
  DIALOG_STATUS_HENVISNING: { nb: 'Status på henvisning', en: 'Referral status' },
  DIALOG_SVAR: { nb: 'Svar på forespørsel', en: 'Answer to a request' },
  EPIKRISE: { nb: 'Utskrivningsbrev', en: 'Discharge letter' },
  HENVISNING: { nb: 'Henvisning', en: 'Referral' },
  HENVISNING_NYTILSTAND: { nb: 'Henvisning', en: 'Referral' },
  NOTIFIKASJON_INNBYGGER_HENVISNING: { nb: 'Varsel om henvisning', en: 'Notice of a referral' },
  SVAR_LAB: { nb: 'Svarrapport', en: 'Laboratory report' },
  SVAR_MIKRO: { nb: 'Svarrapport, mikrobiologi', en: 'Report, microbiology' },
  SVAR_PAT: { nb: 'Svarrapport, patologi', en: 'Report, pathology' },
  SVAR_RTG: { nb: 'Svarrapport, røntgen', en: 'Report, radiology' },
};

/** A message function (8279) in words; the code itself when we have none. */
export function messageFunction(code: string, language: Language): string {
  return FUNCTIONS[code]?.[language] ?? code;
}

/** Message functions that the filter offers. */
export const MESSAGE_FUNCTIONS = ['HENVISNING_NYTILSTAND', 'SVAR_LAB', 'EPIKRISE', 'DIALOG_STATUS_HENVISNING', 'APPREC'] as const;

const ERROR_CODES: Readonly<Record<string, Text>> = {
  E10: { nb: 'meldings-id er ugyldig', en: 'the message id is invalid' },
  E20: { nb: 'legen finnes ikke', en: 'the doctor does not exist' },
  E21: { nb: 'mottakeren finnes ikke', en: 'the receiver does not exist' },
  E30: { nb: 'fødselsnummer mangler', en: 'the national id is missing' },
  E31: { nb: 'fødselsnummer er feil', en: 'the national id is wrong' },
  E32: { nb: 'navn på pasienten mangler', en: 'the patient’s name is missing' },
  E35: { nb: 'pasienten finnes ikke hos mottaker', en: 'the patient does not exist at the receiver' },
  E36: { nb: 'for få opplysninger om pasienten', en: 'too little about the patient' },
  E53: { nb: 'fødselsnummeret finnes ikke i folkeregisteret', en: 'the national id is not in the population register' },
  E54: { nb: 'fødselsnummeret finnes ikke hos mottaker', en: 'the national id is not known at the receiver' },
  S01: { nb: 'signaturen er feil', en: 'the signature is wrong' },
  S02: { nb: 'sertifikatet er ugyldig', en: 'the certificate is invalid' },
  S03: { nb: 'sertifikatet er trukket tilbake', en: 'the certificate is revoked' },
  S99: { nb: 'feil på signatur eller sertifikat', en: 'fault in signature or certificate' },
  T01: { nb: 'meldingen er ikke lesbar XML', en: 'the message is not readable XML' },
  T02: { nb: 'meldingen følger ikke skjemaet', en: 'the message breaks its schema' },
  T10: { nb: 'versjonen støttes ikke', en: 'the version is not supported' },
  T99: { nb: 'feil på formatet', en: 'fault in the format' },
  X99: { nb: 'annen feil', en: 'other fault' },
};

/** Codes of list 8221 in words, with the codes. */
export function errorCodes(codes: readonly string[], language: Language): string {
  return codes.map((code) => (ERROR_CODES[code] ? `${ERROR_CODES[code][language]} (${code})` : code)).join('; ');
}

const CONDITIONS: Readonly<Record<string, Text>> = {
  'transport:required-field-missing': { nb: 'et påkrevd felt mangler i konvolutten', en: 'a required envelope field is missing' },
  'transport:invalid-field-value': { nb: 'et felt i konvolutten er feil', en: 'an envelope field is wrong' },
  'transport:unsupported-message': { nb: 'mottakeren tar ikke imot denne typen', en: 'the receiver does not take this type' },
  'transport:missing-certificate': { nb: 'avsender mangler sertifikat', en: 'the sender has no certificate' },
  'transport:invalid-certificate': { nb: 'sertifikatet er ugyldig', en: 'the certificate is invalid' },
  'transport:expired-certificate': { nb: 'sertifikatet er utløpt', en: 'the certificate has expired' },
  'transport:revoked-certificate': { nb: 'sertifikatet er trukket tilbake', en: 'the certificate is revoked' },
  'transport:decryption-failed': { nb: 'meldingen kunne ikke dekrypteres', en: 'the message could not be decrypted' },
  'transport:invalid-signature': { nb: 'signaturen stemmer ikke', en: 'the signature does not match' },
  'transport:invalid-cms-pkcs': { nb: 'innholdet er ikke CMS', en: 'the content is not CMS' },
  'transport:not-well-formed-xml': { nb: 'innholdet er ikke velformet XML', en: 'the content is not well-formed XML' },
  'abuse:spoofing-attack': { nb: 'avsender utgir seg for å være en annen', en: 'the sender claims to be somebody else' },
  'dead-letter': { nb: 'levering mislyktes for mange ganger', en: 'delivery failed too many times' },
  expired: { nb: 'levetiden gikk ut', en: 'its time to live ran out' },
  'no-acknowledgment': { nb: 'ingen bekreftelse fra mottakerens system', en: 'no acknowledgment from the receiver’s system' },
  'not-sent': { nb: 'kunne ikke sendes', en: 'could not be sent' },
  overdue: { nb: 'ingen kvittering innen 96 timer', en: 'no receipt within 96 hours' },
  'transport:unverified-certificate': { nb: 'sertifikatet i adresseregisteret er ugyldig', en: 'the certificate in the address register is invalid' },
  'transport:invalid-encoding': { nb: 'tegnkodingen er feil', en: 'the character encoding is wrong' },
  'transport:xml-not-interpretable': { nb: 'XML-dokumentet er for stort eller for dypt', en: 'the XML document is too large or too deep' },
  'transport:internal-error': { nb: 'feil hos mottakeren', en: 'a fault at the receiver' },
};

/** An error condition of the error queue in words, with the condition. */
export function condition(code: string, language: Language): string {
  const known = CONDITIONS[code];
  return known ? `${known[language]} (${code})` : code;
}

const BASES: Readonly<Record<string, Text>> = {
  SAMTYKKE: { nb: 'samtykke', en: 'consent' },
  AKUTT: { nb: 'øyeblikkelig hjelp', en: 'emergency care' },
  UNNTAK: { nb: 'unntak', en: 'exception' },
  FORHOYET_SAMTYKKE: { nb: 'samtykke til det som er sperret', en: 'consent to what is restricted' },
  FORHOYET_AKUTT: { nb: 'øyeblikkelig hjelp, også det som er sperret', en: 'emergency care, restricted parts too' },
};

/** An access basis in words. */
export function basis(code: string, language: Language): string {
  return BASES[code]?.[language] ?? code;
}

const CATEGORIES: Readonly<Record<string, Text>> = {
  medicine_reaction: { nb: 'Legemiddelreaksjon', en: 'Reaction to a medicine' },
  other_allergy: { nb: 'Allergi', en: 'Allergy' },
  intubation: { nb: 'Vanskelig intubasjon', en: 'Difficult intubation' },
  anaesthesia: { nb: 'Problem ved anestesi', en: 'Anaesthetic problem' },
  condition: { nb: 'Kritisk tilstand', en: 'Critical condition' },
  ongoing_treatment: { nb: 'Pågående behandling', en: 'Ongoing treatment' },
  implant: { nb: 'Implantat', en: 'Implant' },
  treatment_limit: { nb: 'Begrensning av behandling', en: 'Limit of treatment' },
  procedure_change: { nb: 'Endret rutine', en: 'Change of procedure' },
  infection: { nb: 'Smitte', en: 'Infection' },
  treatment_clarification: { nb: 'Avklaring om behandling', en: 'Clarification of treatment' },
};

/** A category of critical information in words. */
export function category(code: string, language: Language): string {
  return CATEGORIES[code]?.[language] ?? code;
}
