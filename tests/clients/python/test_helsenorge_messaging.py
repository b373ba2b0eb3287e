"""What the .NET library Helsenorge.Messaging (on AmqpNetLite and WCF) sends and expects, step by step.

The library itself needs .NET. Here its frames and SOAP requests are written by hand, in its order and its encodings, with
its own checks on what comes back (spec messaging.md §11).
"""
import base64
import datetime
import gzip
import http.client
import re
import ssl
import tempfile
import time
import unittest
import uuid
from urllib.parse import urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import amqp_frames as amqp
from amqp_frames import Described, Symbol, Timestamp, Uint, Ushort, encode, frame
from facts import facts, one, person
from test_bus import CONTENT_TYPE, US, Keys, openssl, report

US_ID, SERVICE_ID = US["her_id"], US["parties"][0]["her_id"]
HUB_LETTERS, HUB_RESULTS = 8900009, 8900008
CPPA = "{http://www.oasis-open.org/committees/ebxml-cppa/schema/cpp-cpa-2_0.xsd}"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
REGISTER = "http://register.nhn.no/CommunicationParty"
COMMON = "http://register.nhn.no/Common"
PROFILES = "http://schemas.nhn.no/reg/CollaborationProtocolProfile"


class Wcf:
    """BasicHttpBinding with Basic credentials over TLS: credentials are sent only after they were asked for."""

    def __init__(self):
        self.context = ssl.create_default_context(cadata=facts["ca_pem"])
        user = facts["grunndata"]["basic_auth"]
        pair = f"{user['username']}:{user['password']}".encode()
        self.authorization = "Basic " + base64.b64encode(pair).decode()

    def call(self, path, namespace, contract, operation, **arguments):
        """The body's only child."""
        inner = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in arguments.items())
        body = (f'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
                f'<{operation} xmlns="{namespace}">{inner}</{operation}></s:Body></s:Envelope>')
        headers = {
            "Content-Type": "text/xml; charset=utf-8",
            "SOAPAction": f'"{namespace}/{contract}/{operation}"',
            "Accept-Encoding": "gzip, deflate",
            "Cache-Control": "no-cache, max-age=0",
        }
        base = urlsplit(facts["base_tls"])
        self.connection = http.client.HTTPSConnection(base.hostname, base.port, context=self.context, timeout=20)
        status, answer, _ = self.post(path, body, headers)
        assert status == 401, status
        # Both requests go over one connection: nothing here opens another.
        self.connection.auto_open = 0
        challenge = answer.getheader("WWW-Authenticate")
        assert challenge and challenge.startswith("Basic"), challenge
        status, answer, text = self.post(path, body, {**headers, "Authorization": self.authorization})
        self.connection.close()
        kind = answer.getheader("Content-Type")
        assert kind.replace(" ", "").lower().startswith("text/xml;charset=utf-8"), kind
        assert status in (200, 500), status
        return list(ElementTree.fromstring(text).find("{http://schemas.xmlsoap.org/soap/envelope/}Body"))[0]

    def post(self, path, body, headers):
        self.connection.request("POST", path, body.encode(), headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.getheader("Content-Encoding") == "gzip":
            text = gzip.decompress(text)
        return answer.status, answer, text

    def party(self, her_id):
        """(name, {address type: queue name}) as the library reads them."""
        found = self.call("/v1/AR/Basic", REGISTER, "ICommunicationPartyService", "GetCommunicationPartyDetails", herId=her_id)
        result = found.find(f"{{{REGISTER}}}GetCommunicationPartyDetailsResult")
        assert result.get(f"{XSI}type").split(":")[-1] in ("Organization", "Service", "OrganizationPerson")
        addresses = {}
        for address in result.iter(f"{{{COMMON}}}ElectronicAddress"):
            code = address.find(f"{{{COMMON}}}TypeCodeValue").text
            # Only the last segment of the address is the queue.
            addresses[code] = address.find(f"{{{COMMON}}}Address").text.rsplit("/", 1)[-1]
        name = result.find(f"{{{REGISTER}}}DisplayName")
        if name is None or not name.text:
            name = result.find(f"{{{REGISTER}}}Name")
        return name.text, addresses

    def certificate(self, operation, her_id):
        found = self.call("/v1/AR/Basic", REGISTER, "ICommunicationPartyService", operation, herId=her_id)
        values = {e.tag.rsplit("}", 1)[-1]: e.text for e in found.iter()}
        assert values["LdapUrl"]
        return base64.b64decode(values["Certificate"])

    def profile(self, mine, other):
        """The counterpart's PartyInfo: from the agreement, else from its profile."""
        found = self.call("/v1/CPPA/Basic", PROFILES, "ICPPAService", "GetCpaForCommunicationPartiesXml",
                          communicationPartAHerId=mine, communicationPartBHerId=other)
        texts = [e.text for e in found.iter() if e.tag.endswith("CollaborationProtocolAgreementXml") and e.text]
        if not texts:
            found = self.call("/v1/CPPA/Basic", PROFILES, "ICPPAService", "GetCppXmlForCommunicationParty", herId=other)
            texts = [found[0].text]
        document = ElementTree.fromstring(texts[0])
        for info in document.iter(f"{CPPA}PartyInfo"):
            (party,) = info.findall(f"{CPPA}PartyId")
            if int(party.text) != mine:
                return info
        raise AssertionError("no counterpart in the profile")


def transport_of(info, function):
    """Text of TransportProtocol behind the first CanReceive of the process with this name, whatever its case."""
    channels = {c.get(f"{CPPA}channelId"): c.get(f"{CPPA}transportId") for c in info.iter(f"{CPPA}DeliveryChannel")}
    transports = {t.get(f"{CPPA}transportId"): t.find(f".//{CPPA}TransportProtocol").text for t in info.iter(f"{CPPA}Transport")}
    for role in info.iter(f"{CPPA}CollaborationRole"):
        process = role.find(f"{CPPA}ProcessSpecification").get(f"{CPPA}name")
        for receive in role.iter(f"{CPPA}CanReceive"):
            action = receive.find(f"{CPPA}ThisPartyActionBinding")
            if function.lower() in (process.lower(), action.get(f"{CPPA}action").lower()):
                return transports[channels[action.find(f"{CPPA}ChannelId").text]]
    return None


class NetLite:
    """A connection as AmqpNetLite opens it: nothing waits for an answer, long encodings, one session for each link."""

    def __init__(self, tls_ca=None):
        user = one(facts["amqp"]["users"], her_id=US_ID)
        port = facts["amqp"]["tls_port" if tls_ca else "port"]
        self.frames = amqp.Frames(facts["amqp"]["host"], port, tls_ca)
        self.sessions = 0
        plain = f"\0{user['username']}\0{user['password']}".encode()
        host = facts["amqp"]["host"]
        self.frames.send(b"AMQP\x03\x01\x00\x00", frame(amqp.SASL_INIT, [Symbol("PLAIN"), plain, host], sasl=True, wide=True))
        assert self.frames.header() == b"AMQP\x03\x01\x00\x00"
        assert self.frames.until(amqp.SASL_OUTCOME, seen=[])[0][0] == 0
        opened = [str(uuid.uuid4()), host, Uint(262144), Ushort(255)]
        self.frames.send(b"AMQP\x00\x01\x00\x00", frame(amqp.OPEN, opened, wide=True))
        assert self.frames.header() == b"AMQP\x00\x01\x00\x00"
        self.arrived = []
        self.settled = {}

    def link(self, role, source, target, *more):
        channel, self.sessions = self.sessions, self.sessions + 1
        begin = [None, Uint(0xFFFFFFFD), Uint(2048), Uint(2048), Uint(63)]
        name = f"{'receiver' if role else 'sender'}-link-{uuid.uuid4()}"
        attach = [name, Uint(0), role, None, None, Described(amqp.SOURCE, source), Described(amqp.TARGET, target), None, None]
        if not role:
            attach.append(Uint(0))
        self.frames.send(frame(amqp.BEGIN, begin, channel, wide=True), frame(amqp.ATTACH, attach, channel, wide=True), *more)
        return channel

    def receiver(self, queue, credit=25):
        channel = self.sessions
        flow = [Uint(0), Uint(2048), Uint(0xFFFFFFFD), Uint(2048), Uint(0), Uint(0), Uint(credit)]
        return self.link(True, [f"/amq/queue/{queue}"], [], frame(amqp.FLOW, flow, channel, wide=True))

    def sender(self, queue):
        channel = self.link(False, [], [f"/exchange/NHNTestServiceBus/{queue}"])
        self.frames.until(amqp.FLOW, channel, seen=self.arrived)
        return channel

    def send(self, channel, message, delivery=0):
        """Waits until the delivery is accepted."""
        fields = [Uint(0), Uint(delivery), delivery.to_bytes(4, "little"), Uint(0), False]
        self.frames.send(frame(amqp.TRANSFER, fields, channel, message, wide=True))
        (role, first, last, settled, state), _ = self.frames.until(amqp.DISPOSITION, channel, seen=self.arrived)
        assert role and settled and first <= delivery <= (first if last is None else last), (first, last)
        assert state.code == amqp.ACCEPTED, state

    def receive(self, channel, wanted, timeout=150):
        """The next message of the link that `wanted` gives something for; the library accepts one at a time. Longer than a message
        can be locked by a link that was lost."""
        deadline = time.monotonic() + timeout
        while True:
            fields, payload = self.transfer(channel, max(0.1, deadline - time.monotonic()))
            message = Received(amqp.sections(payload))
            found = wanted(message)
            self.settle(channel, fields[1])
            if found:
                return found

    def settle(self, channel, delivery, state=None):
        """Settles one delivery; after every twelfth the credit is filled up again."""
        disposition = [True, Uint(delivery), None, True, state or Described(amqp.ACCEPTED, [])]
        self.frames.send(frame(amqp.DISPOSITION, disposition, channel, wide=True))
        count = self.settled[channel] = self.settled.get(channel, 0) + 1
        if count % 12 == 0:
            flow = [Uint(0), Uint(2048), Uint(0xFFFFFFFD), Uint(2048), Uint(0), Uint(count), Uint(25)]
            self.frames.send(frame(amqp.FLOW, flow, channel, wide=True))

    def transfer(self, channel, timeout):
        for at, (where, code, fields, payload) in enumerate(self.arrived):
            if (where, code) == (channel, amqp.TRANSFER):
                del self.arrived[at]
                return fields, payload
        return self.frames.until(amqp.TRANSFER, channel, timeout, self.arrived)

    def close(self):
        """Link, session, connection; each end is answered."""
        for channel in range(self.sessions):
            self.frames.send(frame(amqp.DETACH, [Uint(0), True], channel, wide=True))
            self.frames.until(amqp.DETACH, channel, seen=self.arrived)
            self.frames.send(frame(amqp.END, [], channel, wide=True))
            self.frames.until(amqp.END, channel, seen=self.arrived)
        self.frames.send(frame(amqp.CLOSE, [], wide=True))
        self.frames.until(amqp.CLOSE, seen=[])
        self.frames.close()


class Received:
    """A delivered message, read as strictly as the library reads it."""

    def __init__(self, sections):
        codes = [section.code for section in sections]
        assert codes.count(amqp.DATA) == 1 and not {amqp.VALUE, amqp.SEQUENCE} & set(codes), codes
        by_code = {section.code: section.value for section in sections}
        assert "x-opt-locked-until" not in by_code.get(amqp.ANNOTATIONS, {})
        fields = by_code[amqp.PROPERTIES] + [None] * 13
        self.id, self.to, self.subject, self.reply_to, self.correlation_id, self.content_type = (
            fields[0], fields[2], fields[3], fields[4], fields[5], fields[6])
        self.properties = by_code[amqp.APPLICATION_PROPERTIES]
        self.body = by_code[amqp.DATA]
        self.header = by_code.get(amqp.HEADER, []) + [None] * 5
        # What it throws at, or answers with an error message.
        for identity in (self.id, self.correlation_id):
            assert identity is None or isinstance(identity, str) or len(identity) == 16, identity
        assert self.id and self.subject and self.content_type
        for name in ("fromHerId", "toHerId"):
            assert int(str(self.properties[name])) > 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?", self.properties["applicationTimeStamp"])


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def outgoing(body, function, queue, to, reply_to=f"{US_ID}_async", correlation=None, ttl=None, more=None):
    """(message-id, bytes): properties and application properties as the library sets them; a header only with a ttl."""
    identity = str(uuid.uuid4())
    properties = [identity, None, queue, function, reply_to, correlation or identity, Symbol(CONTENT_TYPE)]
    application = {
        "fromHerId": str(SERVICE_ID), "toHerId": str(to),
        "applicationTimeStamp": now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "X-SystemIdentifier": "Prøvesystem", "X-TargetFramework": ".NETCoreApp,Version=v8.0", **(more or {}),
        # Some versions set it as a time of AMQP's own, some as text.
        "enqueuedTimeUtc": Timestamp(int(now().timestamp() * 1000)),
    }
    sections = [Described(amqp.HEADER, [None, None, Uint(ttl)])] if ttl else []
    sections += [Described(amqp.PROPERTIES, properties), Described(amqp.APPLICATION_PROPERTIES, application), Described(amqp.DATA, body)]
    return identity, b"".join(encode(section, wide=True) for section in sections)


class HelsenorgeMessaging(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.keys = Keys(cls.folder.name)
        cls.wcf = Wcf()

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def connect(self, **how):
        connection = NetLite(**how)
        self.addCleanup(connection.frames.close)
        return connection

    def sealed(self, xml):
        """XML as the library writes it: without declaration and byte order mark."""
        text = re.sub(rb"^\s*<\?xml[^>]*\?>\s*", b"", xml)
        return self.keys.seal(text)

    def test_a_receiver_starts_with_three_queues_from_the_register(self):
        probe = self.connect(tls_ca=self.keys.path("ca.pem"))
        probe.frames.until(amqp.OPEN, seen=[])
        probe.close()
        queues = [self.wcf.party(her_id)[1] for her_id in (US_ID, SERVICE_ID)]
        for kind in ("E_SB_ASYNC", "E_SB_SYNC", "E_SB_ERROR"):
            # Several HER-ids in one client must have the same queues.
            self.assertEqual(len({addresses[kind].lower() for addresses in queues}), 1)
        listening = self.connect()
        for kind in ("E_SB_ASYNC", "E_SB_SYNC", "E_SB_ERROR"):
            channel = listening.receiver(queues[0][kind])
            fields, _ = listening.frames.until(amqp.ATTACH, channel, seen=listening.arrived)
            self.assertEqual((fields[1], fields[2]), (0, False), "its handles are places in a short list")
        listening.close()

    def test_certificates_and_profiles_are_found(self):
        name, addresses = self.wcf.party(HUB_LETTERS)
        self.assertTrue(name)
        for operation in ("GetCertificateDetailsForEncryption", "GetCertificateDetailsForValidatingSignature"):
            der = self.wcf.certificate(operation, HUB_LETTERS)
            text = openssl("x509", "-inform", "DER", "-noout", "-ext", "keyUsage", data=der).decode()
            self.assertIn("Key Encipherment" if "Encryption" in operation else "Non Repudiation", text)
        info = self.wcf.profile(SERVICE_ID, HUB_LETTERS)
        self.assertEqual(transport_of(info, "epikrise"), "AMQP")
        self.assertEqual(len(list(info.iter(f"{CPPA}Certificate"))), 2)

    def test_a_message_and_its_receipt(self):
        queue = self.wcf.party(HUB_RESULTS)[1]["E_SB_ASYNC"]
        listening, sending = self.connect(), self.connect()
        channel = listening.receiver(self.wcf.party(US_ID)[1]["E_SB_ASYNC"])
        msg_id, xml = report(person("diabetes")["pid"], "Eira, Máhtto")
        more = {"X-MessageInfo-Type": "SVAR_LAB", "X-MessageInfo-MsgId": msg_id, "X-AttachmentInfo-HasExternalReference": "False"}
        identity, message = outgoing(self.sealed(xml), "SVAR_LAB", queue, HUB_RESULTS, more=more)
        sending.send(sending.sender(queue), message)

        def wanted(received):
            if received.subject != "APPREC":
                return None
            opened = self.keys.open(received.body).decode()
            return (received, opened) if f"<Id>{msg_id}</Id>" in opened else None
        receipt, opened = listening.receive(channel, wanted)
        self.assertIn('<Status V="1"', opened)
        self.assertEqual(str(receipt.properties["toHerId"]), str(SERVICE_ID))
        self.assertEqual(receipt.content_type.lower(), CONTENT_TYPE)
        self.assertNotEqual(receipt.id, identity)
        listening.close()
        sending.close()

    def test_what_cannot_be_opened_comes_back_on_the_error_queue(self):
        queue = self.wcf.party(HUB_RESULTS)[1]["E_SB_ASYNC"]
        connection = self.connect()
        errors = connection.receiver(self.wcf.party(SERVICE_ID)[1]["E_SB_ERROR"])
        identity, message = outgoing(b"not CMS", "SVAR_LAB", queue, HUB_RESULTS)
        connection.send(connection.sender(queue), message)
        found = connection.receive(errors, lambda e: e if e.properties.get("originalMessageId") == identity else None)
        self.assertEqual(found.properties["errorCondition"], "transport:invalid-cms-pkcs")
        self.assertTrue(found.properties["errorDescription"])
        self.assertRegex(found.properties["receiverTimeStamp"], r"^\d\d/\d\d/\d{4} \d\d:\d\d:\d\d$")
        self.assertEqual((found.body, found.subject, found.content_type), (b"", "SVAR_LAB", CONTENT_TYPE))
        connection.close()

    def test_its_own_error_messages_are_taken(self):
        """Empty, without content type and reply-to: written by the library for another's message."""
        connection = self.connect()
        errors = connection.receiver(f"{US_ID}_error")
        identity, original = uuid.uuid4().hex, str(uuid.uuid4())
        application = {
            "fromHerId": str(SERVICE_ID), "toHerId": str(SERVICE_ID),
            "applicationTimeStamp": now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "originalMessageId": original, "receiverTimeStamp": now().strftime("%m/%d/%Y %H:%M:%S"),
            "errorCondition": "transport:invalid-field-value", "errorDescription": "Feil i felt", "errorConditionData": "Label;",
        }
        message = b"".join(encode(section, wide=True) for section in (
            Described(amqp.PROPERTIES, [identity, None, f"{US_ID}_error", "DIALOG_NOTAT"]),
            Described(amqp.APPLICATION_PROPERTIES, application), Described(amqp.DATA, b"")))
        connection.send(connection.sender(f"{US_ID}_error"), message)

        def raw():
            while True:
                fields, payload = connection.transfer(errors, 20)
                sections = {s.code: s.value for s in amqp.sections(payload)}
                connection.settle(errors, fields[1])
                if sections[amqp.PROPERTIES][0] == identity:
                    return sections
        self.assertEqual(raw()[amqp.APPLICATION_PROPERTIES], application)
        connection.close()

    def test_a_call_that_is_waited_for(self):
        """Both sides of a synchronous call, with a reply queue for the caller's machine."""
        sync = self.wcf.party(US_ID)[1]["E_SB_SYNC"]
        reply_queue = f"{US_ID}_syncreply_web01"
        serving, calling = self.connect(), self.connect()
        requests = serving.receiver(sync)
        asked, message = outgoing(self.keys.seal(b"<a/>"), "DIALOG_INNBYGGER_TIMERESERVASJON", sync, SERVICE_ID, reply_queue, ttl=15000)
        calling.send(calling.sender(sync), message)
        request = serving.receive(requests, lambda r: r if r.id == asked else None)
        self.assertEqual((request.reply_to, request.correlation_id), (reply_queue, asked))
        _, message = outgoing(self.keys.seal(b"<b/>"), request.subject, request.reply_to, SERVICE_ID, None, asked, ttl=15000)
        serving.send(serving.sender(request.reply_to), message)
        replies = calling.receiver(reply_queue)
        reply = calling.receive(replies, lambda r: r if r.correlation_id == asked else None)
        self.assertEqual(reply.subject, request.subject)
        serving.close()
        calling.close()

    def test_a_dropped_connection_gives_back_and_modified_counts(self):
        queue = f"{US_ID}_async"
        first = self.connect()
        identity, message = outgoing(b"sealed for somebody", "DIALOG_NOTAT", queue, SERVICE_ID)
        channel = first.receiver(queue)
        first.send(first.sender(queue), message)
        self.take(first, channel, identity)
        first.frames.close()
        again = self.connect()
        channel = again.receiver(queue)
        delivery, received = self.take(again, channel, identity)
        failed = received.header[4] or 0
        again.settle(channel, delivery, Described(amqp.MODIFIED, [True, False]))
        delivery, received = self.take(again, channel, identity)
        self.assertEqual((received.header[4], bool(received.header[3])), (failed + 1, False))
        again.settle(channel, delivery)
        again.close()

    def take(self, connection, channel, identity):
        """(delivery, message) without settling it; others are accepted."""
        while True:
            fields, payload = connection.transfer(channel, 30)
            message = Received(amqp.sections(payload))
            if message.id == identity:
                return fields[1], message
            connection.settle(channel, fields[1])

    def test_an_unknown_queue_refuses_the_link(self):
        connection = self.connect()
        connection.link(False, [], ["/exchange/NHNTestServiceBus/4711_async"])
        fields, _ = connection.frames.until(amqp.DETACH, seen=[])
        self.assertEqual((fields[1], fields[2].value[0]), (True, "amqp:not-found"))


if __name__ == "__main__":
    unittest.main()
