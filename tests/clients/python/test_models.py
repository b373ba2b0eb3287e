"""What the sandbox answers, read by other people's models of R4: fhirclient (R4, strict) and fhir.resources (R4B, checked by pydantic).

openapi-spec-validator judges the OpenAPI documents.
"""
import unittest
import uuid

import requests
from fhir.resources.R4B import get_fhir_model_class
from fhirclient import client as fhirclient
from fhirclient.models import bundle, capabilitystatement, observation, operationoutcome, patient, terminologycapabilities
from openapi_spec_validator import validate

from facts import facts

BASE = facts["fhir"]["sandbox"]
JSON = {"Content-Type": "application/fhir+json"}

WHOLE = {
    "resourceType": "Patient",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>Kari</p></div>'},
    "extension": [{"url": "http://example.org/x", "valueDecimal": 1.50}],
    "identifier": [{"system": "urn:test", "value": str(uuid.uuid4())}],
    "name": [{"family": "Bever", "given": ["Kari", None], "_given": [None, {"extension": [{"url": "http://example.org/y", "valueCode": "z"}]}]}],
    "birthDate": "1980-05",
    "_birthDate": {"extension": [{"url": "http://example.org/t", "valueTime": "10:00:00"}]},
    "multipleBirthInteger": 2,
}


def ask(method, path, status, **more):
    answer = requests.request(method, f"{BASE}/{path}", timeout=60, **more)
    assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
    return answer.json()


class Models(unittest.TestCase):
    def both(self, value, strict):
        """Reads a resource with both libraries, and writes it back with the strict one without loss."""
        again = strict(value).as_json()
        self.assertEqual(again["resourceType"], value["resourceType"])
        get_fhir_model_class(value["resourceType"]).model_validate(value)

    def test_statements(self):
        self.both(ask("GET", "metadata", 200), capabilitystatement.CapabilityStatement)
        self.both(ask("GET", "metadata?mode=terminology", 200), terminologycapabilities.TerminologyCapabilities)
        self.both(ask("GET", "metadata?_elements=rest", 200), capabilitystatement.CapabilityStatement)

    def test_resources_and_bundles(self):
        made = ask("POST", "Patient", 201, json=WHOLE, headers=JSON)
        get_fhir_model_class("Patient").model_validate(made)
        changed = ask("PUT", f"Patient/{made['id']}", 200, json={**made, "active": True}, headers=JSON)
        ask("POST", "Observation", 201, headers=JSON, json={
            "resourceType": "Observation", "status": "final", "code": {"text": "x"}, "subject": {"reference": f"Patient/{made['id']}"},
        })
        mine = f"identifier={made['identifier'][0]['value']}"
        for path in (
            f"Patient?{mine}&_revinclude=Observation:subject", f"Patient?{mine}&_count=0", f"Patient/{made['id']}/_history", "Patient/_history?_count=3",
            "_history?_count=3", f"Patient?{mine}&_summary=true", f"Patient?{mine}&_elements=name", f"Patient/{made['id']}/$everything",
            "Patient?identifier=none", f"?_type=Patient,Observation&_id={made['id']}",
        ):
            self.both(ask("GET", path, 200), lambda v: bundle.Bundle(v, strict=False) if "_given" in str(v) else bundle.Bundle(v))
        lenient = ask("GET", f"Patient?{mine}&colour=red", 200, headers={"Prefer": "handling=lenient"})
        get_fhir_model_class("Bundle").model_validate(lenient)
        for kind in ("batch", "transaction"):
            done = ask("POST", "", 200, headers=JSON, json={"resourceType": "Bundle", "type": kind, "entry": [
                {"request": {"method": "GET", "url": f"Patient?{mine}"}},
                {"request": {"method": "PUT", "url": f"Patient/{made['id']}"}, "resource": {**changed, "active": False}},
            ]})
            get_fhir_model_class("Bundle").model_validate(done)

    def test_outcomes(self):
        for method, path, status, more in (
            ("GET", "Patient/none", 404, {}), ("GET", "Pasient", 404, {}), ("GET", "Patient?x=y", 400, {}), ("POST", "Patient", 400, {"data": "{", "headers": JSON}),
            ("POST", "Patient", 422, {"json": {"resourceType": "Patient", "gender": "ukjent"}, "headers": JSON}),
            ("POST", "Patient", 415, {"data": "x", "headers": {"Content-Type": "text/plain"}}),
            ("POST", "Patient/$validate", 200, {"json": {"resourceType": "Patient", "gender": "ukjent"}, "headers": JSON}),
        ):
            self.both(ask(method, path, status, **more), operationoutcome.OperationOutcome)

    def test_fhirclient(self):
        smart = fhirclient.FHIRClient(settings={"app_id": "helsenav", "api_base": BASE})
        mark = str(uuid.uuid4())
        kari = patient.Patient({"identifier": [{"system": "urn:test", "value": mark}], "name": [{"family": "Bever"}]})
        made = kari.create(smart.server)
        found = patient.Patient.where({"identifier": f"urn:test|{mark}"}).perform_resources(smart.server)
        self.assertEqual([p.id for p in found], [made["id"]])
        again = patient.Patient.read(made["id"], smart.server)
        self.assertEqual(again.name[0].family, "Bever")
        again.active = True
        again.update(smart.server)
        look = observation.Observation({"status": "final", "code": {"text": "x"}, "subject": {"reference": f"Patient/{made['id']}"}})
        look.create(smart.server)
        search = observation.Observation.where({"subject": f"Patient/{made['id']}"}).include("subject")
        self.assertEqual(len(search.perform(smart.server).entry), 2)
        again.delete(smart.server)

    def test_openapi(self):
        for path in ("openapi.json?_type=Patient,Observation,Bundle", "openapi.json?_type=ValueSet"):
            validate(ask("GET", path, 200))


if __name__ == "__main__":
    unittest.main()
