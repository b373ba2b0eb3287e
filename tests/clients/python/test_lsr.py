"""zeep against the training positions (LSR): what the demo's hospitals have, from position to the doctor who holds it."""
import unittest

import requests
from requests.auth import HTTPBasicAuth
from zeep import Client, Transport
from zeep.exceptions import Fault

from facts import facts

BASIC = facts["grunndata"]["basic_auth"]


class Positions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        session = requests.Session()
        session.auth = HTTPBasicAuth(BASIC["username"], BASIC["password"])
        cls.client = Client(f"{facts['base']}/v1/LSR?wsdl", transport=Transport(session=session))
        cls.lsr = cls.client.service

    def search(self, page, size=2):
        found = self.lsr.SearchPositions({"Page": page, "PageSize": size})
        return found.Results.Position if found.Results else [], found.Total

    def test_positions_page_by_page(self):
        first, total = self.search(1)
        self.assertGreater(total, 0)
        seen, page = [p.Id for p in first], 2
        while len(seen) < total:
            more, _ = self.search(page)
            self.assertTrue(more)
            seen += [p.Id for p in more]
            page += 1
        self.assertEqual(len(set(seen)), total)

    def test_a_position_its_approval_and_who_holds_it(self):
        positions, _ = self.search(1, 100)
        held = 0
        for position in positions:
            approval = self.lsr.GetApproval(position.ApprovalId)
            self.assertEqual(approval.Speciality.CodeValue, position.Speciality.CodeValue)
            employments = self.lsr.GetEmploymentsInPosition(position.Id)
            for employment in employments or []:
                held += 1
                own = self.lsr.GetEmploymentsForPerson(employment.HprNumber)
                self.assertIn(employment.Id, [e.Id for e in own])
        self.assertGreater(held, 0)

    def test_a_number_that_is_not_there(self):
        with self.assertRaises(Fault):
            self.lsr.GetEmployment(999_999)


if __name__ == "__main__":
    unittest.main()
