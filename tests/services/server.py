"""A leadledger of its own, and the processes that it is tried against. Standard library only."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

WORK = pathlib.Path(os.environ["SERVICES_WORK"])
BIN = pathlib.Path(os.environ["SERVICES_BIN"])
AUTHORITY, CERTIFICATE, KEY = WORK / "authority.pem", WORK / "host.pem", WORK / "host.key"
PASSWORD = "Services-only-2026"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, condition, seconds=60):
    """Waits for the condition; what it answers."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise SystemExit(f"FAILED: waited {seconds} s for {what}")
        time.sleep(0.1)


def check(what, true):
    if not true:
        raise SystemExit(f"FAILED: {what}")
    print(f"   {what}")


def listens(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


class Process:
    """A process that is killed at the end."""

    def __init__(self, command, log, env=None):
        self.log = WORK / log
        with open(self.log, "ab") as out:
            self.running = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **(env or {})})

    def kill(self):
        """As a loss of power would."""
        self.running.send_signal(signal.SIGKILL)
        self.running.wait()

    def stop(self):
        if self.running.poll() is None:
            self.running.terminate()
            try:
                self.running.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


class Answer:
    def __init__(self, status, headers, content):
        self.status, self.headers, self.content = status, headers, content

    @property
    def json(self):
        return json.loads(self.content)


class Leadledger:
    """A server with a data directory of its own, which outlives its restarts."""

    def __init__(self, data=None, **env):
        self.data = data or tempfile.mkdtemp(dir=WORK)
        os.chmod(self.data, 0o755)
        self.port = free_port()
        self.env = {
            "LEADLEDGER_DATA_DIR": self.data,
            "LEADLEDGER_LISTEN": f"127.0.0.1:{self.port}",
            "LEADLEDGER_OWNER_EMAIL": "owner@services.example",
            "LEADLEDGER_OWNER_PASSWORD": PASSWORD,
            "LEADLEDGER_LOG": "warn",
            **env,
        }
        self.url = f"http://127.0.0.1:{self.port}"
        self.token = None
        self.start()

    def start(self):
        self.process = Process([os.environ["LEADLEDGER"], "serve"], "server.log", self.env)
        until("the server", self.is_ready)

    def is_ready(self):
        if self.process.running.poll() is not None:
            sys.stderr.write(self.process.log.read_text())
            raise SystemExit("FAILED: the server ended early")
        with contextlib.suppress(OSError):
            return self.call("GET", "/health/ready").status == 200
        return False

    def call(self, method, path, body=None, token=None):
        headers = {"Content-Type": "application/json"}
        token = token or self.token
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as refusal:
            return Answer(refusal.code, refusal.headers, refusal.read())

    def sign_in(self):
        body = {"email": "owner@services.example", "password": PASSWORD}
        self.token = self.call("POST", "/api/v1/users/login", body).json["token"]

    def sign_up(self, email):
        return self.call("POST", "/api/v1/users", {"first_name": "Ana", "email": email}).status
