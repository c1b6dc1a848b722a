"""Avatars in an S3-compatible store (s3rver): kept there, served from there, taken away there; also while it is away."""

import base64
import pathlib
import struct
import tempfile
import zlib

from server import AUTHORITY, BIN, CERTIFICATE, KEY, WORK, Leadledger, Process, check, free_port, listens, until


def picture(red):
    """A PNG of one colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes([red, 0, 0]) * 8 for _ in range(8))
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Store:
    def __init__(self, tls):
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=WORK))
        self.port, self.tls = free_port(), tls
        self.start()

    def start(self):
        command = [str(BIN / "s3rver"), "-d", str(self.folder), "-a", "127.0.0.1", "-p", str(self.port),
                   "--no-vhost-buckets", "--configure-bucket", "pictures"]
        if self.tls:
            command += ["--key", str(KEY), "--cert", str(CERTIFICATE)]
        self.process = Process(command, "s3.log")
        until("the store", lambda: listens(self.port))

    def objects(self):
        return {path.name.split("._S3rver_")[0] for path in self.folder.glob("pictures/crm/avatars/*")}

    def settings(self, key="S3RVER"):
        scheme = "https" if self.tls else "http"
        return {"LEADLEDGER_OBJECT_STORE": "s3://pictures/crm", "AWS_ENDPOINT": f"{scheme}://localhost:{self.port}",
                "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": "S3RVER", "AWS_REGION": "us-east-1",
                "AWS_ALLOW_HTTP": "true", "SSL_CERT_FILE": str(AUTHORITY)}


def upload(server, red):
    body = {"avatar_base64": base64.b64encode(picture(red)).decode(), "name": "a.png", "type": "image/png"}
    return server.call("PUT", "/api/v1/users/avatar", body)


def route(answer):
    return answer.json["user"]["avatar_route"]


def kept_and_served(tls):
    store = Store(tls)
    server = Leadledger(**store.settings())
    server.sign_in()
    how = "over TLS" if tls else "in the clear"
    first = upload(server, 10)
    check(f"{how}: stored", first.status == 200 and len(store.objects()) == 1)
    check("under the name that the route tells", route(first).rsplit("/", 1)[1] in store.objects())
    shown = server.call("GET", route(first))
    check("served with its type and to be kept for good", shown.status == 200 and shown.headers["content-type"] == "image/png"
          and "immutable" in shown.headers["cache-control"])
    check("the same picture again is the same object", route(upload(server, 10)) == route(first) and len(store.objects()) == 1)
    second = upload(server, 200)
    check("the replaced one is taken away", route(second) != route(first) and len(store.objects()) == 1)
    check("and not served", server.call("GET", route(first)).status == 404)
    store.process.kill()
    away = upload(server, 90)
    check("a store that is away is a 503 with Retry-After", away.status == 503 and away.headers["retry-after"])
    check("also when the picture is asked for", server.call("GET", route(second)).status == 503)
    check("and nothing else is touched", server.call("GET", "/api/v1/users/validate_jwt").json["user"]["avatar_route"]
          == route(second))
    store.start()
    check("when it is back, so are the pictures", server.call("GET", route(second)).status == 200)
    check("and they can be taken away", server.call("DELETE", "/api/v1/users/avatar").status == 200
          and not store.objects())
    server.process.stop()
    wrong = Leadledger(**store.settings("wrong"))
    wrong.sign_in()
    refused = upload(wrong, 10)
    check(f"with a key that the store does not know nothing is stored ({refused.status})", refused.status == 503 and not store.objects())
    wrong.process.stop()
    store.process.stop()


kept_and_served(tls=False)
kept_and_served(tls=True)
