"""Authlib against HelseID: its OAuth session and private_key_jwt as they come; it knows no DPoP, so the proof is a header of ours."""
import hashlib
import time
import unittest
import uuid
from base64 import urlsafe_b64encode
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from facts import client, facts, personnel

METADATA = requests.get(f"{facts['helseid']['issuer']}/.well-known/openid-configuration", timeout=30).json()
REDIRECT = "http://127.0.0.1:8765/callback"
KEYS = KeySet.import_key_set(requests.get(METADATA["jwks_uri"], timeout=30).json())
ALGS = ["ES256", "RS256"]


class Party:
    """A session with a DPoP key of its own and the last nonce it was given."""

    def __init__(self, client_id):
        self.key = ECKey.generate_key("P-256", private=True)
        self.nonce = None
        private = ECKey.import_key(client(client_id)["private_jwk"])
        self.session = OAuth2Session(
            client_id, private, token_endpoint_auth_method="private_key_jwt", redirect_uri=REDIRECT,
            scope="openid profile nhn:pps/provesvar-read",
        )
        self.renew()
        self.session.register_compliance_hook("access_token_response", self.remember)

    def renew(self):
        """By itself Authlib's assertions live an hour, HelseID takes a minute; and it keeps the jti in the claims it is given."""
        claims = {"exp": int(time.time()) + 60}
        self.session.register_client_auth_method(PrivateKeyJWT(METADATA["issuer"], claims, alg="ES256"))

    def remember(self, answer):
        self.nonce = answer.headers.get("DPoP-Nonce", self.nonce)
        return answer

    def proof(self, url, method="POST", token=None):
        claims = {"jti": str(uuid.uuid4()), "htm": method, "htu": url, "iat": int(time.time())}
        if token:
            digest = hashlib.sha256(token.encode()).digest()
            claims["ath"] = urlsafe_b64encode(digest).rstrip(b"=").decode()
        elif self.nonce:
            claims["nonce"] = self.nonce
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.as_dict(private=False)}
        return jwt.encode(header, claims, self.key)

    def fetch(self, **parameters):
        url = METADATA["token_endpoint"]
        try:
            return self.session.fetch_token(url, headers={"DPoP": self.proof(url)}, **parameters)
        except OAuthError as error:
            if error.error != "use_dpop_nonce":
                raise
        return self.session.fetch_token(url, headers={"DPoP": self.proof(url)}, **parameters)


class Authlib(unittest.TestCase):
    def test_machine_token(self):
        party = Party("demo-system-nordlys")
        token = party.fetch(grant_type="client_credentials", scope="nhn:pps/provesvar-read")
        self.assertEqual(token["token_type"], "DPoP")
        claims = jwt.decode(token["access_token"], KEYS, ALGS).claims
        self.assertEqual(claims["aud"], "nhn:pps")
        self.assertEqual(claims["cnf"]["jkt"], party.key.thumbprint())

    def test_scope_not_granted(self):
        with self.assertRaises(OAuthError) as caught:
            Party("demo-system-nordlys").fetch(grant_type="client_credentials", scope="nhn:deft/api")
        self.assertEqual(caught.exception.error, "invalid_scope")

    def test_login(self):
        party, doctor = Party("demo-epj-nordlys"), personnel("saether")
        verifier = generate_token(48)
        # Authlib builds the address of a login; its parameters are pushed instead.
        url, state = party.session.create_authorization_url(
            METADATA["authorization_endpoint"], code_challenge=create_s256_code_challenge(verifier), code_challenge_method="S256",
            nonce="a-nonce-of-the-test", acr_values="idp:testidp-oidc", test_pid=doctor["pid"],
        )
        parameters = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        pushed = party.session.post(
            METADATA["pushed_authorization_request_endpoint"], data=parameters, withhold_token=True,
            auth=party.session.client_auth("private_key_jwt"), timeout=30,
        )
        self.assertEqual(pushed.status_code, 201, pushed.text)
        party.renew()
        query = {"client_id": "demo-epj-nordlys", "request_uri": pushed.json()["request_uri"]}
        back = requests.get(METADATA["authorization_endpoint"], params=query, allow_redirects=False, timeout=30)
        answer = parse_qs(urlsplit(back.headers["location"]).query)
        self.assertEqual((answer["state"], answer["iss"]), ([state], [METADATA["issuer"]]))
        token = party.fetch(grant_type="authorization_code", code=answer["code"][0], code_verifier=verifier)
        claims = jwt.decode(token["id_token"], KEYS, ALGS).claims
        expected = {"iss": {"value": METADATA["issuer"]}, "aud": {"value": "demo-epj-nordlys"}, "nonce": {"value": "a-nonce-of-the-test"}}
        jwt.JWTClaimsRegistry(**{name: {"essential": True, **rule} for name, rule in expected.items()}).validate(claims)
        self.assertEqual(claims["name"], doctor["name"])
        info = requests.get(METADATA["userinfo_endpoint"], timeout=30, headers={
            "Authorization": f"DPoP {token['access_token']}",
            "DPoP": party.proof(METADATA["userinfo_endpoint"], "GET", token["access_token"]),
        })
        self.assertEqual(info.json()["sub"], claims["sub"])


if __name__ == "__main__":
    unittest.main()
