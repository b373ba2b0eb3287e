"""Events of the registers on the bus: zeep subscribes and changes something, qpid-proton receives what happened."""
import unittest
import uuid

import requests
from lxml import etree
from requests.auth import HTTPBasicAuth
from zeep import Client, Transport
from zeep.exceptions import Fault

from facts import facts, organisation

BASE = facts["base"]
FLR = "{http://schemas.nhn.no/reg/flr}"


def system_user(key):
    name = f"OrgUsr{organisation(key)['orgnr']}"
    return next(u for u in facts["grunndata"]["users"] if u["username"] == name)


def client(path, key):
    """zeep as the system user of an organisation of the story."""
    user = system_user(key)
    session = requests.Session()
    session.auth = HTTPBasicAuth(user["username"], user["password"])
    return Client(f"{BASE}{path}?singleWsdl", transport=Transport(session=session))


class Queue:
    """A subscription and its receiver."""

    def __init__(self, source, key, event="", as_system=False):
        self.manager = client("/v2/servicebusmanager", key).service
        self.name = self.manager.Subscribe(source, event, "proton_test").QueueName
        self.key, self.as_system = key, as_system

    def __enter__(self):
        from proton.utils import BlockingConnection

        her_id = organisation(self.key)["her_id"]
        user = next(u for u in facts["amqp"]["users"] if u["her_id"] == her_id)
        if self.as_system:
            user = system_user(self.key)
        self.connection = BlockingConnection(
            f"amqp://{facts['amqp']['host']}:{facts['amqp']['port']}",
            user=user["username"], password=user["password"], allowed_mechs="PLAIN", timeout=60)
        self.receiver = self.connection.create_receiver(f"/amq/queue/{self.name}")
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.manager.Unsubscribe(self.name)

    def take(self, wanted):
        """The first message that is wanted; others are taken away."""
        for _ in range(50):
            message = self.receiver.receive(timeout=60)
            self.receiver.accept()
            if wanted(message.properties):
                return message
        raise AssertionError("it did not come")


class Events(unittest.TestCase):
    def test_one_user_for_register_and_bus(self):
        """Stock clients of events log in to the bus with the user of the register."""
        her_id = organisation("karasjok")["her_id"]
        with Queue("AddressRegister", "karasjok", as_system=True) as queue:
            code = {"Active": True, "CodeValue": uuid.uuid4().hex[:12], "OID": 1}
            client("/v1/AR", "karasjok").service.AddCustomAttribute(her_id, code)
            message = queue.take(lambda said: said["herId"] == her_id)
            self.assertEqual(message.properties["eventName"], "CommunicationPartyUpdated")

    def test_personnel(self):
        owner = client("/v2/HPR", "navet")
        with Queue("Hpr", "fjordglott") as queue:
            made = owner.service.OpprettPerson({"Etternavn": "Ny", "Fornavn": "Helt", "Kjønn": {"Aktiv": True, "OID": 3101, "Verdi": "2"}})
            number = made.HPRNummer if hasattr(made, "HPRNummer") else made
            message = queue.take(lambda p: p.get("hprNumber") == number)
            self.assertEqual(message.properties["eventName"], "PersonCreated")
            self.assertEqual(message.subject, "PersonCreated")

    def test_only_the_event_that_was_asked_for(self):
        owner = client("/v2/HPR", "navet").service
        with Queue("Hpr", "fjordglott", "UtdanningsinstitusjonCreated") as queue:
            owner.OpprettPerson({"Etternavn": "Annen", "Fornavn": "Helt", "Kjønn": {"Aktiv": True, "OID": 3101, "Verdi": "1"}})
            with self.assertRaises(Exception):
                queue.receiver.receive(timeout=3)

    def test_gp_lists(self):
        lists = client("/v2/flr", "fjordglott").service
        contract = lists.QueryGPContracts({"Page": 1, "PageSize": 1}).Results.GPContract[0]
        owner = client("/v2/flrwrite", "navet").service
        # Contracts are everybody's business; who is whose patient is not.
        with Queue("Flr", "fjordglott") as own, Queue("Flr", "karasjok") as other:
            owner.UpdateGPContractMaxPatients(contract.Id, contract.MaxPatients + 1)
            for queue in (own, other):
                message = queue.take(lambda p: p["eventName"] == "ContractUpdated")
                self.assertEqual(message.properties["gpContractId"], contract.Id)
                self.assertEqual(message.content_type, "application/xml")
                document = etree.fromstring(bytes(message.body))
                self.assertEqual(document.tag, f"{FLR}GPContract")
                self.assertEqual(document.findtext(f"{FLR}MaxPatients"), str(contract.MaxPatients + 1))

    def test_a_queue_is_the_subscribers_own(self):
        from proton.utils import BlockingConnection

        manager = client("/v2/servicebusmanager", "fjordglott").service
        queue = manager.Subscribe("Resh", "", "proton_own").QueueName
        user = next(u for u in facts["amqp"]["users"] if u["her_id"] == organisation("karasjok")["her_id"])
        connection = BlockingConnection(
            f"amqp://{facts['amqp']['host']}:{facts['amqp']['port']}",
            user=user["username"], password=user["password"], allowed_mechs="PLAIN", timeout=30)
        try:
            with self.assertRaises(Exception) as refused:
                connection.create_receiver(f"/amq/queue/{queue}").receive(timeout=10)
            self.assertIn("unauthorized", str(refused.exception))
        finally:
            connection.close()
            manager.Unsubscribe(queue)

    def test_events_that_are_not(self):
        manager = client("/v2/servicebusmanager", "fjordglott").service
        for source, event, ident in (("Hpr", "CpaCreated", "x"), ("Hpr", "", "med mellomrom")):
            with self.assertRaises(Fault):
                manager.Subscribe(source, event, ident)


if __name__ == "__main__":
    unittest.main()
