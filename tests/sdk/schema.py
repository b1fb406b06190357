"""The JSON schema on standard input against samples, which fit it, and against mistakes, which do not."""

import copy
import json
import sys
import tomllib

from jsonschema import Draft202012Validator

schema = json.load(sys.stdin)
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)


def at(document, path):
    for step in path:
        document = document[step]
    return document


#: Where, what is put there, and why that is wrong.
MISTAKES = [
    (["server"], "lisen", "127.0.0.1:1", "an unknown key"),
    (["server"], "workers", "two", "a text for a number"),
    (["server"], "listen", "localhost", "no port"),
    (["hops"], "speak", "smtp", "no language of hops"),
    (["limits"], "idle", "soon", "no duration"),
    (["limits"], "client_message", -1, "a negative size"),
    (["upstreams", "voice"], "kind", "ftp", "an unknown kind"),
    (["upstreams", "voice", "credential"], "header", "cookie", "an unknown header"),
    (["issuers", "users"], "kind", "saml", "an unknown issuer"),
    (["routes", 0], "accept", ["body"], "an unknown place"),
    (["routes", 0], "refuse", "politely", "an unknown refusal"),
    (["routes", 0], "name", None, "no name"),
    (["routes", 0, "limits"], "upgrades", "often", "no rate"),
    (["calls"], "known_by", "luck", "an unknown proof"),
    (["routes", 2, "gate"], "flow", "dialled", "an unknown flow"),
    (["routes", 2, "gate"], "feeds", ["ears"], "an unknown feed"),
]

fit = 0
for name in sys.argv[1:]:
    with open(name, "rb") as file:
        document = tomllib.load(file)
    errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
    assert not errors, f"{name}: {errors}"
    fit += 1
    if not name.endswith("every-setting.toml"):
        continue
    for path, key, value, why in MISTAKES:
        wrong = copy.deepcopy(document)
        if value is None:
            del at(wrong, path)[key]
        else:
            at(wrong, path)[key] = value
        assert not validator.is_valid(wrong), f"{why} fits the schema"
print(json.dumps({"fit": fit, "mistakes": len(MISTAKES)}))
