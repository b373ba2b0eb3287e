"""python-qpid-proton on the bus; messages sealed and receipts opened by `openssl cms`.

Nothing of the hub's own code takes part on this side.
"""
import base64
import datetime
import pathlib
import re
import subprocess
import tempfile
import unittest
import uuid

from proton import Message, symbol
from proton.utils import BlockingConnection, LinkDetached

from facts import facts, one, organisation, person

FIXTURE = pathlib.Path(__file__).parents[3] / "crates/edi/fixtures/svarrapport-1.4.xml"
CONTENT_TYPE = "application/pkcs7-mime; smime-type=signed-and-enveloped-data"
US = organisation("vaar-epj")


def openssl(*arguments, data=None):
    done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr.decode())
    return done.stdout


class Keys:
    """Keys of the vendor's organisation as PEM files."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        for use in ("signing", "encryption"):
            p12 = self.folder / f"{use}.p12"
            p12.write_bytes(base64.b64decode(US[f"{use}_p12_base64"]))
            pem = openssl("pkcs12", "-in", str(p12), "-nodes", "-passin", "pass:" + US["p12_password"])
            (self.folder / f"{use}.pem").write_bytes(pem)
        hub = one(facts["organisations"], her_id=8900000)
        (self.folder / "hub.pem").write_text(hub["encryption_cert_pem"])
        (self.folder / "ca.pem").write_text(facts["ca_pem"])

    def path(self, name):
        return str(self.folder / name)

    def seal(self, content, *more):
        signed = openssl("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-md", "sha256",
                         "-signer", self.path("signing.pem"), *more, data=content)
        return openssl("cms", "-encrypt", "-binary", "-aes256", "-outform", "DER", self.path("hub.pem"), data=signed)

    def open(self, sealed):
        signed = openssl("cms", "-decrypt", "-inform", "DER", "-recip", self.path("encryption.pem"), data=sealed)
        return openssl("cms", "-verify", "-inform", "DER", "-binary", "-CAfile", self.path("ca.pem"),
                       "-purpose", "any", data=signed)


def report(pid, name):
    """Our own svarrapport with another patient, sender and number; (MsgId, bytes)."""
    msg_id = str(uuid.uuid4())
    xml = FIXTURE.read_text(encoding="utf-8")
    xml = re.sub(r"<MsgId>[^<]*", f"<MsgId>{msg_id}", xml)
    xml = re.sub(r"<ServProvId>[^<]*", f"<ServProvId>PY-{uuid.uuid4().hex}", xml)
    xml = re.sub(r"<OffId>[^<]*", f"<OffId>{pid}", xml)
    xml = xml.replace("Lunde, Kari", name).replace("8900401", "8900901").replace("8900400", "8900900")
    return msg_id, xml.encode()


def envelope(body, to_her_id="8900008", queue="8900000_async"):
    identity = str(uuid.uuid4())
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Message(
        id=identity, correlation_id=identity, address=queue, reply_to="8900900_async", subject="SVAR_LAB",
        content_type=symbol(CONTENT_TYPE), body=body, inferred=True,
        properties={"fromHerId": "8900901", "toHerId": to_her_id, "applicationTimeStamp": now},
    )


class Bus(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.keys = Keys(cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def setUp(self):
        user = one(facts["amqp"]["users"], her_id=8900900)
        self.connection = BlockingConnection(
            f"amqp://{facts['amqp']['host']}:{facts['amqp']['port']}",
            user=user["username"], password=user["password"], allowed_mechs="PLAIN", timeout=20,
        )
        self.addCleanup(self.connection.close)

    def send(self, message):
        sender = self.connection.create_sender(message.address)
        sender.send(message)
        sender.close()

    def take(self, queue, wanted):
        """Takes messages until `wanted` gives something; all are accepted."""
        receiver = self.connection.create_receiver(queue, credit=10)
        try:
            while True:
                message = receiver.receive(timeout=30)
                receiver.accept()
                found = wanted(message)
                if found:
                    return found
        finally:
            receiver.close()

    def receipt(self, msg_id):
        def wanted(message):
            xml = self.keys.open(bytes(message.body)).decode()
            return xml if f"<Id>{msg_id}</Id>" in xml else None
        return self.take("8900900_async", wanted)

    def test_report_sealed_by_openssl_is_accepted(self):
        msg_id, xml = report(person("diabetes")["pid"], "Eira, Máhtto")
        self.send(envelope(self.keys.seal(xml)))
        receipt = self.receipt(msg_id)
        self.assertIn('<Status V="1"', receipt)
        self.assertIn("8900008", receipt)

    def test_other_forms_of_cms(self):
        """Without signed attributes, and with recipient and signer named by key identifier."""
        for more in (["-noattr"], ["-keyid"]):
            with self.subTest(more=more):
                msg_id, xml = report(person("diabetes")["pid"], "Eira, Máhtto")
                self.send(envelope(self.keys.seal(xml, *more)))
                self.assertIn('<Status V="1"', self.receipt(msg_id))

    def test_unknown_patient_is_refused_with_e53(self):
        msg_id, xml = report("01815040178", "Ukjent, Person")
        self.send(envelope(self.keys.seal(xml)))
        receipt = self.receipt(msg_id)
        self.assertIn('<Status V="2"', receipt)
        self.assertIn('V="E53"', receipt)

    def test_unsealed_comes_back_on_the_error_queue(self):
        message = envelope(report(person("diabetes")["pid"], "Eira, Máhtto")[1])
        self.send(message)

        def wanted(error):
            return error.properties if error.properties.get("originalMessageId") == message.id else None
        error = self.take("8900900_error", wanted)
        self.assertEqual(error["errorCondition"], "transport:invalid-cms-pkcs")
        self.assertTrue(error["errorDescription"])

    def test_unknown_queue_is_refused_at_the_link(self):
        with self.assertRaises(LinkDetached) as caught:
            self.connection.create_sender("4711_async")
        self.assertIn("4711", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
