"""Requests that succeed, for operations that guessing never gets through: a token that was mailed, a complete list of ids, a
picture, a user and their access that belong together. What they need was made by the seed."""

import collections
import itertools
import json
import os
import threading
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


def get(path):
    headers = {"Authorization": f"Bearer {SEEDED['token']}"}
    request = urllib.request.Request(f"{os.environ['LEADLEDGER_URL']}/api/v1{path}", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def questions_in_order():
    asked = get(f"/companies/{COMPANY}/questions?per_page=100")["questions"]
    return [question["id"] for question in reversed(asked)]


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
    "POST /users/": lambda: (None, ghl_user()),
    "PUT /users/{user_id}": lambda: ({"user_id": str(SEEDED["ghl_user"])}, {"firstName": f"Eva {number()}", "companyId": "2"}),
    "POST /users/search/filter-by-email": lambda: (None, {"companyId": "2", "emails": ["member20@fuzz.example"]}),
}

_turns = collections.Counter()


def improve(case):
    """Makes every third request that is meant to be good a good one, the first of each operation among them."""
    operation = f"{case.method.upper()} {case.path}"
    make = GOOD.get(operation)
    if make is None or case.meta is None or case.meta.generation.mode.name != "POSITIVE":
        return
    with _lock:
        turn = _turns[operation]
        _turns[operation] += 1
    if turn % 3:
        return
    path, body = make()
    if path is not None:
        case.path_parameters.update(path)
    if body is not None:
        case.body = body
    # A version or a key that was guessed would have it refused for its own reason.
    for name in [name for name in case.headers or {} if name.lower() in ("if-match", "idempotency-key")]:
        del case.headers[name]
