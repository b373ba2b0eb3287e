"""zeep against the address register, CPPA and the event subscriptions: clients made from the hub's own descriptions, and
from the official ones where they lie beside the repository."""
import os
import pathlib
import time
import unittest

import requests
from lxml import etree
from requests.auth import HTTPBasicAuth
from zeep import Client, Settings, Transport
from zeep.exceptions import Fault
from zeep.wsse.utils import get_unique_id  # noqa: F401  (part of what WS-Addressing needs)

from facts import facts, organisation

BASE = facts["base"]
BASIC = facts["grunndata"]["basic_auth"]
AR = "{http://register.nhn.no/CommunicationParty}"
SHARED = pathlib.Path(os.environ.get("HELSENAV_SHARED", pathlib.Path(__file__).parents[4] / "shared"))


def session(user=BASIC):
    made = requests.Session()
    made.auth = HTTPBasicAuth(user["username"], user["password"])
    return made


def client(wsdl, binding=None, user=BASIC, strict=True):
    made = Client(wsdl, transport=Transport(session=session(user)), settings=Settings(strict=strict))
    return made


def bound(wsdl, binding, address, user=BASIC):
    """A service of a client, at the hub's address in place of the one in the description."""
    made = client(wsdl, user=user)
    return made, made.create_service(binding, address)


def official(name):
    path = SHARED / "data" / "grunndata" / "wsdl" / name
    if not path.exists():
        raise unittest.SkipTest(f"SKIPPED {name}: the shared data folder is not beside the repository")
    return str(path)


class AddressRegister(unittest.TestCase):
    def services(self):
        """(name, client, service) of every description and binding."""
        ours = {"2025": f"{BASE}/v1/AR", "2016": f"{BASE}/v1/AR/2016"}
        for generation, address in ours.items():
            made = client(f"{address}?singleWsdl")
            for name in ("BasicHttpBinding", "WSHttpBinding"):
                where = f"{address}/Basic" if name.startswith("Basic") else address
                binding = f"{AR}{name}_ICommunicationPartyService"
                yield f"{generation} {name}", made, made.create_service(binding, where)

    def check(self, service):
        self.assertEqual(service.Ping(), "Pong")
        office = organisation_of(BASIC)
        party = service.GetCommunicationPartyDetails(office["her_id"])
        self.assertEqual(party.HerId, office["her_id"])
        self.assertEqual(type(party).__name__, "Organization")
        self.assertTrue(party.IsValidCommunicationParty)
        kinds = {a.TypeCodeValue for a in party.ElectronicAddresses.ElectronicAddress}
        self.assertLessEqual({"E_EDI", "E_DS", "E_SB_ASYNC", "E_SB_SYNC", "E_SB_ERROR"}, kinds)
        below = office["parties"][0]
        child = service.GetCommunicationPartyDetails(below["her_id"])
        self.assertEqual(child.ParentHerId, office["her_id"])
        self.assertTrue(all(a.Inherited for a in child.ElectronicAddresses.ElectronicAddress))
        details = service.GetCertificateDetailsForEncryption(below["her_id"])
        self.assertGreater(len(details.Certificate), 500)
        self.assertEqual(service.GetCertificateForEncryptionLdap(details.LdapUrl), details.Certificate)
        with self.assertRaises(Fault) as unknown:
            service.GetCommunicationPartyDetails(1)
        self.assertEqual(unknown.exception.message, "Kommunikasjonspart med oppgitt HER-id eksisterer ikke.")
        codes = unknown.exception.detail.xpath("//*[local-name()='ErrorCode']/text()")
        self.assertEqual(codes, ["InvalidHerIdSupplied"])

    def search(self, made, service):
        pairs = made.get_type("{http://schemas.datacontract.org/2004/07/System.Collections.Generic}ArrayOfKeyValuePairOfstringstring")
        constraints = pairs([{"key": "Type", "value": "Organisation"}, {"key": "BusinessTypeCode", "value": "103"}])
        found = service.Search({"Page": 1, "PageSize": 5, "SearchConstraints": constraints})
        self.assertGreater(found.TotalResults, 0)
        self.assertLessEqual(len(found.Results.CommunicationParty), 5)
        self.assertTrue(all(p.BusinessType.CodeValue == "103" for p in found.Results.CommunicationParty))
        self.assertGreater(len(found.Facets.SearchFacet), 0)

    def test_our_descriptions(self):
        for name, made, service in self.services():
            with self.subTest(name):
                self.check(service)
                self.search(made, service)

    def test_the_official_descriptions(self):
        for year, address in (("2025", f"{BASE}/v1/AR"), ("2016", f"{BASE}/v1/AR/2016")):
            wsdl = official(f"ar-CommunicationPartyService-{year}.wsdl")
            made = client(wsdl)
            for binding, where in made_bindings(made, address):
                with self.subTest(f"{year} {binding}"):
                    service = made.create_service(binding, where)
                    self.check(service)
                    self.search(made, service)

    def test_wrong_password(self):
        answer = requests.post(f"{BASE}/v1/AR/Basic", data="<x/>", auth=(BASIC["username"], "feil"))
        self.assertEqual(answer.status_code, 401)
        self.assertTrue(answer.headers["WWW-Authenticate"].startswith("Basic"))

    def test_export(self):
        made = client(f"{BASE}/v1/ARExport?wsdl")
        document = etree.fromstring(made.service.GetAllCommunicationPartiesXml())
        self.assertEqual(etree.QName(document).localname, "ArrayOfCommunicationParty")
        self.assertGreater(len(document), 50)


def made_bindings(made, address):
    for name in made.wsdl.bindings:
        yield name, f"{address}/Basic" if "Basic" in name else address


def organisation_of(user):
    number = user["username"].removeprefix("OrgUsr")
    return next(o for o in facts["organisations"] if o["orgnr"] == number)


class Protocols(unittest.TestCase):
    def test_agreements(self):
        made = client(f"{BASE}/v1/CPPA?singleWsdl")
        office = organisation_of(BASIC)["parties"][0]["her_id"]
        hospital = next(o for o in facts["organisations"] if o["kind"] == "hospital" and o["parties"])
        other = hospital["parties"][0]["her_id"]
        profile = etree.fromstring(made.service.GetCppXmlForCommunicationParty(office).encode())
        self.assertEqual(etree.QName(profile).localname, "CollaborationProtocolProfile")
        agreement = made.service.GetCpaForCommunicationPartiesXml(office, other)
        tree = etree.fromstring(agreement.CollaborationProtocolAgreementXml.encode())
        ns = {"t": "http://www.oasis-open.org/committees/ebxml-cppa/schema/cpp-cpa-2_0.xsd"}
        parties = [int(p.text) for p in tree.findall("t:PartyInfo/t:PartyId", ns)]
        self.assertEqual(sorted(parties), sorted([office, other]))
        cpa = tree.get(f"{{{ns['t']}}}cpaid")
        again = made.service.GetCpaXml(cpa)
        self.assertEqual(again.CollaborationProtocolAgreementXml, agreement.CollaborationProtocolAgreementXml)
        with self.assertRaises(Fault):
            made.service.GetCppXmlForCommunicationParty(1)


class Subscriptions(unittest.TestCase):
    def test_subscribe_and_receive(self):
        made = client(f"{BASE}/v2/servicebusmanager?singleWsdl")
        subscription = made.service.Subscribe("AddressRegister", "", "zeep_test")
        self.assertEqual(made.service.Subscribe("AddressRegister", "", "zeep_test").QueueName, subscription.QueueName)
        names = [s.QueueName for s in made.service.GetSubscriptions()]
        self.assertIn(subscription.QueueName, names)
        office = organisation_of(BASIC)
        register = client(f"{BASE}/v1/AR?singleWsdl").service
        her_id = office["parties"][0]["her_id"]
        register.AddCustomAttribute(her_id, {"CodeValue": f"z{time.time_ns()}", "OID": 1})
        event = receive(subscription.QueueName, office["her_id"])
        self.assertEqual(event["eventName"], "CommunicationPartyUpdated")
        self.assertEqual(int(event["herId"]), her_id)
        made.service.Unsubscribe(subscription.QueueName)
        self.assertNotIn(subscription.QueueName, [s.QueueName for s in made.service.GetSubscriptions() or []])


def receive(queue, her_id):
    """One message with qpid-proton: its application properties."""
    from proton.utils import BlockingConnection

    user = next(u for u in facts["amqp"]["users"] if u["her_id"] == her_id)
    connection = BlockingConnection(
        f"amqp://{facts['amqp']['host']}:{facts['amqp']['port']}",
        user=user["username"], password=user["password"], allowed_mechs="PLAIN", timeout=60)
    try:
        receiver = connection.create_receiver(f"/amq/queue/{queue}")
        message = receiver.receive(timeout=60)
        receiver.accept()
        return message.properties
    finally:
        connection.close()


if __name__ == "__main__":
    unittest.main()
