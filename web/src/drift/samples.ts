/** Messages to try the validator with. Written by us; nobody in them exists. */

const RECEIPT = `<?xml version="1.0" encoding="UTF-8"?>
<AppRec xmlns="http://www.kith.no/xmlstds/apprec/2012-02-15">
  <MsgType V="APPREC" DN="Applikasjonskvittering"/>
  <MIGversion>v1.1 2012-02-15</MIGversion>
  <GenDate>2026-11-23T08:06:40+01:00</GenDate>
  <Id>7f1d2c1e-5b0a-4c58-9d0e-3f4a55d0a101</Id>
  <Sender>
    <HCP>
      <Inst>
        <Name>Nordlys universitetssykehus HF</Name>
        <Id>8900300</Id>
        <TypeId V="HER" DN="HER-id"/>
        <Dept>
          <Name>Hjertesykdommer</Name>
          <Id>8900301</Id>
          <TypeId V="HER" DN="HER-id"/>
        </Dept>
      </Inst>
    </HCP>
  </Sender>
  <Receiver>
    <HCP>
      <Inst>
        <Name>Fjordgløtt legesenter</Name>
        <Id>8900100</Id>
        <TypeId V="HER" DN="HER-id"/>
        <Dept>
          <Name>Legekontor</Name>
          <Id>8900101</Id>
          <TypeId V="HER" DN="HER-id"/>
        </Dept>
      </Inst>
    </HCP>
  </Receiver>
  <Status V="1" DN="OK"/>
  <OriginalMsgId>
    <MsgType V="HENVISNING_NYTILSTAND" DN="Henvisning ny tilstand"/>
    <IssueDate>2026-11-23T08:05:01+01:00</IssueDate>
    <Id>0b9c3a44-6f55-4c0a-8d33-1fb1f4f6a002</Id>
  </OriginalMsgId>
</AppRec>
`;

export const SAMPLES = {
  apprec: RECEIPT,
  broken: RECEIPT.replace('</Sender>', ''),
  typo: RECEIPT.replace('<Status V="1" DN="OK"/>', '<Statuss V="1" DN="OK"/>'),
} as const;
