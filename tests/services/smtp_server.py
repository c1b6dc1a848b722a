"""An SMTP server (aiosmtpd) as a process: keeps each mail that it answers 250 as a line of JSON in a file.

Arguments: port, file, mode (`plain`, `starttls`, `tls`). With `starttls` and `tls` it takes mail only from who gives USER and
PASSWORD. SMTP_REFUSALS mails are refused for the time being first; each takes SMTP_DELAY seconds, long enough to be killed in.
"""

import asyncio
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

USER, PASSWORD = b"crm", b"Sunny-day-2026"


class Keeper:
    refusals = int(os.environ.get("SMTP_REFUSALS", "0"))

    async def handle_DATA(self, server, session, envelope):
        await asyncio.sleep(float(os.environ.get("SMTP_DELAY", "0")))
        if Keeper.refusals > 0:
            Keeper.refusals -= 1
            return "451 come back later"
        line = {
            "to": envelope.rcpt_tos,
            "text": envelope.content.decode(),
            "tls": session.ssl is not None or sys.argv[3] == "tls",
            "authenticated": bool(session.authenticated),
        }
        # On disk before it is acknowledged, as a mail server has to.
        with open(sys.argv[2], "a", encoding="utf-8") as kept:
            kept.write(json.dumps(line) + "\n")
            kept.flush()
            os.fsync(kept.fileno())
        return "250 taken"


def authenticator(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (USER, PASSWORD), handled=True)


async def main():
    port, mode = int(sys.argv[1]), sys.argv[3]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    work = os.environ["SERVICES_WORK"]
    context.load_cert_chain(f"{work}/host.pem", f"{work}/host.key")
    options = {"hostname": "mail.example"}
    if mode != "plain":
        options |= {"authenticator": authenticator, "auth_required": True}
    if mode == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    if mode == "tls":
        # The connection is encrypted from its first byte, which the protocol class does not see.
        options |= {"auth_require_tls": False}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(Keeper(), loop=loop, **options), "127.0.0.1", port, ssl=context if mode == "tls" else None
    )
    await server.serve_forever()


asyncio.run(main())
