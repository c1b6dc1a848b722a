"""Requests that succeed, for operations that guessing never gets through: a token that was mailed, a complete list of ids, a
picture, a user and their access that belong together. What they need was made by the seed."""

import base64
import collections
import itertools
import json
import os
import threading
import time
import urllib.parse
import urllib.request

with open(os.environ["FUZZ_SEEDED"], encoding="utf-8") as file:
    SEEDED = json.load(file)
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PASSWORD = "Fuzzed-anew-2026"
COMPANY, OTHER = SEEDED["company"], SEEDED["other_company"]

_numbers, _lock = itertools.count(1), threading.Lock()


def number():
    with _lock:
        return next(_numbers)


def take(pool):
    """The next of a pool of things that serve once; the last one again when it is used up."""
    with _lock:
        things = SEEDED[pool]
        return things.pop() if len(things) > 1 else things[0]


def call(path, body=None):
    """A request of the fuzzer's own beside those that are generated: it reads, or with a body it makes."""
    headers = {"Authorization": f"Bearer {SEEDED['token']}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{os.environ['LEADLEDGER_URL']}/api/v1{path}", data, headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


get = call


def a_note():
    """On a lead of a new company: on any other the fuzzer may have placed a hold."""
    company = call("/companies", {"name": "Casa Nueva"})["company"]["id"]
    lead = call(f"/companies/{company}/leads", {"first_name": "Noted"})["lead"]["id"]
    note = call(f"/leads/{lead}/notes", {"content": "To be removed."})["note"]["id"]
    return {"lead_id": lead, "id": note}, None


def an_import():
    """Of a new company: on any other the fuzzer may have placed a hold."""
    company = call("/companies", {"name": "Casa Nueva"})["company"]["id"]
    begun = call(f"/companies/{company}/import/leads", a_file())["import_file"]["import_code"]
    while get(f"/import/{begun}")["import_file"]["status"] in ("pending", "processing"):
        time.sleep(0.05)
    return {"import_code": begun}, None


def questions_in_order():
    asked = get(f"/companies/{COMPANY}/questions?per_page=100")["questions"]
    return [question["id"] for question in reversed(asked)]


def sources_in_order():
    found = get(f"/companies/{COMPANY}/sources?per_page=100")["sources"]
    return [source["id"] for source in reversed(found)]


def of_other(user):
    return {"company_id": OTHER, "access_id": 4, "user_id": user, "primary": False}


def ghl_user():
    n = number()
    return {
        "companyId": "2", "firstName": "Official", "lastName": "Client", "email": f"ghl{n}@fuzz.example", "password": PASSWORD,
        "type": "account", "role": "user", "locationIds": ["2"], "permissions": {}, "scopes": [],
    }


def granted():
    user = take("ungranted")
    return {"user_id": user}, of_other(user)


def a_file():
    rows = f"first_name,email\nLeo,leo{number()}@lead.example\n"
    return {"file_base64": base64.b64encode(rows.encode()).decode(), "name": "leads.csv"}


def put_a_part():
    upload, address = SEEDED["part"]
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))
    return {"upload_id": upload, "part": 1}, b"first_name\nLeo\n", query


# Operation to path parameters (None: as generated) and body (None: as generated).
GOOD = {
    "POST /api/v1/companies/{company_id}/membership": lambda: ({"company_id": COMPANY}, None),
    "GET /api/v1/companies/{company_id}/membership": lambda: ({"company_id": COMPANY}, None),
    "PUT /api/v1/users/{user_id}/onboarding/complete": lambda: ({"user_id": 1}, None),
    "GET /api/v1/invitations/{code}": lambda: ({"code": SEEDED["open_code"]}, None),
    "POST /api/v1/companies/{company_id}/membership/cancel": lambda: ({"company_id": COMPANY}, {"immediately": False}),
    "POST /api/v1/companies/{company_id}/sources/{source_id}/user_access": lambda: (
        {"company_id": COMPANY, "source_id": SEEDED["source"]}, {"user_access_id": take("to_assign")}),
    "DELETE /api/v1/companies/{company_id}/sources/{source_id}/user_access/{user_access_id}": lambda: (
        {"company_id": COMPANY, "source_id": SEEDED["full_source"], "user_access_id": take("assigned")}, None),
    "PUT /api/v1/companies/{company_id}/questions/priority": lambda: (
        {"company_id": COMPANY}, {"question_ids": questions_in_order()}),
    "POST /api/v1/users/{user_id}/user_access": granted,
    "PUT /api/v1/users/{user_id}/user_access/{user_access_id}": lambda: (
        dict(zip(("user_id", "user_access_id"), SEEDED["held"])), {"access_id": 3 + number() % 3}),
    "DELETE /api/v1/users/{user_id}/user_access/{user_access_id}": lambda: (
        dict(zip(("user_id", "user_access_id"), take("to_revoke"))), None),
    "PUT /api/v1/users/avatar": lambda: (None, {"avatar_base64": PICTURE, "name": "a.png", "type": "image/png"}),
    "PUT /api/v1/companies/avatar": lambda: (None, {"company_id": COMPANY, "avatar_base64": PICTURE}),
    "PUT /api/v1/users/{user_id}/onboarding/terms_and_conditions": lambda: (
        {"user_id": 1}, {"legal_term_id": get("/legal_terms/current")["legal_term"]["id"]}),
    "POST /api/v1/users/{user_id}/providers": lambda: ({"user_id": 1}, {"provider": "fuzz", "id_token": take("id_tokens")}),
    "DELETE /api/v1/users/{user_id}/providers/{id}": lambda: ({"user_id": 1, "id": take("providers")}, None),
    "POST /api/v1/invitations/{code}/accept": lambda: ({"code": take("codes")}, None),
    "POST /api/v1/invitations/accept": lambda: (
        None, {"token": take("mailed_codes"), "first_name": "Iris", "password": PASSWORD, "lang": "pt"}),
    "PUT /api/v1/users/email/prove": lambda: (None, {"token": take("proofs")}),
    "POST /api/v1/users/email/prove": lambda: (None, {"token": take("proofs"), "lang": "en"}),
    "PUT /api/v1/users/password": lambda: (None, {"token": take("resets"), "password": PASSWORD}),
    "POST /api/v1/users/password": lambda: (None, {"token": take("resets"), "password": PASSWORD, "lang": "es"}),
    "PUT /api/v1/companies/{company_id}/sources/priority": lambda: ({"company_id": COMPANY}, {"source_ids": sources_in_order()}),
    "POST /api/v1/leads/{id}/legal_holds/{hold_id}/release": lambda: (
        {"id": SEEDED["lead"], "hold_id": take("lead_holds")}, None),
    "DELETE /api/v1/leads/{lead_id}/notes/{id}": a_note,
    # Of a tree that the seed has made: the latest checkpoint may be older than that.
    "GET /api/v1/proofs/inclusion": lambda: (None, None, {"position": 1 + number() % 50, "tree_size": 50}),
    "GET /api/v1/proofs/consistency": lambda: (None, None, {"from": 1 + number() % 50, "to": 50}),
    "GET /api/v1/avatars/{file}": lambda: ({"file": SEEDED["picture"]}, None),
    "POST /api/v1/companies/{company_id}/import/leads": lambda: ({"company_id": COMPANY}, a_file()),
    "POST /api/v1/companies/{company_id}/import/uploads/{upload_id}/complete": lambda: (
        {"company_id": COMPANY, "upload_id": take("uploads")[0]}, {"name": "In parts"}),
    "PUT /api/v1/import/uploads/{upload_id}/parts/{part}": put_a_part,
    "GET /api/v1/import/{import_code}": lambda: ({"import_code": SEEDED["imports"][0]}, None),
    "GET /api/v1/import/{import_code}/errors": lambda: ({"import_code": SEEDED["imports"][0]}, None),
    "GET /api/v1/import/{import_code}/events": lambda: ({"import_code": SEEDED["imports"][0]}, None),
    "GET /api/v1/import/{import_code}/kept_leads": lambda: ({"import_code": SEEDED["imports"][0]}, None),
    "POST /api/v1/import/{import_code}/undo": an_import,
    "POST /api/v1/companies/{id}/legal_holds/{hold_id}/release": lambda: ({"id": OTHER, "hold_id": take("holds")}, None),
    "POST /users/": lambda: (None, ghl_user()),
    "PUT /users/{user_id}": lambda: ({"user_id": str(SEEDED["ghl_user"])}, {"firstName": f"Eva {number()}", "companyId": "2"}),
    "POST /users/search/filter-by-email": lambda: (None, {"companyId": "2", "emails": "member20@fuzz.example,nobody@fuzz.example"}),
}

_turns = collections.Counter()


def improve(case):
    """Makes every third request that is meant to be good a good one, the first of each operation among them."""
    if case.meta is None or case.meta.generation.mode.name != "POSITIVE":
        return
    operation = f"{case.method.upper()} {case.path}"
    with _lock:
        turn = _turns[operation]
        _turns[operation] += 1
    if turn % 3:
        return
    # A version or a key that was guessed would have it refused for its own reason.
    for name in [name for name in case.headers or {} if name.lower() in ("if-match", "idempotency-key")]:
        del case.headers[name]
    made = GOOD[operation]() if operation in GOOD else (None, None)
    path, body, query = (*made, None)[:3]
    if path is not None:
        case.path_parameters.update(path)
    if query is not None:
        case.query = query
    # A file comes in a form too, which stays as it was guessed.
    if body is not None and not (case.media_type or "").startswith("multipart/"):
        case.body = body
