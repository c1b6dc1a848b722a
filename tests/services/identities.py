"""Identities of an OpenID Connect issuer (oauth2-mock-server), whose keys come from its address."""

import json
import ssl
import urllib.parse
import urllib.request

from server import AUTHORITY, BIN, CERTIFICATE, KEY, Leadledger, Process, check, free_port, listens, until


class Issuer:
    def __init__(self, tls):
        self.port, self.tls = free_port(), tls
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        self.start()

    def start(self):
        command = [str(BIN / "oauth2-mock-server"), "-a", "127.0.0.1", "-p", str(self.port)]
        if self.tls:
            command += ["-c", str(CERTIFICATE), "-k", str(KEY)]
        self.process = Process(command, "issuer.log")
        until("the issuer", lambda: listens(self.port))

    def id_token(self, client="leadledger"):
        form = {"grant_type": "password", "username": "john", "password": "x", "client_id": client, "scope": "openid"}
        request = urllib.request.Request(f"{self.url}/token", urllib.parse.urlencode(form).encode())
        trust = ssl.create_default_context(cafile=str(AUTHORITY)) if self.tls else None
        with urllib.request.urlopen(request, context=trust) as answer:
            return json.load(answer)["id_token"]

    def settings(self):
        entry = {"provider": "issuer", "issuer": self.url, "audience": "leadledger", "jwks": f"{self.url}/jwks"}
        return {"LEADLEDGER_OIDC": json.dumps([entry])}


def link(server, token):
    return server.call("POST", "/api/v1/users/1/providers", {"provider": "issuer", "id_token": token})


def linked(tls):
    issuer = Issuer(tls)
    server = Leadledger(**issuer.settings(), SSL_CERT_FILE=str(AUTHORITY))
    server.sign_in()
    how = "over TLS" if tls else "in the clear"
    token = issuer.id_token()
    made = link(server, token)
    check(f"{how}: an identity is linked", made.status == 201 and made.json["provider"]["uid"] == "johndoe")
    check("again, it is the same one", link(server, token).json["provider"]["id"] == made.json["provider"]["id"])
    check("one that is meant for others is not taken", link(server, issuer.id_token("others")).status == 422)
    forged = token[:-6] + ("AAAAAA" if not token.endswith("AAAAAA") else "BBBBBB")
    check("nor one that was altered", link(server, forged).status == 422)
    listed = server.call("GET", "/api/v1/users/1/providers").json["providers"]
    check("it is listed beside the password", {row["provider"] for row in listed} == {"password", "issuer"})
    server.process.stop()
    # Keys are kept only while the server runs: a new one asks, and the issuer is away.
    issuer.process.kill()
    alone = Leadledger(server.data, **issuer.settings(), SSL_CERT_FILE=str(AUTHORITY))
    alone.sign_in()
    for n in ("a first", "a second"):
        away = link(alone, token)
        check(f"an issuer that is away is a 503, {n} time", away.status == 503 and away.headers["retry-after"])
    alone.process.stop()
    if tls:
        issuer.start()
        wary = Leadledger(server.data, **issuer.settings())
        wary.sign_in()
        check("keys from whom nobody vouches for are not taken", link(wary, issuer.id_token()).status == 503)
        wary.process.stop()
        issuer.process.stop()


linked(tls=False)
linked(tls=True)
