"""The CommunicationParty API below api/v1, read as strictly as clients made from its published description read it:
nothing null that may not be null, numbers where numbers stand, times with an offset."""
import datetime
import unittest

import requests
from jwskate import Jwk
from requests_oauth2client import OAuth2Client, PrivateKeyJwt

from facts import client, facts, organisation

BASE = facts["endpoints"]["communicationparty"] + "/api/v1"
WHO = "demo-system-nordlys"
CODE = {"codeListId": str, "value": str, "name": str, "url": str}
PARENT = {"name": str, "herId": int, "organizationNumber": str}
CERTIFICATE = {"thumbprint": str, "validFrom": datetime.datetime, "validTo": datetime.datetime}
PARTY = {
    "herId": int, "name": str, "displayName": str, "type": str, "email": str, "homepageUrl": str, "phoneNumber": str,
    "faxNumber": str, "ediAddress": str, "fhirAddress": str, "amqpTransportStatus": str,
    "validFrom": datetime.datetime, "validTo": datetime.datetime,
    "currentSigningCertificate": CERTIFICATE, "currentEncryptionCertificate": CERTIFICATE,
    "organizationDetails": {"organizationNumber": str, "businessType": CODE, "persons": [int], "services": [int]},
    "personDetails": {"hprNumber": int, "parentOrganization": PARENT},
    "serviceDetails": {
        "serviceType": CODE, "parentOrganization": PARENT, "serviceSpecification": str,
        "interMunicipalityCoverageArea": {"municipalityHerIds": [int]},
    },
    "postalAddress": {"address": str, "postalBox": str, "postalCode": str, "city": str},
    "amqpAddress": {name: str for name in ("amqpSyncQueue", "amqpSyncReplyQueue", "amqpAsyncQueue", "amqpErrorQueue")},
}
REQUIRED = {"Organization": ["businessType", "persons", "services"], "Person": ["hprNumber", "parentOrganization"],
            "Service": ["serviceType", "parentOrganization"]}


def fits(value, model, place):
    if isinstance(model, dict):
        for name, inner in value.items():
            if name not in model:
                raise AssertionError(f"{place}: {name} is not described")
            fits(inner, model[name], f"{place}.{name}")
    elif isinstance(model, list):
        for inner in value:
            fits(inner, model[0], place)
    elif model is datetime.datetime:
        if datetime.datetime.fromisoformat(value).tzinfo is None:
            raise AssertionError(f"{place}: a time without offset")
    elif type(value) is not model:
        raise AssertionError(f"{place}: {value!r}")


class CommunicationParty(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        helseid = OAuth2Client.from_discovery_endpoint(
            issuer=facts["helseid"]["issuer"], auth=PrivateKeyJwt(WHO, Jwk(client(WHO)["private_jwk"])),
            dpop_bound_access_tokens=True,
        )
        cls.auth = helseid.client_credentials(scope="nhn:cp-api/access-v2-dpop", resource=["nhn:cp-api"])

    def call(self, path, status=200, **more):
        method = "POST" if "json" in more else "GET"
        answer = requests.request(method, f"{BASE}/{path}", auth=self.auth, timeout=30, **more)
        self.assertEqual(answer.status_code, status, answer.text)
        return answer.json()

    def party(self, value):
        fits(value, PARTY, str(value["herId"]))
        self.assertIn(value["amqpTransportStatus"], ("Enabled", "Disabled", "Inherited"))
        details = value[value["type"].lower() + "Details"]
        self.assertLessEqual(set(REQUIRED[value["type"]]), set(details))

    def test_all_active_parties(self):
        export = self.call("communicationparty/export")
        self.assertEqual(export["count"], len(export["communicationParties"]))
        seen = set()
        for at in range(0, export["count"], 100):
            asked = export["communicationParties"][at:at + 100]
            for party in self.call("communicationparty", json={"herIds": asked}):
                self.party(party)
                seen.add(party["herId"])
        self.assertEqual(seen, set(export["communicationParties"]))

    def test_one_party(self):
        office = organisation("fjordglott")
        party = self.call(f"communicationparty/{office['her_id']}")
        self.party(party)
        self.assertEqual(party, self.call(f"organization/{office['orgnr']}"))
        for below in party["organizationDetails"]["persons"]:
            person = self.call(f"communicationparty/{below}")
            self.assertEqual(person["personDetails"]["parentOrganization"]["organizationNumber"], office["orgnr"])
            name = {"name": person["name"]}
            found = self.call("communicationparty/search?Page=1&Size=5", json=name)["communicationParties"]
            self.assertIn(below, [one["herId"] for one in found])
        for use in ("signing", "encryption"):
            one = self.call(f"certificate/{office['her_id']}/{use}")
            fits(one, {**CERTIFICATE, "certificateValue": str}, use)
        pairs = self.call(f"certificate/{office['her_id']}", params={"includeHistoric": "true"})
        self.assertTrue(pairs[0]["isCurrent"])
        self.call("communicationparty/1", 404)
        self.call("communicationparty/search", 400, json={})

    def test_events(self):
        latest = self.call("event/latest")
        last = latest["sequenceNumber"]
        news = self.call("event", params={"fromSequenceNumber": last})
        self.assertEqual(news["results"][0], latest)
        self.assertEqual(self.call("event", params={"fromSequenceNumber": 10**9}), {"count": 0, "results": []})
        fits(latest, {"sequenceNumber": int, "herId": int, "eventType": str, "eventTimestamp": datetime.datetime}, "event")


if __name__ == "__main__":
    unittest.main()
