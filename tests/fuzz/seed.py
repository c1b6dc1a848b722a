"""Makes one of each thing through the API, so that the ids that the fuzzer guesses exist, and what single requests need to
succeed: codes, tokens of mailed links, identities, pairs that belong together. Prints the fuzzer's token.

Reads LEADLEDGER_URL, LEADLEDGER_OWNER_EMAIL, LEADLEDGER_OWNER_PASSWORD and LEADLEDGER_DATA_DIR; the private key of the identity
issuer is the file FUZZ_ISSUER_KEY. Writes the file FUZZ_SEEDED. Standard library and openssl only.
"""

import base64
import json
import os
import pathlib
import re
import subprocess
import time
import urllib.error
import urllib.request
from email import message_from_bytes, policy

BASE = os.environ["LEADLEDGER_URL"] + "/api/v1"
TOKEN = None


def call(method, path, body=None, token=None):
    """The answer's JSON; anything but a success ends the run, since a fuzzer without data tests little."""
    headers = {"Content-Type": "application/json"}
    if token or TOKEN:
        headers["Authorization"] = f"Bearer {token or TOKEN}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        raise SystemExit(f"seed: {method} {path}: {refusal.code} {refusal.read().decode()}") from None


def post(path, body=None, token=None):
    return call("POST", path, body, token)


login = {
    "email": os.environ["LEADLEDGER_OWNER_EMAIL"],
    "password": os.environ["LEADLEDGER_OWNER_PASSWORD"],
}
TOKEN = post("/users/login", login)["token"]

post("/legal_terms", {"title": "Terms", "content": "Be kind."})
for name in ["Casa Verde", "Casa Roja"]:
    company = post("/companies", {"name": name, "region": "MX"})["company"]["id"]
    at = f"/companies/{company}"
    for number in range(3):
        access = [{"company_id": company, "access_id": 3, "primary": True}]
        email = f"member{company}{number}@fuzz.example"
        person = {"first_name": "Eva", "last_name": "Ruiz", "email": email, "password": "Members-only-2026"}
        post("/users", person | {"user_accesses_attributes": access})
    source = post(f"{at}/sources", {"name": "Web"})["source"]["id"]
    post(f"{at}/sources", {"name": "Phone"})
    campaign = post(f"{at}/campaigns", {"name": "Spring", "source_id": source})["campaign"]["id"]
    post(f"{at}/territories", {"territories": [{"name": "Norte", "country": "MX", "postal_codes": ["64000"]}]})
    call("PUT", f"{at}/cycles", {"cycles": True})
    post(f"{at}/cycles", {"name": "First", "start_date": "2026-01-01", "end_date": "2026-03-31"})
    choice = {"text": "Size?", "question_type": "single_choice", "options": [{"value": "S"}, {"value": "L"}]}
    post(f"{at}/questions", choice)
    post(f"{at}/questions", {"text": "Why?", "question_type": "text", "campaign_id": campaign})
    post(f"{at}/integration_tokens", {"scopes": ["users.readonly"], "name": "Reader"})
    post("/invitations", {"email": f"guest{company}@fuzz.example", "company_id": company, "access_id": 3})
    for name in ["Ana", "Luz", "Ana"]:
        lead = post(f"{at}/leads", {"first_name": name, "email": f"{name}{company}@lead.example", "source_id": source})
        lead = lead["lead"]["id"]
        post(f"/leads/{lead}/notes", {"content": "Called; wants an offer by Friday."})
        hours = {"starts_at": "2027-01-04T10:00:00Z", "ends_at": "2027-01-04T11:00:00Z"}
        post(f"/leads/{lead}/appointments", {"title": "Visit"} | hours)

# Guessed ids stay below 8: what is beyond is left alone but by the requests that are made for it.
seeded = {"token": TOKEN}
while (company := post("/companies", {"name": "Casa Azul", "region": "MX"})["company"]["id"]) < 8:
    pass
seeded["company"], seeded["other_company"] = company, post("/companies", {"name": "Casa Gris"})["company"]["id"]
at = f"/companies/{company}"
post(f"{at}/membership?membership_id=4")
for text in ["One?", "Two?", "Three?"]:
    post(f"{at}/questions", {"text": text, "question_type": "text"})


def person(name, **more):
    return post("/users", {"first_name": "Eva", "email": f"{name}@fuzz.example"} | more)["user"]


def helds(name, count):
    """So many users with a role in the company, and their accesses."""
    role = [{"company_id": company, "access_id": 4, "primary": True}]
    users = [person(f"{name}{n}", user_accesses_attributes=role) for n in range(count)]
    return [(user["id"], user["primary_access"]["id"]) for user in users]


seeded["held"], *assigned = helds("assigned", 41)
accesses = [access for _, access in assigned]
seeded["source"] = post(f"{at}/sources", {"name": "Empty"})["source"]["id"]
seeded["full_source"] = post(f"{at}/sources", {"name": "Full"})["source"]["id"]
for access in accesses:
    post(f"{at}/sources/{seeded['full_source']}/user_access", {"user_access_id": access})
seeded["assigned"], seeded["to_assign"] = list(accesses), list(accesses)
seeded["to_revoke"], seeded["ungranted"] = helds("revoked", 40), [user for user, _ in helds("granted", 40)]
grant = [{"company_id": 2, "access_id": 4}]
seeded["ghl_user"] = person("ghl", user_accesses_attributes=grant)["id"]

# Invitations of the fuzzer to companies of somebody else, and of people who have no account.
host = {"email": "host@fuzz.example", "password": "Members-only-2026"}
person("host", password=host["password"])
host = post("/users/login", host)["token"]
seeded["codes"], guests = [], [f"stranger{n}@fuzz.example" for n in range(20)]
for n in range(20):
    theirs = post("/companies", {"name": f"Host {n}"}, host)["company"]["id"]
    wish = {"email": login["email"], "company_id": theirs, "access_id": 4}
    seeded["codes"].append(post("/invitations", wish, host)["invitation"]["code"])
    post("/invitations", wish | {"email": guests[n]}, host)
open_one = {"email": "open@fuzz.example", "company_id": theirs, "access_id": 4}
seeded["open_code"] = post("/invitations", open_one, host)["invitation"]["code"]

# The tokens of mailed links: proofs of e-mail, new passwords, invitations.
forgetful = [f"revoked{n}@fuzz.example" for n in range(20)]
for address in forgetful:
    post("/users/reset_password", {"email": address})


def mailed():
    """Tokens by what the link is for and whom it went to."""
    found = {}
    for path in pathlib.Path(os.environ["LEADLEDGER_DATA_DIR"], "mailbox").glob("*.eml"):
        message = message_from_bytes(path.read_bytes(), policy=policy.default)
        text = message.get_body(("plain",)).get_content()
        link = re.search(r"/api/v1/(\S+)\?token=([\w-]+)", text)
        found[link[1], message["To"]] = link[2]
    return found


for _ in range(300):
    tokens = mailed()
    seeded["resets"] = [tokens[key] for key in tokens if key[0] == "users/password"]
    seeded["mailed_codes"] = [tokens[key] for key in tokens if key[0] == "invitations/accept" and key[1] in guests]
    seeded["proofs"] = [tokens[key] for key in tokens if key[0] == "users/email/prove"]
    if len(seeded["resets"]) == len(forgetful) and len(seeded["mailed_codes"]) == len(guests) and seeded["proofs"]:
        break
    time.sleep(0.2)
else:
    raise SystemExit("seed: the mails did not come")


def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def id_token(subject):
    """As the configured issuer would sign it."""
    claims = {"iss": "https://issuer.example", "aud": "leadledger", "sub": subject, "exp": 4_000_000_000}
    head = part(json.dumps({"alg": "RS256", "kid": "fuzz"}).encode())
    signed = f"{head}.{part(json.dumps(claims).encode())}"
    command = ["openssl", "dgst", "-sha256", "-sign", os.environ["FUZZ_ISSUER_KEY"]]
    return f"{signed}.{part(subprocess.run(command, input=signed.encode(), capture_output=True, check=True).stdout)}"


def link(subject):
    body = {"provider": "fuzz", "id_token": id_token(subject)}
    return post("/users/1/providers", body)["provider"]["id"]


# Files: imports that ended, and uploads of which the only part is there. A hold for each that is to be released.
def leads_file(n):
    return f"first_name,email\nRosa,rosa{n}@lead.example\nX,no\n".encode()


gray = f"/companies/{seeded['other_company']}"
seeded["imports"] = []
for n in range(20):
    body = {"file_base64": base64.b64encode(leads_file(n)).decode(), "name": f"file {n}.csv", "source_id": None}
    seeded["imports"].append(post(f"{at}/import/leads", body)["import_file"]["import_code"])
seeded["uploads"] = []
for n in range(20):
    upload = post(f"{at}/import/uploads")["upload"]
    address = BASE.removesuffix("/api/v1") + upload["part_url"].replace("{part}", "1")
    typed = {"Content-Type": "application/octet-stream"}
    urllib.request.urlopen(urllib.request.Request(address, leads_file(100 + n), typed, method="PUT")).close()
    seeded["uploads"].append([upload["id"], upload["part_url"]])
seeded["part"] = seeded["uploads"].pop()
seeded["holds"] = [post(f"{gray}/legal_holds", {"reason": f"Case {n}"})["legal_hold"]["id"] for n in range(20)]
seeded["lead"] = post(f"{at}/leads", {"first_name": "Held", "source_id": None})["lead"]["id"]
holds = f"/leads/{seeded['lead']}/legal_holds"
seeded["lead_holds"] = [post(holds, {"reason": f"Case {n}"})["legal_hold"]["id"] for n in range(20)]
picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
avatar = {"company_id": seeded["other_company"], "avatar_base64": picture}
seeded["picture"] = call("PUT", "/companies/avatar", avatar)["company"]["avatar_route"].rsplit("/", 1)[1]
for code in seeded["imports"]:
    while call("GET", f"/import/{code}")["import_file"]["status"] in ("pending", "processing"):
        time.sleep(0.1)
seeded["id_tokens"] = [id_token(f"new-{n}") for n in range(20)]
seeded["providers"] = [link(f"linked-{n}") for n in range(20)]
with open(os.environ["FUZZ_SEEDED"], "w", encoding="utf-8") as file:
    json.dump(seeded, file)
print(TOKEN)
