"""Makes one of each thing through the API, so that the ids that the fuzzer guesses exist. Prints the fuzzer's token.

Reads LEADLEDGER_URL, LEADLEDGER_OWNER_EMAIL and LEADLEDGER_OWNER_PASSWORD; standard library only.
"""

import json
import os
import urllib.request

BASE = os.environ["LEADLEDGER_URL"] + "/api/v1"
TOKEN = None


def call(method, path, body=None):
    """The answer's JSON; anything but a success ends the run, since a fuzzer without data tests little."""
    headers = {"Content-Type": "application/json"}
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as refusal:
        raise SystemExit(f"seed: {method} {path}: {refusal.code} {refusal.read().decode()}") from None


def post(path, body=None):
    return call("POST", path, body)


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
print(TOKEN)
