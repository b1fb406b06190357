"""Tickets of private keys, signed with PyJWT: ticket.py FOLDER AUDIENCE prints them as JSON.

FOLDER has es.key, ed.key and rs.key in PEM; jwk.json, the public part of a new key, is written there."""

import base64
import hashlib
import hmac
import json
import pathlib
import sys
import time
import uuid

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

folder, audience = pathlib.Path(sys.argv[1]), sys.argv[2]
now = int(time.time())


def claims():
    return {"aud": audience, "iat": now, "exp": now + 30, "jti": str(uuid.uuid4())}


def sign(kid, algorithm, key):
    return jwt.encode(claims(), key, algorithm=algorithm, headers={"kid": kid})


def read(name):
    return (folder / name).read_bytes()


new = ec.generate_private_key(ec.SECP256R1())
(folder / "jwk.json").write_text(jwt.algorithms.ECAlgorithm.to_jwk(new.public_key()))


def confused():
    """HS256 with the public key as its secret, which a verifier that goes by alg would take."""

    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    text = part({"alg": "HS256", "typ": "JWT", "kid": "rs"}) + b"." + part(claims())
    digest = hmac.new(read("rs.pem"), text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")).decode()


print(
    json.dumps(
        {
            "es": sign("es", "ES256", read("es.key")),
            "ed": sign("ed", "EdDSA", read("ed.key")),
            "rs": sign("rs", "RS256", read("rs.key")),
            "jwk": sign("jwk", "ES256", new),
            "other": sign("es", "EdDSA", read("ed.key")),
            "confused": confused(),
        }
    )
)
