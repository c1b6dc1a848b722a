"""Every user operation through the official PyPI client, unmodified: only its base URL and token are set.

Server, tokens and companies come in the environment. The client's update and delete take no user id (its source
misses the path parameter), so their URL is given as the option that the client passes on.
"""

import asyncio
import os
from importlib.metadata import version

from highlevel import HighLevel
from highlevel.error import GHLError

TOKEN, READER = os.environ["TOKEN"], os.environ["READER"]
COMPANY, LOCATION = os.environ["COMPANY"], os.environ["LOCATION"]
EMAIL = "client-python@people.example"

HighLevel.BASE_URL = os.environ["LEADLEDGER_URL"]


def client(token):
    return HighLevel(private_integration_token=token, log_level="none").users


async def refused(call, status):
    try:
        await call
    except GHLError as error:
        assert error.status_code == status, (error.status_code, error.message)
        return error
    raise AssertionError(f"expected {status}")


def at(user_id):
    return {"url": f"/users/{user_id}"}


async def main():
    users = client(TOKEN)
    body = {
        "companyId": COMPANY,
        "firstName": "Official",
        "lastName": "Python",
        "email": EMAIL,
        "password": "Long-enough-2026",
        "phone": "+15046218927",
        "type": "account",
        "role": "user",
        "locationIds": [LOCATION],
        "permissions": {"contactsEnabled": False},
        "scopes": ["contacts.write"],
        "scopesAssignedToOnly": None,
        "twilioPhone": {LOCATION: "+15046218928"},
        "platformLanguage": "pt_BR",
    }

    # Create
    await refused(users.create_user({}), 422)
    made = await users.create_user(body)
    assert made["email"] == EMAIL and made["name"] == "Official Python"
    assert made["roles"]["locationIds"] == [LOCATION]
    assert made["permissions"]["contactsEnabled"] is False
    assert made["permissions"]["campaignsEnabled"] is True
    await refused(users.create_user(body), 400)
    await refused(users.create_user({**body, "companyId": "999999"}), 403)

    # Get
    assert await users.get_user(made["id"]) == made
    await refused(users.get_user("ve9EPM428h8vShlRW1KT"), 404)

    # Search
    for narrowed in [
        {"query": "official PYTHON"},
        {"query": EMAIL},
        {"ids": f"{made['id']},999999"},
        {"location_id": LOCATION, "type": "account", "role": "user", "query": "python"},
        {"sort": "dateAdded", "sort_direction": "desc", "skip": "0", "limit": "1", "enabled2way_sync": False},
    ]:
        found = await users.search_users(COMPANY, **narrowed)
        assert made in found["users"] and found["count"] >= 1, narrowed
    await refused(users.search_users(COMPANY, limit="1000"), 422)

    # Filter by e-mail
    chosen = {"companyId": COMPANY, "emails": f"{EMAIL},nobody@people.example", "limit": "10"}
    found = await users.filter_users_by_email(chosen)
    assert found == {"users": [{"id": made["id"], "email": EMAIL}], "count": 1}, found
    found = await users.filter_users_by_email({**chosen, "projection": "all"})
    assert found["users"] == [made]

    # Update
    change = {"firstName": "Changed", "role": "admin", "permissions": {"botService": True}, "twilioPhone": {}}
    changed = await users.update_user(change, at(made["id"]))
    assert changed["name"] == "Changed Python" and changed["roles"]["role"] == "admin"
    assert changed["permissions"]["contactsEnabled"] is False
    assert changed["permissions"]["botService"] is True and changed["lcPhone"] == {}
    await refused(users.update_user({"email": "other@people.example"}, at(made["id"])), 422)
    # As it stands, the client asks for a user called {userId}.
    await refused(users.update_user(change), 404)
    await refused(users.delete_user(), 404)

    # Scopes and tokens
    await client(READER).get_user(made["id"])
    error = await refused(client(READER).delete_user(at(made["id"])), 401)
    assert "not authorized for this scope" in error.message, error.message
    await refused(client("pit-9f0c9a52-4b6d-4a35-9a55-0e5a3d6c7b21").get_user(made["id"]), 401)

    # Delete
    deleted = await users.delete_user(at(made["id"]))
    assert deleted["succeeded"] is True
    await refused(users.delete_user(at(made["id"])), 404)
    gone = await users.filter_users_by_email({**chosen, "deleted": True, "projection": "all"})
    assert [(user["id"], user["deleted"]) for user in gone["users"]] == [(made["id"], True)]

    print(f"gohighlevel-api-client {version('gohighlevel-api-client')}: every user operation passes")


asyncio.run(main())
