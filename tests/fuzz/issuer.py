"""Writes the public half of an RSA key, given as openssl prints its modulus, as a JWKS file; prints the setting that names it."""

import base64
import json
import sys

modulus = bytes.fromhex(sys.argv[1].split("=")[1].strip())
key = {"kty": "RSA", "kid": "fuzz", "use": "sig", "alg": "RS256", "e": "AQAB"}
key["n"] = base64.urlsafe_b64encode(modulus).rstrip(b"=").decode()
with open(sys.argv[2], "w", encoding="utf-8") as file:
    json.dump({"keys": [key]}, file)
entry = {"provider": "fuzz", "issuer": "https://issuer.example", "audience": "leadledger", "jwks": sys.argv[2]}
print(json.dumps([entry]))
