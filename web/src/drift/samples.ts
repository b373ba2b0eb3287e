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

/** An ebXML message as mail, unsigned and with a few faults: what a vendor's first attempt may look like. */
const MAIL = `From: edi@din-epj.example
To: edi@legekontor.example
Date: Mon, 23 Nov 2026 08:05:01 +0100
Message-ID: <1@din-epj.example>
MIME-Version: 1.0
SOAPAction: "ebxml"
Content-Type: multipart/related; type="text/xml"; boundary="del"; start="<konvolutt>"

--del
Content-ID: <konvolutt>
Content-Type: text/xml; charset="UTF-8"
Content-Transfer-Encoding: 8bit

<?xml version="1.0" encoding="UTF-8"?>
<SOAP:Envelope xmlns:SOAP="http://schemas.xmlsoap.org/soap/envelope/"
    xmlns:eb="http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd"
    xmlns:xlink="http://www.w3.org/1999/xlink">
  <SOAP:Header>
    <eb:MessageHeader eb:version="2.0" SOAP:mustUnderstand="1">
      <eb:From><eb:PartyId eb:type="HER">8900901</eb:PartyId><eb:Role>EPIKRISEsender</eb:Role></eb:From>
      <eb:To><eb:PartyId eb:type="HER">8900101</eb:PartyId><eb:Role>EPIKRISEreceiver</eb:Role></eb:To>
      <eb:CPAId>8900101_8900901</eb:CPAId>
      <eb:ConversationId>1</eb:ConversationId>
      <eb:Service eb:type="string">EPIKRISE-S</eb:Service>
      <eb:Action>EPIKRISE</eb:Action>
      <eb:MessageData>
        <eb:MessageId>5b0a7f1d-4c58-4d0e-9f4a-55d0a1013f2c</eb:MessageId>
        <eb:Timestamp>2026-11-23T07:05:01Z</eb:Timestamp>
      </eb:MessageData>
      <eb:Description xml:lang="NO">{"MSH-system":"Din MSH"}</eb:Description>
    </eb:MessageHeader>
    <eb:AckRequested eb:version="2.0" SOAP:mustUnderstand="1" eb:signed="true"/>
  </SOAP:Header>
  <SOAP:Body>
    <eb:Manifest eb:version="2.0">
      <eb:Reference xlink:href="cid:vedlegg">
        <eb:Schema eb:location="http://www.kith.no/xmlstds/epikrise/2012-02-15" eb:version="1.1"/>
      </eb:Reference>
    </eb:Manifest>
  </SOAP:Body>
</SOAP:Envelope>
--del
Content-ID: <vedlegg>
Content-Type: application/pkcs7-mime; smime-type=enveloped-data
Content-Transfer-Encoding: base64

MIIBAAYJKoZIhvcNAQcDoIHxMIHuAgEA
--del--
`;

export const SAMPLES = {
  apprec: RECEIPT,
  broken: RECEIPT.replace('</Sender>', ''),
  mail: MAIL,
  typo: RECEIPT.replace('<Status V="1" DN="OK"/>', '<Statuss V="1" DN="OK"/>'),
} as const;
