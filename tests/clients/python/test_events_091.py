"""Events of the registers over AMQP 0.9.1: zeep subscribes, pika receives; what AMQP 1.0 calls properties is read with qpid-proton."""
import os
import ssl
import unittest
import uuid

import pika
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, ProbableAuthenticationError
from proton import Message

from facts import facts, organisation
from test_events import client

GENDER = {"Aktiv": True, "OID": 3101, "Verdi": "2"}


def connect(key, password=None, tls=False, host="RegisterEvents", **more):
    """A connection of the bus user of an organisation; the namespace is written as the national samples write it."""
    her_id = organisation(key)["her_id"]
    user = next(u for u in facts["amqp"]["users"] if u["her_id"] == her_id)
    if tls:
        context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
        more["ssl_options"] = pika.SSLOptions(context, "localhost")
    return pika.BlockingConnection(pika.ConnectionParameters(
        host=facts["amqp"]["host"], port=facts["amqp"]["tls_port" if tls else "port"], virtual_host=host,
        credentials=pika.PlainCredentials(user["username"], password or user["password"]),
        blocked_connection_timeout=60, **more))


def properties_10(properties):
    """The properties sections of AMQP 1.0 out of the headers, by a library that knows AMQP 1.0 only."""
    raw = b""
    for name in ("x-amqp-1.0-properties", "x-amqp-1.0-app-properties"):
        value = properties.headers[name]
        # pika makes text of bytes that happen to be UTF-8.
        raw += value.encode() if isinstance(value, str) else value
    message = Message()
    message.decode(raw + b"\x00\x53\x75\xa0\x00")
    return message


class Events091(unittest.TestCase):
    def setUp(self):
        self.manager = client("/v2/servicebusmanager", "fjordglott").service
        self.queue = self.manager.Subscribe("Hpr", "PersonCreated", f"pika_{uuid.uuid4().hex[:8]}").QueueName
        self.addCleanup(lambda: self.manager.Unsubscribe(self.queue))

    def happen(self):
        made = client("/v2/HPR", "navet").service.OpprettPerson({"Etternavn": "Ny", "Fornavn": "Helt", "Kjønn": GENDER})
        return made.HPRNummer if hasattr(made, "HPRNummer") else made

    def open(self, **more):
        connection = connect("fjordglott", **more)
        self.addCleanup(lambda: connection.is_open and connection.close())
        return connection

    def test_consumed_over_tls_and_plain(self):
        for tls in (False, True):
            channel = self.open(tls=tls).channel()
            channel.basic_qos(prefetch_count=1)
            number = self.happen()
            for method, properties, body in channel.consume(self.queue, inactivity_timeout=60):
                self.assertIsNotNone(method, "it did not come")
                channel.basic_ack(method.delivery_tag)
                if properties.headers["hprNumber"] == number:
                    break
            self.assertEqual((method.exchange, method.routing_key), ("RegisterEvents", "Hpr.PersonCreated"))
            self.assertEqual((method.redelivered, body, properties.delivery_mode), (False, b"", 2))
            newer = properties_10(properties)
            self.assertEqual(newer.properties["eventName"], "PersonCreated")
            self.assertEqual(newer.properties["hprNumber"], number)
            self.assertEqual((newer.subject, newer.id), ("PersonCreated", properties.message_id))
            channel.cancel()
            channel.connection.close()

    def test_given_back_and_fetched_one_at_a_time(self):
        channel = self.open().channel()
        self.assertEqual(channel.basic_get(self.queue)[0], None)
        first = self.happen()
        method = properties = None
        for _ in range(600):
            method, properties, _ = channel.basic_get(self.queue)
            if method:
                break
            channel.connection.sleep(0.1)
        self.assertEqual(properties.headers["hprNumber"], first)
        channel.basic_nack(method.delivery_tag, requeue=True)
        method, properties, _ = next(channel.consume(self.queue, inactivity_timeout=60))
        self.assertTrue(method.redelivered)
        self.assertEqual(properties.headers["x-delivery-count"], 1)
        # Not acknowledged when the connection ends: it comes again.
        channel.connection.close()
        channel = self.open().channel()
        method, properties, _ = next(channel.consume(self.queue, inactivity_timeout=60))
        self.assertEqual(properties.headers["hprNumber"], first)
        channel.basic_ack(method.delivery_tag)
        channel.connection.close()
        # Acknowledged before a close that was answered: gone.
        channel = self.open().channel()
        counted = channel.queue_declare(self.queue, passive=True).method
        self.assertEqual((counted.queue, counted.message_count), (self.queue, 0))

    def test_refused(self):
        with self.assertRaises(ProbableAuthenticationError):
            connect("fjordglott", password="feil")
        connection = self.open(host="/")
        other = connect("karasjok")
        self.addCleanup(other.close)
        attempts = [
            (404, connection, lambda c: c.basic_get("registerevents_none")),
            (404, connection, lambda c: next(c.consume("registerevents_none", inactivity_timeout=5))),
            (403, other, lambda c: c.basic_get(self.queue)),
            (403, connection, lambda c: c.queue_declare(self.queue, durable=True)),
            (403, connection, lambda c: c.queue_purge(self.queue)),
            (403, connection, lambda c: c.exchange_declare("x")),
            (406, connection, lambda c: (c.basic_ack(7), c.basic_get(self.queue))),
            (403, connection, lambda c: (c.basic_publish("", self.queue, b"x"), c.basic_get(self.queue))),
        ]
        for code, on, attempt in attempts:
            with self.assertRaises(ChannelClosedByBroker) as refused:
                attempt(on.channel())
            self.assertEqual(refused.exception.reply_code, code)
        with self.assertRaises(ConnectionClosedByBroker) as refused:
            self.open().channel().tx_select()
        self.assertEqual(refused.exception.reply_code, 540)
        # None of it disturbed the others.
        self.assertEqual(connection.channel().basic_get(self.queue)[0], None)


if __name__ == "__main__":
    unittest.main()
