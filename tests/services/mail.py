"""Mail to a real SMTP server: arrives, once for each event, whoever is killed in the middle; encrypted and with a password."""

import collections
import email
import email.policy
import json
import pathlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from server import AUTHORITY, WORK, Leadledger, Process, check, free_port, listens, until

HERE = pathlib.Path(__file__).parent


class MailServer:
    def __init__(self, mode, **env):
        self.mode, self.env, self.port = mode, env, free_port()
        self.kept = WORK / f"mails-{self.port}"
        self.start()

    def start(self):
        command = [sys.executable, str(HERE / "smtp_server.py"), str(self.port), str(self.kept), self.mode]
        self.process = Process(command, "smtp.log", self.env)
        until("the SMTP server", lambda: listens(self.port))

    def mails(self):
        text = self.kept.read_text() if self.kept.exists() else ""
        return [json.loads(line) for line in text.splitlines()]

    def of(self, address):
        return [mail for mail in self.mails() if mail["to"] == [address]]


def settings(url):
    return {"LEADLEDGER_SMTP_URL": url, "LEADLEDGER_MAIL_FROM": "CRM <no-reply@crm.example>"}


def message(mail):
    return email.message_from_string(mail["text"], policy=email.policy.default)


def killed_in_the_middle():
    smtp = MailServer("plain", SMTP_DELAY="0.04", SMTP_REFUSALS="2")
    server = Leadledger(**settings(f"smtp://127.0.0.1:{smtp.port}"), LEADLEDGER_PUBLIC_URL="https://crm.example/")
    wanted, kills = set(), 0
    for round in range(4):
        emails = [f"p{round}x{n}@people.example" for n in range(8)]
        with ThreadPoolExecutor(8) as pool:
            check(f"round {round}: 8 people signed up", set(pool.map(server.sign_up, emails)) == {201})
        wanted.update(emails)
        time.sleep(0.5 + 0.037 * round)
        server.process.kill()
        if round == 1:
            smtp.process.kill()
        kills += 1
        server.start()
        if round == 1:
            time.sleep(1.5)
            smtp.start()
    until("every mail", lambda: wanted <= {mail["to"][0] for mail in smtp.mails()}, 90)
    # Whatever might still come twice has the time to.
    time.sleep(5)
    ids = collections.defaultdict(list)
    for mail in smtp.mails():
        ids[mail["to"][0]].append(message(mail)["Message-ID"])
    ids.pop("owner@services.example", None)
    check("every mail arrived, and nobody else's", set(ids) == wanted)
    check("one event, one Message-ID", all(len(set(of)) == 1 for of in ids.values()))
    check("no Message-ID stands for two events", len({of[0] for of in ids.values()}) == len(wanted))
    repeated = sum(len(of) - 1 for of in ids.values())
    check(f"only what a kill caught came again: {repeated} of {kills + 1} kills", repeated <= kills + 1)
    parts = message(smtp.of("p0x0@people.example")[0])
    text = parts.get_body(("plain",)).get_content()
    check("a text and an HTML part with the link", "https://crm.example/api/v1/users/email/prove?token=" in text
          and "/api/v1/users/email/prove?" in parts.get_body(("html",)).get_content())
    server.process.stop()
    smtp.process.stop()


def encrypted(mode, url):
    smtp = MailServer(mode)
    address = f"{mode}@people.example"
    trusting = Leadledger(**settings(url("crm:Sunny-day-2026", smtp.port)), SSL_CERT_FILE=str(AUTHORITY))
    check("signed up", trusting.sign_up(address) == 201)
    [mail] = until(f"a mail by {mode}", lambda: smtp.of(address))
    check(f"{mode}: encrypted and with a password", mail["tls"] and mail["authenticated"])
    trusting.process.stop()
    for why, user, env in [("an authority that nobody knows", "crm:Sunny-day-2026", {}),
                           ("a wrong password", "crm:wrong", {"SSL_CERT_FILE": str(AUTHORITY)})]:
        wary = Leadledger(**settings(url(user, smtp.port)), **env)
        address = f"{mode}-{len(env)}@people.example"
        check("signed up", wary.sign_up(address) == 201)
        time.sleep(4)
        check(f"{mode}: nothing is sent with {why}", not smtp.of(address))
        wary.process.stop()
        # The mail waits, and goes when the settings are right.
        again = Leadledger(wary.data, **settings(url("crm:Sunny-day-2026", smtp.port)), SSL_CERT_FILE=str(AUTHORITY))
        until("the mail that waited", lambda: smtp.of(address))
        check(f"{mode}: and it goes once that is mended", len(smtp.of(address)) == 1)
        again.process.stop()
    smtp.process.stop()


killed_in_the_middle()
encrypted("starttls", lambda user, port: f"smtp://{user}@localhost:{port}?tls=required")
encrypted("tls", lambda user, port: f"smtps://{user}@localhost:{port}")
