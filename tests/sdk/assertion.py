"""PyJWT as a private app behind the edge: what it makes of each assertion, as JSON.

The file names the keys that the edge publishes, who signs, for whom, and the body of the request.
"""

import base64
import hashlib
import json
import sys

import jwt

with open(sys.argv[1]) as file:
    asked = json.load(file)


def encode(digest):
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def thumbprint(key):
    """RFC 7638, section 3."""
    needed = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "RSA": ("e", "kty", "n")}
    members = {name: key[name] for name in needed[key["kty"]]}
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return encode(hashlib.sha256(text.encode()).digest())


keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(asked["jwks"]).keys}


def judge(token):
    header = jwt.get_unverified_header(token)
    key = keys.get(header["kid"])
    if key is None:
        return {"error": "no such key"}
    try:
        # No leeway: this clock is the edge's.
        claims = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            issuer=asked["issuer"],
            audience=asked["audience"],
            options={"require": ["exp", "iat", "nbf", "jti", "sub", "iss", "aud"]},
        )
    except jwt.PyJWTError as error:
        return {"error": type(error).__name__}
    body = encode(hashlib.sha256(asked["body"].encode()).digest())
    return {"alg": header["alg"], "claims": claims, "body": claims["bsh"] == body}


names = all(thumbprint(key) == key["kid"] for key in asked["jwks"]["keys"])
print(json.dumps({"names": names, "tokens": [judge(token) for token in asked["tokens"]]}))
