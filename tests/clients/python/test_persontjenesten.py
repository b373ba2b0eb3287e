"""The person service driven by the national OpenAPI document: every operation is called as the document describes it, and
every answer, refusals too, is judged by its schemas. Without the document (HELSENAV_SHARED, or ../shared beside the
repository) only the hand-made calls run."""
import os
import pathlib
import unittest

import requests
import yaml
from jwskate import Jwk
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4
from requests_oauth2client import OAuth2Client, PrivateKeyJwt

from facts import client, facts

ROOT = pathlib.Path(__file__).resolve().parents[3]
SHARED = pathlib.Path(os.environ.get("HELSENAV_SHARED", ROOT.parent / "shared"))
DOCUMENT = SHARED / "data/grunndata/persontjenesten/persontjenesten-v2-openapi.yaml"
BASE = facts["endpoints"]["persontjenesten"]
API = "nhn:hgd-persontjenesten-api"
SCOPES = {"legal-basis": f"{API}/read-with-legal-basis", "no-legal-basis": f"{API}/read-no-legal-basis"}
PERSON = facts["persons"][0]


def token(tree, dpop=True):
    who = "demo-system-nordlys"
    helseid = OAuth2Client.from_discovery_endpoint(
        issuer=facts["helseid"]["issuer"], auth=PrivateKeyJwt(who, Jwk(client(who)["private_jwk"])),
        dpop_bound_access_tokens=dpop,
    )
    return helseid.client_credentials(scope=SCOPES[tree], resource=[API])


def call(method, tree, path, auth, **more):
    headers = {"api-version": "2", "Accept": "application/json", **more.pop("headers", {})}
    return requests.request(method, f"{BASE}/api/{tree}/{path}", auth=auth, headers=headers, timeout=30, **more)


class ByHand(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.auth = {tree: token(tree) for tree in SCOPES}

    def by_nin(self, tree, **query):
        return call("POST", tree, "person/get-by-nin", self.auth[tree], params=query, data={"nin": PERSON["pid"]})

    def test_a_person_is_found(self):
        answer = self.by_nin("legal-basis", informationParts=["Name", "Birth"])
        self.assertEqual(answer.status_code, 200, answer.text)
        self.assertEqual(answer.json()["birth"][0]["birthDate"][:10], PERSON["born"])
        self.assertIn(answer.json()["name"][0]["familyName"], PERSON["name"])

    def test_without_legal_basis_there_is_no_family(self):
        answer = self.by_nin("no-legal-basis", informationParts=["Name", "FamilyRelation"])
        self.assertEqual(answer.status_code, 200, answer.text)
        self.assertNotIn("familyRelation", answer.json())

    def test_parts_are_required(self):
        answer = self.by_nin("legal-basis")
        self.assertEqual(answer.status_code, 400)
        self.assertIn("informationParts", answer.json()["errors"])

    def test_one_tree_does_not_open_the_other(self):
        answer = call("GET", "legal-basis", "event/latest", self.auth["no-legal-basis"])
        self.assertEqual(answer.status_code, 403)


@unittest.skipUnless(DOCUMENT.exists(), f"skipped: {DOCUMENT} is not there")
class ByTheDocument(unittest.TestCase):
    """Values that make a request valid, by the name of the parameter or form field."""

    @classmethod
    def setUpClass(cls):
        with open(DOCUMENT, encoding="utf-8") as file:
            cls.document = yaml.safe_load(file)
        resource = Resource.from_contents(cls.document, default_specification=DRAFT4)
        cls.registry = Registry().with_resource("urn:document", resource)
        cls.auth = {tree: token(tree) for tree in SCOPES}
        found = call("POST", "legal-basis", "person/get-by-nin", cls.auth["legal-basis"],
                     params={"informationParts": "Name"}, data={"nin": PERSON["pid"]})
        parts = cls.document["components"]["schemas"]["InformationPart"]["enum"]
        name = PERSON["name"].split()[0]
        cls.values = {
            "id": found.json()["id"], "nin": PERSON["pid"], "nins": [p["pid"] for p in facts["persons"][:20]],
            "personIds": [found.json()["id"]], "informationParts": parts, "includeHistory": "true",
            "includeAinResults": "true", "FullName": name, "BirthDate": PERSON["born"], "PageSize": "50",
            "sequenceNumber": "1",
        }

    def judge(self, schema, value, where):
        at = "urn:document#/components/schemas/"
        text = yaml.safe_dump(schema).replace("'#/components/schemas/", f"'{at}").replace(
            ": #/components/schemas/", f": {at}")
        validator = OAS30Validator(yaml.safe_load(text), registry=self.registry, format_checker=oas30_format_checker)
        wrong = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in validator.iter_errors(value)]
        self.assertEqual(wrong[:5], [], where)

    def operations(self):
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                yield path, method.upper(), operation

    def send(self, path, method, operation, only_required, auth):
        tree = path.split("/")[2]
        query, form = {}, {}
        for parameter in operation["parameters"]:
            name, place = parameter["name"], parameter["in"]
            if place == "path":
                path = path.replace(f"{{{name}}}", self.values[name])
            elif place == "query" and name in self.values and (parameter["required"] or not only_required):
                query[name] = self.values[name]
        body = operation.get("requestBody", {}).get("content", {}).get("application/x-www-form-urlencoded")
        if body:
            schema = self.document["components"]["schemas"][body["schema"]["$ref"].rsplit("/", 1)[1]]
            form = {name: self.values[name] for name in schema["properties"] if name in self.values}
        answer = call(method, tree, path.split(f"/api/{tree}/", 1)[1], auth[tree] if auth else None,
                      params=query, data=form or None)
        return answer

    def test_every_operation_answers_by_its_schema(self):
        for path, method, operation in self.operations():
            for only_required in (True, False):
                with self.subTest(path=path, only_required=only_required):
                    answer = self.send(path, method, operation, only_required, self.auth)
                    self.assertEqual(answer.status_code, 200, answer.text[:500])
                    content = operation["responses"]["200"]["content"]
                    kind = answer.headers["content-type"].split(";")[0]
                    self.judge(content[kind]["schema"], answer.json(), f"{method} {path}")

    def test_refusals_are_in_the_document(self):
        for path, method, operation in self.operations():
            with self.subTest(path=path):
                answer = self.send(path, method, operation, True, None)
                self.assertEqual(answer.status_code, 401)
                self.assertIn("401", operation["responses"])
        wrong = call("POST", "legal-basis", "person/bulk-by-nin", self.auth["legal-basis"],
                     params={"informationParts": "Nothing"}, data={"nins": "x"})
        self.assertEqual(wrong.status_code, 400)
        responses = self.document["paths"]["/api/legal-basis/person/bulk-by-nin"]["post"]["responses"]
        kind = wrong.headers["content-type"].split(";")[0]
        self.judge(responses["400"]["content"][kind]["schema"], wrong.json(), "400")

    def test_all_properties_are_told(self):
        """What the schema of a person has stands in some person's answer, as far as the demo's nation has such facts."""
        answer = call("POST", "legal-basis", "person/bulk-by-nin", self.auth["legal-basis"],
                      params={"informationParts": self.values["informationParts"]}, data={"nins": self.values["nins"]})
        told = set().union(*answer.json())
        lists = {name for name, schema in self.document["components"]["schemas"]["Person"]["properties"].items()
                 if schema.get("type") == "array"}
        self.assertEqual(lists - told, set())


if __name__ == "__main__":
    unittest.main()
