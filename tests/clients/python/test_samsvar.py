"""Test and approval: a vendor made of a hundred lines fetches the battery of discharge letters, answers each as the standards say, and is
approved; with python-qpid-proton and `openssl cms` on the bus, with smtplib, poplib, `openssl cms` and `xmlsec1` over ebXML, with requests
over the message service. Nothing of the hub's own code takes part on this side."""
import base64
import datetime
import pathlib
import re
import shutil
import tempfile
import time
import unittest
import uuid
from xml.etree import ElementTree

import requests
from jwskate import Jwk
from proton import Message, Timeout, symbol
from proton.utils import BlockingConnection
from requests_oauth2client import OAuth2Client, PrivateKeyJwt

import test_bus
import test_ebxml
from facts import client, facts, one

BASE = facts["endpoints"]["samsvar"]
EPIKRISE = "{http://www.kith.no/xmlstds/epikrise/2012-02-15}"
US, HUB = 8900901, 8900004


def token():
    who = "demo-system-vaar"
    helseid = OAuth2Client.from_discovery_endpoint(
        issuer=facts["helseid"]["issuer"], auth=PrivateKeyJwt(who, Jwk(client(who)["private_jwk"])),
        dpop_bound_access_tokens=True,
    )
    return helseid.client_credentials(scope="nhn:msh/api", resource=["nhn:msh"])


def check_digits_fit(nin):
    digits = [int(digit) for digit in nin]
    first, second = (3, 7, 6, 1, 8, 9, 4, 5, 2, 1), (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)
    return all(sum(a * b for a, b in zip(digits, weights)) % 11 == 0 for weights in (first, second))


def judge(root):
    """What our system says of a letter: None, or the code of list 8221."""
    if not root.tag.startswith(EPIKRISE):
        return "T10"
    try:
        uuid.UUID(root.findtext(EPIKRISE + "MsgId"))
    except ValueError:
        return "E10"
    receiver = root.find(f"{EPIKRISE}ServRprt/{EPIKRISE}Requester")
    if str(US) not in [e.text for e in receiver.iter(EPIKRISE + "Id")]:
        return "E10"
    nin = root.findtext(f"{EPIKRISE}ServRprt/{EPIKRISE}Patient/{EPIKRISE}OffId")
    if not nin:
        return "E30"
    return None if check_digits_fit(nin) else "E31"


def party(role, name, her_id, unit):
    return (f'<Role V="{role}" DN="{role}"/><HCP><Inst><Name>{name}</Name><Id>{her_id}</Id><TypeId V="HER" DN="HER-id"/>'
            f'<Dept><Name>Enhet</Name><Id>{unit}</Id><TypeId V="HER" DN="HER-id"/></Dept></Inst></HCP>')


def apprec(root, code):
    space = root.tag[:root.tag.index("}") + 1]
    now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0).isoformat()
    status, error = ('V="1" DN="OK"', "") if code is None else (
        'V="2" DN="Avvist"', f'<Error V="{code}" S="2.16.578.1.12.4.1.1.8221" DN="{code}"/>')
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<AppRec xmlns="http://www.kith.no/xmlstds/apprec/2012-02-15"><MsgType V="APPREC" DN="Applikasjonskvittering"/><MIGversion>v1.1 2012-02-15</MIGversion>
<GenDate>{now}</GenDate><Id>{uuid.uuid4()}</Id><Sender>{party('PRIM', 'Din EPJ AS', 8900900, US)}</Sender>
<Receiver>{party('AVS', 'Helsenav drift', 8900000, HUB)}</Receiver><Status {status}/>{error}
<OriginalMsgId><MsgType V="EPIKRISE" DN="Epikrise"/><IssueDate>{root.find(space + 'GenDate').get('V')}</IssueDate><Id>{root.findtext(space + 'MsgId')}</Id>
</OriginalMsgId></AppRec>""".encode()


class Handler:
    """A message handler for the vendor: envelopes signed by `xmlsec1`, mail by smtplib and poplib."""

    def __init__(self):
        test_ebxml.Mail.setUpClass()
        self.post = test_ebxml.Mail("fetch")
        self.post.setUp()

    @staticmethod
    def header(found, name):
        return found.findtext(f".//eb:MessageHeader/{'eb:MessageData/' if name == 'MessageId' else ''}eb:{name}", namespaces=test_ebxml.NAMES)

    def sign(self, soap, *more):
        folder = pathlib.Path(self.post.folder.name)
        (folder / "signal.xml").write_text(soap, encoding="utf-8")
        pem = self.post.keys.path("signing.pem")
        return self.post.xmlsec("--sign", *self.post.lax, "--privkey-pem", f"{pem},{pem}", *more, str(folder / "signal.xml"))

    def signal(self, found, action, block):
        about = self.header(found, "MessageId") if action == "MessageError" else None
        soap = envelope(found, "urn:oasis:names:tc:ebxml-msg:service", action, about, block,
                        re.sub(r'<ds:Reference URI="cid:payload">.*?</ds:Reference>', "", test_ebxml.SIGNATURE, flags=re.S))
        mail = test_ebxml.email.message.EmailMessage()
        mail["From"], mail["To"] = self.post.user["address"], self.post.hub["address"]
        mail["Message-ID"], mail["Date"] = f"<{uuid.uuid4()}@python.example>", test_ebxml.email.utils.localtime()
        mail["SOAPAction"], mail["MIME-Version"] = '"ebXML"', "1.0"
        mail["Content-Type"] = 'text/xml; charset="UTF-8"'
        mail.set_payload(self.sign(soap))
        test_ebxml.email.encoders.encode_base64(mail)
        self.post.send(mail.as_bytes(policy=test_ebxml.email.policy.SMTP))

    def acknowledge(self, found):
        references = "".join(ElementTree.tostring(r, encoding="unicode")
                             for r in found.iterfind(".//ds:SignedInfo/ds:Reference", test_ebxml.NAMES))
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.signal(found, "Acknowledgment", f"""<eb:Acknowledgment SOAP:mustUnderstand="1" eb:version="2.0"
 SOAP:actor="urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH"><eb:Timestamp>{now}</eb:Timestamp>
<eb:RefToMessageId>{self.header(found, 'MessageId')}</eb:RefToMessageId>
<eb:From><eb:PartyId eb:type="HER">{US}</eb:PartyId></eb:From>{references}</eb:Acknowledgment>""")

    def refuse(self, found):
        self.signal(found, "MessageError", """<eb:ErrorList SOAP:mustUnderstand="1" eb:version="2.0" eb:highestSeverity="Error">
<eb:Error eb:codeContext="urn:oasis:names:tc:ebxml-msg:service:errors" eb:errorCode="OtherXml" eb:severity="Error">
<eb:Description xml:lang="no">ikke XML</eb:Description></eb:Error></eb:ErrorList>""")

    def answer(self, found, document):
        folder = pathlib.Path(self.post.folder.name)
        payload = test_bus.openssl("cms", "-encrypt", "-binary", "-aes256", "-outform", "DER", self.post.keys.path("hub.pem"), data=document)
        (folder / "payload").write_bytes(payload)
        block = ('<eb:AckRequested SOAP:mustUnderstand="1" eb:version="2.0" eb:signed="true"'
                 ' SOAP:actor="urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH"/>')
        soap = envelope(found, "S-EPIKRISE", "APPREC", self.header(found, "MessageId"), block, test_ebxml.SIGNATURE)
        self.post.send(self.post.mail(self.sign(soap, "--url-map:cid:payload", str(folder / "payload")), payload))


def envelope(found, service, action, about, block, signature):
    """An envelope back to the hub's party, in the conversation of a message of its."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    is_payload = action == "APPREC"
    kind = ' eb:type="string"' if is_payload else ""
    refers = f"<eb:RefToMessageId>{about}</eb:RefToMessageId>" if about else ""
    manifest = """<eb:Manifest eb:version="2.0"><eb:Reference xlink:href="cid:payload" xlink:type="simple">
<eb:Schema eb:location="http://www.kith.no/xmlstds/apprec/2012-02-15" eb:version="1.1"/></eb:Reference></eb:Manifest>""" if is_payload else ""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<SOAP:Envelope xmlns:SOAP="{test_ebxml.NAMES['SOAP']}" xmlns:eb="{test_ebxml.NAMES['eb']}" xmlns:xlink="http://www.w3.org/1999/xlink"><SOAP:Header>
<eb:MessageHeader SOAP:mustUnderstand="1" eb:version="2.0">
<eb:From><eb:PartyId eb:type="HER">{US}</eb:PartyId><eb:Role>EPIKRISEreceiver</eb:Role></eb:From>
<eb:To><eb:PartyId eb:type="HER">{HUB}</eb:PartyId><eb:Role>EPIKRISEsender</eb:Role></eb:To>
<eb:CPAId>{Handler.header(found, 'CPAId')}</eb:CPAId><eb:ConversationId>{Handler.header(found, 'ConversationId')}</eb:ConversationId>
<eb:Service{kind}>{service}</eb:Service><eb:Action>{action}</eb:Action>
<eb:MessageData><eb:MessageId>{uuid.uuid4()}</eb:MessageId><eb:Timestamp>{now}</eb:Timestamp>{refers}</eb:MessageData>
{'<eb:DuplicateElimination/>' if is_payload else ''}
<eb:Description xml:lang="no">{{"MSH-system":"python","MSH-versjon":"3"}}</eb:Description></eb:MessageHeader>
{block}{signature}</SOAP:Header><SOAP:Body>{manifest}</SOAP:Body></SOAP:Envelope>
"""


class Samsvar(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.keys = test_bus.Keys(cls.folder.name)
        cls.auth = token()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        user = one(facts["amqp"]["users"], her_id=8900900)
        self.connection = BlockingConnection(
            f"amqp://{facts['amqp']['host']}:{facts['amqp']['port']}",
            user=user["username"], password=user["password"], allowed_mechs="PLAIN", timeout=30,
        )
        self.addCleanup(self.connection.close)

    def call(self, method, path, expected, **more):
        answer = requests.request(method, f"{BASE}/{path}", auth=self.auth, timeout=60, **more)
        self.assertEqual(answer.status_code, expected, answer.text[:500])
        return answer.json()

    def send(self, queue, subject, body, **properties):
        identity = str(uuid.uuid4())
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        message = Message(
            id=identity, correlation_id=identity, address=queue, reply_to="8900900_async", subject=subject,
            content_type=symbol(test_bus.CONTENT_TYPE), body=body, inferred=True,
            properties={"fromHerId": str(US), "toHerId": str(HUB), "applicationTimeStamp": now, **properties},
        )
        sender = self.connection.create_sender(queue)
        sender.send(message)
        sender.close()

    def answer(self, message, known):
        content = self.keys.open(bytes(message.body))
        if message.subject == "APPREC":
            return
        try:
            root = ElementTree.fromstring(content)
        except ElementTree.ParseError:
            now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
            self.send("8900000_error", message.subject, b"", originalMessageId=message.id, receiverTimeStamp=now,
                      errorCondition="transport:not-well-formed-xml", errorDescription="ikke XML")
            return
        msg_id = next(e.text for e in root if e.tag.endswith("}MsgId"))
        if msg_id in known:
            return
        known.add(msg_id)
        self.send("8900000_async", "APPREC", self.keys.seal(apprec(root, judge(root))))

    def state_of(self, run, wanted):
        """The report once it is as wanted, looked at again while the hub reads what was sent."""
        for _ in range(120):
            report = self.call("GET", f"runs/{run}", 200)
            if wanted(report):
                return report
            self.moment()
        self.fail({line["id"]: line["findings"] for line in report["criteria"] if line["state"] != "passed"})

    def moment(self):
        receiver = self.connection.create_receiver("8900900_error", credit=1)
        try:
            receiver.receive(timeout=0.5)
            receiver.accept()
        except Timeout:
            pass
        finally:
            receiver.close()

    def begin(self, transport):
        """A system of a name of its own, and a run that tries it as a receiver over this transport."""
        name = f"Python-EPJ {uuid.uuid4().hex[:8]}"
        system = self.call("POST", "systems", 201, json={
            "her_id": US, "name": name, "version": "1.0", "msh_name": "python", "msh_version": "3"})
        run = self.call("POST", "runs", 201, json={
            "system": system["id"], "standard": "epikrise-1.2", "direction": "receive", "transport": transport})
        sent = {case["msg_id"].lower() for case in run["cases"]}
        return name, run, sent, sum(2 if case["case"] == "duplicate" else 1 for case in run["cases"])

    def approve(self, name, run):
        """Everything that the hub sees is met; the rest is declared, and the system is published."""
        report = self.state_of(run["id"], lambda r: all(
            line["state"] == "passed" for line in r["criteria"] if not line["self_declared"]))
        self.assertFalse(report["passed"])
        self.call("POST", f"runs/{run['id']}/finish", 409)
        for line in report["criteria"]:
            if line["self_declared"]:
                self.call("PUT", f"runs/{run['id']}/declarations/{line['id']}", 200,
                          json={"answer": True, "remark": "sett på skjermen"})
        done = self.call("POST", f"runs/{run['id']}/finish", 200)
        self.assertEqual((done["status"], done["passed"]), ("ok", True))
        published = requests.get(f"{BASE}/approved", timeout=60).json()
        self.assertIn((name, "Epikrise 1.2"), [(row["system"], row["standard"]) for row in published])

    def test_a_vendor_is_approved(self):
        name, run, sent, left = self.begin("amqp")
        known = set()
        receiver = self.connection.create_receiver("8900900_async", credit=10)
        while left:
            message = receiver.receive(timeout=60)
            # Other suites leave receipts of their own in the queue.
            if str(message.properties.get("X-MessageInfo-MsgId", "")).lower() in sent:
                self.answer(message, known)
                left -= 1
            receiver.accept()
        receiver.close()
        self.approve(name, run)

    def test_a_vendor_is_approved_over_the_message_service(self):
        name, run, sent, left = self.begin("rest")
        self.assertNotIn("not_well_formed", [case["case"] for case in run["cases"]])
        base, known = facts["endpoints"]["meldingstjener"], set()

        def msh(method, path, expected, **more):
            answer = requests.request(method, f"{base}/Messages{path}", auth=self.auth, timeout=60,
                                      headers={"api-version": "2", "nhn-source-system": "python"}, **more)
            self.assertEqual(answer.status_code, expected, answer.text[:500])
            return answer.json() if answer.text else None

        until = time.monotonic() + 60
        while left and time.monotonic() < until:
            waiting = msh("GET", "", 200, params={"receiverHerIds": US, "includeMetadata": "true", "messagesToFetch": 100})
            for message in waiting:
                ours = message["businessDocumentId"].lower() in sent
                if ours and not message["isAppRec"]:
                    document = msh("GET", f"/{message['id']}/business-document", 200)
                    root = ElementTree.fromstring(base64.b64decode(document["businessDocument"]))
                    if message["businessDocumentId"] not in known:
                        known.add(message["businessDocumentId"])
                        code = judge(root)
                        said = {"appRecStatus": "Ok"} if code is None else {
                            "appRecStatus": "Rejected", "appRecErrorList": [{"errorCode": code}]}
                        msh("POST", f"/{message['id']}/apprec/{US}", 201, json=said)
                msh("PUT", f"/{message['id']}/read/{US}", 204)
                left -= ours
        self.assertEqual(left, 0)
        self.approve(name, run)

    @unittest.skipUnless(shutil.which("xmlsec1"), "no xmlsec1")
    def test_a_vendor_is_approved_over_ebxml(self):
        vendor = Handler()
        self.addCleanup(test_ebxml.Mail.tearDownClass)
        name, run, _, left = self.begin("ebxml")
        known = set()
        while left:
            soap, found, mail = vendor.post.next(lambda found: vendor.header(found, "Action") == "EPIKRISE")
            part = mail.get_payload()[1]
            sealed = part.get_payload(decode=True)
            file = pathlib.Path(vendor.post.folder.name) / "attachment"
            file.write_bytes(sealed)
            vendor.post.verify(soap, "--url-map:cid:" + part["Content-ID"].strip("<>"), str(file))
            content = test_bus.openssl("cms", "-decrypt", "-binary", "-inform", "DER", "-recip",
                                       vendor.post.keys.path("encryption.pem"), data=sealed)
            # The inner part's head ends with an empty line; a bare document has none before its root.
            head, _, body = content.partition(b"\r\n\r\n")
            if not head.lstrip().startswith(b"<"):
                inner = test_ebxml.email.message_from_bytes(content)
                body = inner.get_payload(decode=True)
            else:
                body = content
            left -= 1
            try:
                root = ElementTree.fromstring(body)
            except ElementTree.ParseError:
                vendor.refuse(found)
                continue
            vendor.acknowledge(found)
            msg_id = next(e.text for e in root if e.tag.endswith("}MsgId"))
            if msg_id not in known:
                known.add(msg_id)
                vendor.answer(found, apprec(root, judge(root)))
        self.approve(name, run)

    def test_strangers_and_nonsense_are_refused(self):
        self.assertEqual(requests.get(f"{BASE}/runs", timeout=60).status_code, 401)
        self.assertEqual(len(requests.get(f"{BASE}/criteria", timeout=60).json()) > 30, True)
        self.call("POST", "systems", 400, json={"her_id": 8900301, "name": "a", "version": "1", "msh_name": "m", "msh_version": "1"})
        self.call("POST", "systems", 400, json={"name": "a"})
        self.call("GET", f"runs/{uuid.uuid4()}", 404)
        self.call("DELETE", "runs", 405)
        self.assertTrue(re.match(r"https?://", BASE))
