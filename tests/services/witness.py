"""Checkpoints witnessed by an S3-compatible store (s3rver): written there, also after it was away, and compared with the ledger."""

import os
import pathlib
import subprocess
import tempfile

from server import BIN, WORK, Leadledger, Process, check, free_port, listens, until


class Store:
    def __init__(self):
        self.folder, self.port = pathlib.Path(tempfile.mkdtemp(dir=WORK)), free_port()
        self.start()

    def start(self):
        command = [str(BIN / "s3rver"), "-d", str(self.folder), "-a", "127.0.0.1", "-p", str(self.port),
                   "--no-vhost-buckets", "--configure-bucket", "witness"]
        self.process = Process(command, "s3.log")
        until("the store", lambda: listens(self.port))

    def checkpoints(self):
        return sorted(self.folder.glob("witness/crm/*.checkpoint._S3rver_object"))

    def settings(self):
        return {"LEADLEDGER_WITNESS": "s3://witness/crm", "AWS_ENDPOINT": f"http://localhost:{self.port}",
                "AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER", "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true"}


def verify(server):
    command = [os.environ["LEADLEDGER"], "verify", "--checkpoints", "s3://witness/crm"]
    said = subprocess.run(command, env={**os.environ, **server.env}, capture_output=True, text=True, check=False)
    return said.returncode, said.stdout + said.stderr


def another(server, name):
    """Something happens, and a pack is asked for: a checkpoint is made."""
    company = server.call("POST", "/api/v1/companies", {"name": name}).json["company"]["id"]
    lead = server.call("POST", f"/api/v1/companies/{company}/leads", {"first_name": name}).json["lead"]["id"]
    return server.call("GET", f"/api/v1/leads/{lead}/evidence").json["checkpoint"]


store = Store()
server = Leadledger(**store.settings())
server.sign_in()
note = another(server, "One")
until("the witness", lambda: any(path.read_text() == note for path in store.checkpoints()), 150)
check("the checkpoint of a pack is witnessed, word for word", True)
status, text = verify(server)
check("the ledger is what was witnessed", status == 0)
store.process.kill()
note = another(server, "Two")
check("a store that is away keeps nobody from proofs", note.startswith("leadledger/"))
store.start()
until("the witness", lambda: any(path.read_text() == note for path in store.checkpoints()), 150)
check("what was signed meanwhile is witnessed afterwards", True)
server.process.stop()
# Whoever has the store's keys can take checkpoints away, and not forge one.
last = store.checkpoints()[-1]
last.write_text(last.read_text().replace("\n", "\n1", 1))
status, text = verify(server)
check("a checkpoint that was changed there is named", status == 1 and last.name.split(".")[0] in text)
store.process.stop()
