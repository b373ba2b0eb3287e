"""The registers as FHIR, read with fhirpy over DPoP; a national id is sent in a body, by hand."""
import unittest

import requests
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome
from jwskate import Jwk
from requests_oauth2client import OAuth2Client, PrivateKeyJwt

from facts import client, facts

BASE = facts["fhir"]["grunndata"]
API = "nhn:hgd-persontjenesten-api"
PERSON = facts["persons"][0]
DOCTOR = next(p for p in facts["personnel"] if p["role"] == "LE")


def token(scope):
    who = "demo-system-nordlys"
    helseid = OAuth2Client.from_discovery_endpoint(
        issuer=facts["helseid"]["issuer"], auth=PrivateKeyJwt(who, Jwk(client(who)["private_jwk"])),
        dpop_bound_access_tokens=True,
    )
    return helseid.client_credentials(scope=f"{API}/{scope}", resource=[API])


class Views(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fhir = SyncFHIRClient(BASE, requests_config={"auth": token("read-with-legal-basis")})

    def test_a_patient_by_name_and_birth_date(self):
        family = PERSON["name"].split()[-1]
        found = self.fhir.resources("Patient").search(family=family, birthdate=PERSON["born"]).fetch()
        self.assertTrue(any(i["value"] == PERSON["pid"] for p in found for i in p["identifier"]), len(found))
        read = self.fhir.reference("Patient", found[0].id).to_resource()
        self.assertEqual(read["birthDate"], PERSON["born"])

    def test_a_doctor_and_her_roles(self):
        doctor = self.fhir.resources("Practitioner").search(
            identifier=f"urn:oid:2.16.578.1.12.4.1.4.4|{DOCTOR['hpr_number']}").get()
        self.assertNotIn(DOCTOR["pid"], str(doctor.serialize()))
        roles = self.fhir.resources("PractitionerRole").search(practitioner=f"Practitioner/{doctor.id}").fetch()
        self.assertTrue(all(r["practitioner"]["reference"].endswith(doctor.id) for r in roles))

    def test_every_organisation_page_by_page(self):
        units = self.fhir.resources("Organization").search(name="legesenter")
        whole = [u.id for u in units.limit(100).fetch()]
        self.assertGreater(len(whole), 1)
        self.assertEqual([u.id for u in units.limit(1).fetch_all()], whole)

    def test_a_search_that_says_too_little(self):
        with self.assertRaises(OperationOutcome):
            self.fhir.resources("Patient").search(birthdate="1990").fetch()

    def test_a_national_id_is_sent_in_a_body(self):
        url, asked = f"{BASE}/Patient/_search", {"identifier": f"urn:oid:2.16.578.1.12.4.1.4.1|{PERSON['pid']}"}
        for scope in ["read-with-legal-basis", "read-no-legal-basis"]:
            answer = requests.post(url, auth=token(scope), data=asked, timeout=30)
            self.assertEqual(answer.status_code, 200, answer.text)
            self.assertEqual(answer.json()["total"], 1)
        answer = requests.get(f"{BASE}/Patient", auth=token(scope), params=asked, timeout=30)
        self.assertEqual(answer.status_code, 400)
        self.assertNotIn(PERSON["pid"], answer.text)


if __name__ == "__main__":
    unittest.main()
