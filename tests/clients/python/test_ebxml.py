"""ebXML by mail with what Debian has: smtplib and poplib, `openssl cms`, `xmlsec1`.

Nothing of the hub's own code takes part on this side.
"""
import base64
import datetime
import email
import email.encoders
import email.message
import email.policy
import email.utils
import poplib
import pathlib
import re
import shutil
import smtplib
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request
import uuid
import xml.etree.ElementTree as ElementTree

from facts import facts, one, person
from test_bus import Keys, openssl, report

NAMES = {
    "SOAP": "http://schemas.xmlsoap.org/soap/envelope/",
    "eb": "http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}
CANONICAL = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"
FILTER = ('not(ancestor-or-self::node()[@SOAP:actor="urn:oasis:names:tc:ebxml-msg:actor:nextMSH"]'
          ' | ancestor-or-self::node()[@SOAP:actor="http://schemas.xmlsoap.org/soap/actor/next"])')
SIGNATURE = f"""<ds:Signature xmlns:ds="{NAMES['ds']}"><ds:SignedInfo>
<ds:CanonicalizationMethod Algorithm="{CANONICAL}"/>
<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/>
<ds:Reference URI=""><ds:Transforms>
<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/>
<ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"><ds:XPath xmlns:SOAP="{NAMES['SOAP']}">{FILTER}</ds:XPath></ds:Transform>
<ds:Transform Algorithm="{CANONICAL}"/>
</ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference>
<ds:Reference URI="cid:payload"><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue/></ds:Reference>
</ds:SignedInfo><ds:SignatureValue/><ds:KeyInfo><ds:X509Data><ds:X509Certificate/></ds:X509Data></ds:KeyInfo></ds:Signature>"""


def envelope(message_id, conversation):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<SOAP:Envelope xmlns:SOAP="{NAMES['SOAP']}" xmlns:eb="{NAMES['eb']}" xmlns:xlink="http://www.w3.org/1999/xlink"><SOAP:Header>
<eb:MessageHeader SOAP:mustUnderstand="1" eb:version="2.0">
<eb:From><eb:PartyId eb:type="HER">8900901</eb:PartyId><eb:Role>SVAR_LABsender</eb:Role></eb:From>
<eb:To><eb:PartyId eb:type="HER">8900008</eb:PartyId><eb:Role>SVAR_LABreceiver</eb:Role></eb:To>
<eb:CPAId>8900008_8900901</eb:CPAId><eb:ConversationId>{conversation}</eb:ConversationId>
<eb:Service eb:type="string">S-SVAR_LAB</eb:Service><eb:Action>SVAR_LAB</eb:Action>
<eb:MessageData><eb:MessageId>{message_id}</eb:MessageId><eb:Timestamp>{now}</eb:Timestamp></eb:MessageData>
<eb:DuplicateElimination/>
<eb:Description xml:lang="no">{{"MSH-system":"python","MSH-versjon":"3"}}</eb:Description></eb:MessageHeader>
<eb:AckRequested SOAP:mustUnderstand="1" eb:version="2.0" eb:signed="true" SOAP:actor="urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH"/>
{SIGNATURE}</SOAP:Header><SOAP:Body><eb:Manifest eb:version="2.0"><eb:Reference xlink:href="cid:payload" xlink:type="simple">
<eb:Schema eb:location="http://www.kith.no/xmlstds/labsvar/2012-02-15" eb:version="1.4"/></eb:Reference></eb:Manifest></SOAP:Body></SOAP:Envelope>
"""


@unittest.skipUnless(shutil.which("xmlsec1"), "no xmlsec1")
class Mail(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.keys = Keys(cls.folder.name)
        cls.user = one(facts["mail"]["users"], her_id=8900900)
        cls.hub = one(facts["mail"]["users"], her_id=8900000)
        version = subprocess.run(["xmlsec1", "--version"], capture_output=True, check=True).stdout.decode()
        cls.lax = [] if "xmlsec1 1.2" in version else ["--lax-key-search"]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        # What earlier tests left.
        self.fetch()
        self.waiting = []

    def xmlsec(self, *arguments):
        done = subprocess.run(["xmlsec1", *arguments], capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout

    def message(self, document, message_id=None, cipher="-aes256"):
        """(MessageId, signed envelope, encrypted payload)"""
        message_id = message_id or str(uuid.uuid4())
        folder = pathlib.Path(self.folder.name)
        payload = openssl("cms", "-encrypt", "-binary", cipher, "-outform", "DER", self.keys.path("hub.pem"), data=document)
        (folder / "payload").write_bytes(payload)
        (folder / "template.xml").write_text(envelope(message_id, uuid.uuid4()), encoding="utf-8")
        pem = self.keys.path("signing.pem")
        signed = self.xmlsec("--sign", *self.lax, "--privkey-pem", f"{pem},{pem}", "--url-map:cid:payload", str(folder / "payload"),
                             str(folder / "template.xml"))
        return message_id, signed, payload

    def mail(self, soap, payload):
        whole = email.message.EmailMessage()
        whole["From"], whole["To"] = self.user["address"], self.hub["address"]
        whole["Subject"], whole["Message-ID"] = "SVAR_LAB", f"<{uuid.uuid4()}@python.example>"
        whole["Date"] = email.utils.localtime()
        whole["SOAPAction"] = '"ebXML"'
        whole["MIME-Version"] = "1.0"
        whole["Content-Type"] = 'multipart/related; type="text/xml"; start="<soap>"'
        for content, kind, cid in [
            (soap, 'text/xml; charset="UTF-8"', "<soap>"),
            (payload, "application/pkcs7-mime; smime-type=enveloped-data", "<payload>"),
        ]:
            part = email.message.Message()
            part["Content-Type"], part["Content-ID"] = kind, cid
            part.set_payload(content)
            email.encoders.encode_base64(part)
            whole.attach(part)
        return whole.as_bytes(policy=email.policy.SMTP)

    def send(self, mail):
        host, port = facts["mail"]["smtp"].rsplit(":", 1)
        with smtplib.SMTP(host, int(port), timeout=20) as smtp:
            smtp.sendmail(self.user["address"], [self.hub["address"]], mail)

    def fetch(self):
        host, port = facts["mail"]["pop3"].rsplit(":", 1)
        box = poplib.POP3(host, int(port), timeout=20)
        box.user(self.user["username"])
        box.pass_(self.user["password"])
        mails = []
        for number in range(1, box.stat()[0] + 1):
            mails.append(email.message_from_bytes(b"\r\n".join(box.retr(number)[1])))
            box.dele(number)
        box.quit()
        return mails

    def next(self, is_wanted):
        """The next mail for which `is_wanted(envelope)` holds: (envelope as bytes, as tree, mail). Others keep waiting."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            self.waiting += self.fetch()
            for mail in self.waiting:
                part = mail.get_payload()[0] if mail.is_multipart() else mail
                soap = part.get_payload(decode=True)
                found = ElementTree.fromstring(soap)
                if is_wanted(found):
                    self.waiting.remove(mail)
                    return soap, found, mail
            time.sleep(0.3)
        return self.fail("the mail did not come")

    def action(self, wanted, message_id):
        """The next signal or receipt of this kind about a message of ours."""
        def is_wanted(found):
            refers = [node.text for node in found.iterfind(".//eb:RefToMessageId", NAMES)]
            return found.findtext(".//eb:MessageHeader/eb:Action", namespaces=NAMES) == wanted and message_id in refers
        return self.next(is_wanted)

    def verify(self, soap, *more):
        """xmlsec1 accepts the signature, and its certificate comes from the demo's authority."""
        file = pathlib.Path(self.folder.name) / "received.xml"
        file.write_bytes(soap)
        self.xmlsec("--verify", *self.lax, "--trusted-pem", self.keys.path("ca.pem"), *more,
                    "--node-xpath", "/*/*/*[local-name()='Signature']", str(file))

    def test_a_report_is_acknowledged_and_receipted(self):
        for cipher in ("-aes256", "-des3"):
            with self.subTest(cipher=cipher):
                msg_id, xml = report(person("diabetes")["pid"], "Eira, Máhtto")
                message_id, soap, payload = self.message(xml, cipher=cipher)
                self.send(self.mail(soap, payload))
                signal, found, _ = self.action("Acknowledgment", message_id)
                self.verify(signal)
                acknowledged = found.find(".//eb:Acknowledgment", NAMES)
                self.assertEqual(acknowledged.findtext("eb:RefToMessageId", namespaces=NAMES), message_id)
                ours = ElementTree.fromstring(soap).findall(".//ds:SignedInfo/ds:Reference", NAMES)
                digest = lambda rows: sorted((r.get("URI"), r.findtext("ds:DigestValue", namespaces=NAMES)) for r in rows)
                self.assertEqual(digest(acknowledged.findall("ds:Reference", NAMES)), digest(ours))

                receipt, found, mail = self.action("APPREC", message_id)
                part = mail.get_payload()[1]
                sealed = part.get_payload(decode=True)
                file = pathlib.Path(self.folder.name) / "attachment"
                file.write_bytes(sealed)
                self.verify(receipt, "--url-map:cid:" + part["Content-ID"].strip("<>"), str(file))
                header = found.find(".//eb:MessageHeader", NAMES)
                self.assertEqual(header.findtext("eb:Service", namespaces=NAMES), "S-SVAR_LAB")
                self.assertEqual(header.findtext("eb:From/eb:Role", namespaces=NAMES), "SVAR_LABreceiver")
                opened = openssl("cms", "-decrypt", "-inform", "DER", "-recip", self.keys.path("encryption.pem"), data=sealed).decode()
                self.assertIn(f"<Id>{msg_id}</Id>", opened)
                self.assertIn('<Status V="1"', opened)

    def test_the_same_message_again_gets_the_same_answer(self):
        _, xml = report(person("diabetes")["pid"], "Eira, Máhtto")
        message_id, soap, payload = self.message(xml)
        self.send(self.mail(soap, payload))
        first, _, _ = self.action("Acknowledgment", message_id)
        self.send(self.mail(soap, payload))
        again, _, _ = self.action("Acknowledgment", message_id)
        self.assertEqual(first, again)

    def test_a_changed_message_is_refused(self):
        _, xml = report(person("diabetes")["pid"], "Eira, Máhtto")
        message_id, soap, payload = self.message(xml)
        self.send(self.mail(soap.replace(b"SVAR_LABsender", b"SVAR_LABSender"), payload))
        signal, found, _ = self.action("MessageError", message_id)
        self.verify(signal)
        self.assertEqual(found.findtext(".//eb:MessageData/eb:RefToMessageId", namespaces=NAMES), message_id)
        error = found.find(".//eb:Error", NAMES)
        self.assertEqual(error.get(f"{{{NAMES['eb']}}}errorCode"), "SecurityFailure")

    def test_what_is_no_message_gets_a_fault_and_strangers_no_mail(self):
        self.send(b"From: %s\r\nTo: x\r\n\r\nhei\r\n" % self.user["address"].encode())
        fault, _, _ = self.next(lambda found: found.find(".//SOAP:Fault", NAMES) is not None)
        self.assertIn(b"faultcode>SOAP:Client<", fault)
        with self.assertRaises(smtplib.SMTPRecipientsRefused):
            host, port = facts["mail"]["smtp"].rsplit(":", 1)
            with smtplib.SMTP(host, int(port), timeout=20) as smtp:
                smtp.sendmail(self.user["address"], ["who@where.example"], b"x")

    def test_over_http_the_signal_is_in_the_response(self):
        _, xml = report(person("diabetes")["pid"], "Eira, Máhtto")
        message_id, soap, payload = self.message(xml)
        whole = self.mail(soap, payload)
        head, body = whole.split(b"\r\n\r\n", 1)
        kind = email.message_from_bytes(head)["Content-Type"].replace("\r\n", " ")
        request = urllib.request.Request(facts["endpoints"]["ebxml"], data=body, headers={"Content-Type": kind, "SOAPAction": '"ebXML"'})
        with urllib.request.urlopen(request, timeout=20) as response:
            signal = response.read()
        self.verify(signal)
        found = ElementTree.fromstring(signal)
        self.assertEqual(found.findtext(".//eb:Acknowledgment/eb:RefToMessageId", namespaces=NAMES), message_id)
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(facts["endpoints"]["ebxml"], data=b"x", headers={"Content-Type": "text/xml"}))
        self.assertEqual(refused.exception.code, 400)

    def test_mail_goes_over_tls_as_well(self):
        trust = ssl.create_default_context(cadata=facts["ca_pem"])
        _, xml = report(person("diabetes")["pid"], "Eira, Máhtto")
        message_id, soap, payload = self.message(xml)
        mail = self.mail(soap, payload)
        at = lambda name: ("localhost", int(facts["mail"][name].rsplit(":", 1)[1]))
        with smtplib.SMTP(*at("smtp"), timeout=20) as smtp:
            smtp.starttls(context=trust)
            smtp.login(self.user["username"], self.user["password"])
            smtp.sendmail(self.user["address"], [self.hub["address"]], mail)
        with smtplib.SMTP_SSL(*at("smtp_tls"), timeout=20, context=trust) as smtp:
            smtp.sendmail(self.user["address"], [self.hub["address"]], mail)
        self.action("Acknowledgment", message_id)
        upgraded = poplib.POP3(*at("pop3"), timeout=20)
        upgraded.stls(context=trust)
        for box in (upgraded, poplib.POP3_SSL(*at("pop3_tls"), timeout=20, context=trust)):
            box.user(self.user["username"])
            box.pass_(self.user["password"])
            box.stat()
            box.quit()

    def test_a_ping_is_answered(self):
        message_id = str(uuid.uuid4())
        asked = envelope(message_id, uuid.uuid4())
        head, rest = asked.split('<eb:Service eb:type="string">')
        _, rest = rest.split("<eb:MessageData>")
        asked = f"{head}<eb:Service>urn:oasis:names:tc:ebxml-msg:service</eb:Service><eb:Action>Ping</eb:Action><eb:MessageData>{rest}"
        asked = re.sub("<eb:AckRequested.*?/>|<eb:DuplicateElimination/>|<eb:Manifest.*</eb:Manifest>", "", asked, flags=re.DOTALL)
        asked = re.sub('<ds:Reference URI="cid:payload">.*?</ds:Reference>', "", asked, flags=re.DOTALL)
        template = pathlib.Path(self.folder.name) / "template.xml"
        template.write_text(asked, encoding="utf-8")
        pem = self.keys.path("signing.pem")
        signed = self.xmlsec("--sign", *self.lax, "--privkey-pem", f"{pem},{pem}", str(template))
        request = urllib.request.Request(facts["endpoints"]["ebxml"], data=signed, headers={"Content-Type": "text/xml", "SOAPAction": '"ebXML"'})
        with urllib.request.urlopen(request, timeout=20) as response:
            pong = response.read()
        self.verify(pong)
        found = ElementTree.fromstring(pong)
        self.assertEqual(found.findtext(".//eb:Action", namespaces=NAMES), "Pong")
        self.assertEqual(found.findtext(".//eb:MessageData/eb:RefToMessageId", namespaces=NAMES), message_id)

    def test_certificates_can_be_asked_about(self):
        folder = pathlib.Path(self.folder.name)
        us = one(facts["organisations"], her_id=8900900)
        (folder / "revoked.p12").write_bytes(base64.b64decode(us["spare_p12"]["revoked"]))
        (folder / "revoked.pem").write_bytes(openssl("pkcs12", "-in", str(folder / "revoked.p12"), "-nodes", "-clcerts",
                                                     "-passin", "pass:" + us["p12_password"]))
        done = subprocess.run(
            ["openssl", "ocsp", "-issuer", self.keys.path("ca.pem"), "-CAfile", self.keys.path("ca.pem"), "-url", facts["endpoints"]["ocsp"],
             "-cert", self.keys.path("signing.pem"), "-cert", str(folder / "revoked.pem"), "-cert", self.keys.path("hub.pem")],
            capture_output=True, check=True)
        said = (done.stdout + done.stderr).decode()
        self.assertIn("Response verify OK", said)
        self.assertIn("signing.pem: good", said)
        self.assertIn("hub.pem: good", said)
        self.assertIn("revoked.pem: revoked", said)
        self.assertNotIn("no nonce", said)
        # The same by GET, as caches like it.
        request, answer = folder / "ocsp-request", folder / "ocsp-answer"
        known = ["-issuer", self.keys.path("ca.pem"), "-no_nonce", "-cert", self.keys.path("signing.pem")]
        openssl("ocsp", *known, "-reqout", str(request))
        text = urllib.parse.quote(base64.b64encode(request.read_bytes()).decode(), safe="")
        with urllib.request.urlopen(f"{facts['endpoints']['ocsp']}/{text}", timeout=20) as response:
            self.assertEqual(response.headers["Content-Type"], "application/ocsp-response")
            self.assertIn("max-age=43200", response.headers["Cache-Control"])
            answer.write_bytes(response.read())
        said = openssl("ocsp", *known, "-respin", str(answer), "-CAfile", self.keys.path("ca.pem")).decode()
        self.assertIn("signing.pem: good", said)


if __name__ == "__main__":
    unittest.main()
