"""What every client needs to know: the file that the demo writes (HELSENAV_FACTS)."""
import json
import os

with open(os.environ["HELSENAV_FACTS"], encoding="utf-8") as file:
    facts = json.load(file)


def one(rows, **wanted):
    return next(r for r in rows if all(r.get(k) == v for k, v in wanted.items()))


def client(client_id):
    return one(facts["helseid"]["clients"], client_id=client_id)


def person(story):
    return one(facts["persons"], story=story)


def personnel(key):
    return one(facts["personnel"], key=key)


def organisation(key):
    return one(facts["organisations"], key=key)
