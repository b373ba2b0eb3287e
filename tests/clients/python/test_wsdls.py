"""zeep on every description that the hub serves (the list in the facts), strictly, in both forms: each service is called and
refuses over each of its bindings, with WS-Addressing where the binding has it."""
import unittest
from datetime import datetime

import requests
from requests.auth import HTTPBasicAuth
from zeep import Client, Settings, Transport
from zeep.exceptions import Fault, TransportError
from zeep.plugins import HistoryPlugin

from facts import facts

BASE = facts["base"]
BASIC = facts["grunndata"]["basic_auth"]
WSDLS = facts["grunndata"]["wsdl"]
ADDRESSING = "{http://www.w3.org/2005/08/addressing}"
#: Path → what is answered, and what is refused: the call, and the code of the fault.
PARTY_FAULT = (lambda s: s.GetCommunicationPartyDetails(1), "InvalidHerIdSupplied")
CALLS = {
    "/v1/AR": (lambda s: s.Ping(), *PARTY_FAULT),
    "/v1/AR/2016": (lambda s: s.Ping(), *PARTY_FAULT),
    "/v1/ARExport": (lambda s: s.GetAllCommunicationPartiesXml(), None, None),
    "/v1/CPPA": (lambda s: s.GetAllCollaborationRoles(), lambda s: s.GetCppXmlForCommunicationParty(1), "InvalidHerIdSupplied"),
    "/v1/LSR": (lambda s: s.SearchPositions({"Page": 1, "PageSize": 10}), lambda s: s.GetPosition(999999), "Feil"),
    "/v2/HPR": (lambda s: s.Ping("hei"), lambda s: s.HentPerson(1, datetime(2026, 11, 22)), None),
    "/v2/flr": (lambda s: s.QueryGPContracts({"Page": 1, "PageSize": 1}), lambda s: s.GetPatientGPDetails("x"), "Feil"),
    # Of the one writer, and of those who may have every patient: our user is neither.
    "/v2/flrwrite": (None, lambda s: s.DeletePrimaryHealthCareTeam(1), "FailedAuthentication"),
    "/v2/flrexport": (None, lambda s: s.ExportGPContracts({"GetFullPersonInfo": False, "GetHistoricalData": False}), "FailedAuthentication"),
    "/v2/servicebusmanager": (lambda s: s.GetSubscriptions(), lambda s: s.Unsubscribe("ingen"), "SubscriptionNotFound"),
}


def transport(password=BASIC["password"]):
    session = requests.Session()
    session.auth = HTTPBasicAuth(BASIC["username"], password)
    return Transport(session=session)


def client(wsdl, **more):
    return Client(wsdl, transport=transport(**more), settings=Settings(strict=True), plugins=[HistoryPlugin()])


def path_of(wsdl):
    return wsdl.removeprefix(BASE).split("?")[0]


class Descriptions(unittest.TestCase):
    def ports(self, made):
        """Each port of a client: whether it has addressing, where it is, the service."""
        for service in made.wsdl.services.values():
            for name, port in service.ports.items():
                yield "Basic" not in name, port.binding_options["address"], made.bind(service.name, name)

    def test_the_list_is_the_list_of_the_calls(self):
        self.assertLessEqual(set(CALLS), {path_of(wsdl) for wsdl in WSDLS})

    def test_every_description_can_be_read_whole(self):
        for wsdl in WSDLS:
            for form in ("wsdl", "singleWsdl"):
                with self.subTest(f"{path_of(wsdl)} {form}"):
                    made = client(wsdl.replace("?wsdl", f"?{form}"))
                    self.assertTrue(made.wsdl.services)
                    for _, address, service in self.ports(made):
                        self.assertTrue(address.lower().startswith((BASE + path_of(wsdl)).lower()), address)
                        operations = service._binding._operations
                        self.assertTrue(operations)
                        for operation in operations.values():
                            # Every type that it names is there.
                            self.assertTrue(operation.input.signature(as_output=False) is not None)
                            self.assertTrue(operation.output.signature(as_output=True) is not None)

    def test_answers_and_faults_over_every_binding(self):
        for wsdl in WSDLS:
            if path_of(wsdl) not in CALLS:
                continue
            right, wrong, code = CALLS[path_of(wsdl)]
            made = client(wsdl)
            history = made.plugins[0]
            for has_addressing, address, service in self.ports(made):
                with self.subTest(address):
                    if right:
                        right(service)
                        self.check_addressing(history, has_addressing)
                    if not wrong:
                        continue
                    with self.assertRaises(Fault) as fault:
                        wrong(service)
                    self.check_addressing(history, has_addressing)
                    if code == "FailedAuthentication":
                        self.assertEqual(fault.exception.message, "Access is denied.")
                    elif code:
                        codes = fault.exception.detail.xpath("//*[local-name()='ErrorCode']/text()")
                        self.assertEqual(codes, [code])

    def check_addressing(self, history, has_addressing):
        # zeep sends the headers over Basic too, where they mean nothing.
        if has_addressing:
            sent, received = history.last_sent["envelope"], history.last_received["envelope"]
            identity = sent.find(f".//{ADDRESSING}MessageID").text
            self.assertEqual(received.find(f".//{ADDRESSING}RelatesTo").text, identity)

    def test_a_wrong_password_is_401(self):
        for wsdl in WSDLS:
            if path_of(wsdl) not in CALLS:
                continue
            right, wrong, _ = CALLS[path_of(wsdl)]
            with self.subTest(path_of(wsdl)):
                made = client(wsdl, password="feil")
                _, _, service = next(iter(self.ports(made)))
                with self.assertRaises(TransportError) as refused:
                    (right or wrong)(service)
                self.assertEqual(refused.exception.status_code, 401)


if __name__ == "__main__":
    unittest.main()
