"""zeep against HPR and FLR: clients made from the hub's own descriptions, and from the official ones where they lie beside
the repository."""
import os
import pathlib
import unittest
from datetime import datetime

import requests
from requests.auth import HTTPBasicAuth
from zeep import Client, Transport
from zeep.exceptions import Fault

from facts import facts

BASE = facts["base"]
BASIC = facts["grunndata"]["basic_auth"]
HPR = "{http://schemas.nhn.no/reg/HPRv2}"
FLR = "{http://schemas.nhn.no/reg/flr}"
SHARED = pathlib.Path(os.environ.get("HELSENAV_SHARED", pathlib.Path(__file__).parents[4] / "shared"))


def client(wsdl):
    session = requests.Session()
    session.auth = HTTPBasicAuth(BASIC["username"], BASIC["password"])
    return Client(wsdl, transport=Transport(session=session))


def official(name):
    path = SHARED / "data" / "grunndata" / "wsdl" / name
    if not path.exists():
        raise unittest.SkipTest(f"SKIPPED {name}: the shared data folder is not beside the repository")
    return str(path)


def services(made, namespace, interface, path):
    """SOAP 1.1 and 1.2 of a client, at the hub."""
    for binding, where in (("BasicHttpBinding", f"{path}/Basic"), ("WSHttpBinding", path)):
        yield binding, made.create_service(f"{namespace}{binding}_{interface}", f"{BASE}{where}")


def a_doctor():
    return next(p for p in facts["personnel"] if p["hpr_number"] and p["role"] == "LE")


def a_patient(service):
    """One of the story who is on a list, with what the service says."""
    for person in facts["persons"]:
        try:
            return person["pid"], service.GetPatientGPDetails(person["pid"])
        except Fault as fault:
            assert fault.message == "ArgumentException: Pasienten har ingen fastlege", fault.message
    raise AssertionError("nobody is on a list")


class Personnel(unittest.TestCase):
    def check(self, service):
        doctor = a_doctor()
        number = int(doctor["hpr_number"])
        now = datetime(2026, 11, 22)
        person = service.HentPerson(number, now)
        self.assertEqual(person.HPRNummer, number)
        self.assertTrue(person.Godkjenninger.Godkjenning[0].Helsepersonellkategori.Verdi)
        again = service.HentPersonMedPersonnummer(person.NIN, now)
        self.assertEqual(again.HPRNummer, number)
        self.assertEqual(service.HentPersonMedHistorikk(number).ETag, person.ETag)
        for call, text in (
            (lambda: service.HentPerson(1, now), "ArgumentException: HPR-nummer ikke funnet"),
            (lambda: service.HentPerson(0, now), "ArgumentException: HPR-nummer må oppgis"),
            (lambda: service.HentPersonMedPersonnummer("00000000000", now), "ArgumentException: Personnummer ikke funnet"),
        ):
            with self.assertRaises(Fault) as fault:
                call()
            self.assertEqual(fault.exception.message, text)
        found = service["Søk2"]({"Etternavn": person.Etternavn, "Side": 1, "ResultaterPerSide": 10})
        self.assertGreaterEqual(found.ResultaterTotalt, 1)
        many = service.HentPersoner({"int": [number, 1]}, False, now)
        self.assertEqual(len(many), 1)
        self.assertEqual(service.Ping("hei"), "hei")

    def test_our_description(self):
        for query in ("wsdl", "singleWsdl"):
            for binding, service in services(client(f"{BASE}/v2/HPR?{query}"), HPR, "IHPR2Service", "/v2/HPR"):
                with self.subTest(f"{query} {binding}"):
                    self.check(service)

    def test_the_official_description(self):
        made = client(official("hpr-IHPR2Service.wsdl"))
        for binding, service in services(made, HPR, "IHPR2Service", "/v2/HPR"):
            with self.subTest(binding):
                self.check(service)


class GpLists(unittest.TestCase):
    def check(self, service):
        contracts = service.QueryGPContracts({"Page": 1, "PageSize": 5})
        self.assertGreater(contracts.Total, 0)
        contract = contracts.Results.GPContract[0]
        again = service.GetGPContract(contract.Id)
        self.assertEqual(again.GPOfficeOrganizationNumber, contract.GPOfficeOrganizationNumber)
        office = service.GetGPContractsOnOffice(contract.GPOfficeOrganizationNumber, None)
        self.assertIn(contract.Id, [c.Id for c in office])
        for wrong in ("12345678999", "x"):
            with self.assertRaises(Fault) as fault:
                service.GetPatientGPDetails(wrong)
            self.assertEqual(fault.exception.message, "ArgumentException: patientNin er ugyldig")
            codes = fault.exception.detail.xpath("//*[local-name()='ErrorCode']/text()")
            self.assertEqual(codes, ["Feil"])
        patient, details = a_patient(service)
        self.assertEqual(details.PatientNIN, patient)
        doctor = next((c.HprNumber for c in details.DoctorCycles.GPOnContractAssociation), None)
        if doctor:
            self.assertTrue(service.ConfirmGP(patient, doctor, None))
            self.assertFalse(service.ConfirmGP(patient, 1, None))
            self.assertEqual(service.GetGPWithAssociatedGPContracts(doctor, None).HprNumber, doctor)

    def test_our_description(self):
        for query in ("wsdl", "singleWsdl"):
            for binding, service in services(client(f"{BASE}/v2/flr?{query}"), FLR, "IFlrReadOperations", "/v2/flr"):
                with self.subTest(f"{query} {binding}"):
                    self.check(service)

    def test_the_official_description(self):
        made = client(official("flr-IFlrReadOperations.wsdl"))
        for binding, service in services(made, FLR, "IFlrReadOperations", "/v2/flr"):
            with self.subTest(binding):
                self.check(service)

    def test_other_services_describe_themselves(self):
        for path, operation in (("/v2/flrwrite", "MovePatients"), ("/v2/flrexport", "ExportGPContracts")):
            made = client(f"{BASE}{path}?singleWsdl")
            port = next(iter(next(iter(made.wsdl.services.values())).ports.values()))
            self.assertIn(operation, port.binding._operations)


if __name__ == "__main__":
    unittest.main()
