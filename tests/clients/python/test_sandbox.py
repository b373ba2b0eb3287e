"""fhirpy against the sandbox, with both of its clients."""
import asyncio
import unittest
import uuid

from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import MultipleResourcesFound, OperationOutcome, ResourceNotFound

from facts import facts

BASE = facts["fhir"]["sandbox"]


class Case(unittest.TestCase):
    def setUp(self):
        self.mark = f"urn:test:{uuid.uuid4()}"

    def body(self, family, **more):
        return {"name": [{"family": family}], "identifier": [{"system": self.mark, "value": family}], **more}


class Sandbox(Case):
    def setUp(self):
        super().setUp()
        self.fhir = SyncFHIRClient(BASE)

    def patient(self, family, **more):
        patient = self.fhir.resource("Patient", **self.body(family, **more))
        patient.save()
        return patient

    def observation(self, patient, value):
        observation = self.fhir.resource(
            "Observation", status="final", code={"coding": [{"system": "http://loinc.org", "code": "718-7"}]},
            subject=patient.to_reference(), valueInteger=value,
        )
        observation.save()
        return observation

    def mine(self):
        return self.fhir.resources("Patient").search(identifier=f"{self.mark}|")

    def test_life_of_a_resource(self):
        patient = self.patient("Fiskvatn")
        patient["birthDate"] = "1977-07-07"
        patient.save()
        again = self.fhir.reference("Patient", patient.id).to_resource()
        self.assertEqual(again["birthDate"], "1977-07-07")
        self.assertEqual(again["meta"]["versionId"], "2")
        patient.delete()
        with self.assertRaises(Exception):
            self.fhir.reference("Patient", patient.id).to_resource()

    def test_search(self):
        for family in ("Én", "To", "Tre"):
            self.patient(family)
        found = self.mine()
        self.assertEqual(len(found.limit(2).fetch_all()), 3)
        self.assertEqual(found.search(family="Tre").first()["name"][0]["family"], "Tre")
        self.assertEqual([p["name"][0]["family"] for p in found.sort("-family").fetch()], ["Tre", "To", "Én"])
        self.assertEqual(len(list(found.limit(1))), 3)
        self.assertIn("name", found.elements("name").first())
        self.assertNotIn("identifier", found.elements("name").first())

    def test_count(self):
        for family in ("Én", "To"):
            self.patient(family)
        self.assertEqual(self.mine().count(), 2)

    def test_one(self):
        patient = self.patient("Én")
        self.assertEqual(self.mine().get().id, patient.id)
        self.patient("To")
        with self.assertRaises(MultipleResourcesFound):
            self.mine().get()
        with self.assertRaises(ResourceNotFound):
            self.mine().search(family="Fire").get()

    def test_references(self):
        patient = self.patient("Kjede")
        observation = self.observation(patient, 3)
        self.assertEqual(observation["subject"].to_resource().id, patient.id)
        found = self.fhir.resources("Observation").search(patient__identifier=f"{self.mark}|Kjede")
        self.assertEqual([o.id for o in found.fetch()], [observation.id])
        types = {e.resource.resource_type for e in found.include("Observation", "subject").fetch_raw().entry}
        self.assertEqual(types, {"Observation", "Patient"})
        back = self.mine().revinclude("Observation", "subject").fetch_raw()
        self.assertEqual({e.resource.resource_type for e in back.entry}, {"Observation", "Patient"})
        self.assertEqual(back["total"], 1)
        self.assertEqual(len(self.mine().has("Observation", "patient", code="718-7").fetch()), 1)

    def test_patch(self):
        patient = self.patient("Lapp", birthDate="1950-01-01")
        patient.patch(active=True)
        self.assertTrue(self.fhir.reference("Patient", patient.id).to_resource()["active"])
        patient["gender"] = "other"
        patient.save(fields=["gender"])
        again = self.fhir.reference("Patient", patient.id).to_resource()
        self.assertEqual((again["gender"], again["birthDate"]), ("other", "1950-01-01"))
        # An element that is set to nothing goes.
        patient.patch(birthDate=None)
        self.assertNotIn("birthDate", self.fhir.reference("Patient", patient.id).to_resource())

    def test_conditional(self):
        one = self.fhir.resources("Patient").search(identifier=f"{self.mark}|Betinget")
        first, made = one.get_or_create(self.fhir.resource("Patient", **self.body("Betinget")))
        self.assertTrue(made)
        second, made = one.get_or_create(self.fhir.resource("Patient", **self.body("Betinget")))
        self.assertFalse(made)
        self.assertEqual(first.id, second.id)
        third, made = one.update(self.fhir.resource("Patient", **self.body("Betinget", active=True)))
        self.assertFalse(made)
        self.assertEqual((third.id, third["active"]), (first.id, True))
        self.assertEqual(one.patch(gender="male")["gender"], "male")
        one.delete()
        self.assertIsNone(one.first())

    def test_validation(self):
        self.assertTrue(self.fhir.resource("Patient", **self.body("Gyldig")).is_valid())
        self.assertFalse(self.fhir.resource("Patient", gender="ukjent").is_valid())
        with self.assertRaises(OperationOutcome):
            self.fhir.resource("Patient", gender="ukjent").save()

    def test_operations_and_bundles(self):
        patient = self.patient("Alt")
        self.observation(patient, 4)
        everything = patient.execute("$everything", method="get")
        self.assertEqual(len(everything["entry"]), 2)
        done = self.fhir.execute("", method="post", data={
            "resourceType": "Bundle", "type": "transaction",
            "entry": [{"resource": {"resourceType": "Patient", **self.body("Bunt")}, "request": {"method": "POST", "url": "Patient"}}],
        })
        self.assertTrue(done["entry"][0]["response"]["status"].startswith("201"))

    def test_unknown(self):
        with self.assertRaises(ResourceNotFound):
            self.fhir.reference("Patient", str(uuid.uuid4())).to_resource()
        with self.assertRaises(OperationOutcome):
            self.fhir.resources("Patient").search(familly="x").fetch()


class AsyncSandbox(Case):
    def test_many_at_once(self):
        async def play():
            fhir = AsyncFHIRClient(BASE)
            patients = [fhir.resource("Patient", **self.body(f"Samtidig{n}")) for n in range(20)]
            await asyncio.gather(*(p.save() for p in patients))
            self.assertEqual(len({p.id for p in patients}), 20)
            found = fhir.resources("Patient").search(identifier=f"{self.mark}|").limit(7)
            self.assertEqual(len(await found.fetch_all()), 20)
            self.assertEqual(len([p async for p in found]), 20)
            self.assertEqual(await found.count(), 20)
            # Of many conditional creates at once one creates.
            one = fhir.resources("Patient").search(identifier=f"{self.mark}|Ett")
            results = await asyncio.gather(
                *(one.get_or_create(fhir.resource("Patient", **self.body("Ett"))) for _ in range(8)), return_exceptions=True
            )
            made = [r for r in results if not isinstance(r, Exception) and r[1]]
            self.assertEqual(len(made), 1, results)
            self.assertEqual(await one.count(), 1)
            await patients[0].delete()
            with self.assertRaises(Exception):
                await patients[0].to_reference().to_resource()

        asyncio.run(play())


if __name__ == "__main__":
    unittest.main()
