"""Test and approval with python-qpid-proton and `openssl cms`: a vendor made of a hundred lines fetches the battery of discharge letters,
answers each as the standards say, and is approved. Nothing of the hub's own code takes part on this side."""
import datetime
import re
import tempfile
import unittest
import uuid
from xml.etree import ElementTree

import requests
from jwskate import Jwk
from proton import Message, Timeout, symbol
from proton.utils import BlockingConnection
from requests_oauth2client import OAuth2Client, PrivateKeyJwt

import test_bus
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

    def test_a_vendor_is_approved(self):
        name = f"Proton-EPJ {uuid.uuid4().hex[:8]}"
        system = self.call("POST", "systems", 201, json={
            "her_id": US, "name": name, "version": "1.0", "msh_name": "qpid-proton", "msh_version": "0.40"})
        run = self.call("POST", "runs", 201, json={
            "system": system["id"], "standard": "epikrise-1.2", "direction": "receive", "transport": "amqp"})
        sent = {case["msg_id"].lower() for case in run["cases"]}
        known, left = set(), sum(2 if case["case"] == "duplicate" else 1 for case in run["cases"])
        receiver = self.connection.create_receiver("8900900_async", credit=10)
        while left:
            message = receiver.receive(timeout=60)
            # Other suites leave receipts of their own in the queue.
            if str(message.properties.get("X-MessageInfo-MsgId", "")).lower() in sent:
                self.answer(message, known)
                left -= 1
            receiver.accept()
        receiver.close()

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

    def test_strangers_and_nonsense_are_refused(self):
        self.assertEqual(requests.get(f"{BASE}/runs", timeout=60).status_code, 401)
        self.assertEqual(len(requests.get(f"{BASE}/criteria", timeout=60).json()) > 30, True)
        self.call("POST", "systems", 400, json={"her_id": 8900301, "name": "a", "version": "1", "msh_name": "m", "msh_version": "1"})
        self.call("POST", "systems", 400, json={"name": "a"})
        self.call("GET", f"runs/{uuid.uuid4()}", 404)
        self.call("DELETE", "runs", 405)
        self.assertTrue(re.match(r"https?://", BASE))
