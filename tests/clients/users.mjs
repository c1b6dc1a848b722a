// Every user operation through the official npm client, unmodified: only its base URL and token are set.
// Takes the folder that it is installed in; server, tokens and companies come in the environment.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.argv[2], "index.js"));
const { HighLevel } = require("@gohighlevel/api-client");
const { version } = require(join(process.argv[2], "node_modules/@gohighlevel/api-client/package.json"));
const { LEADLEDGER_URL, TOKEN, READER, COMPANY, LOCATION } = process.env;

HighLevel.BASE_URL = LEADLEDGER_URL;
const client = (privateIntegrationToken) => new HighLevel({ privateIntegrationToken, logLevel: "none" }).users;
const users = client(TOKEN);
const email = `client-${version}@people.example`;

// The older client's update and delete take no user id (their source misses the path parameter): what it passes on does.
const takesId = users.updateUser.length > 2;
const at = (id) => ({ url: `/users/${id}` });
const update = (id, body) => (takesId ? users.updateUser({ userId: id }, body) : users.updateUser(body, at(id)));
const remove = (id, of = users) => (takesId ? of.deleteUser({ userId: id }) : of.deleteUser(at(id)));

async function refused(call, status, check = () => {}) {
    const error = await call.then(
        () => assert.fail(`expected ${status}`),
        (error) => error,
    );
    assert.equal(error.statusCode, status, error.message);
    assert.equal(error.response.statusCode, status);
    check(error);
}

const body = {
    companyId: COMPANY,
    firstName: "Official",
    lastName: "Client",
    email,
    password: "Long-enough-2026",
    phone: "+15046218927",
    type: "account",
    role: "user",
    locationIds: [LOCATION],
    permissions: { contactsEnabled: false },
    scopes: ["contacts.write"],
    scopesAssignedToOnly: [],
    profilePhoto: "https://img.example/a.png",
    twilioPhone: { [LOCATION]: "+15046218928" },
    platformLanguage: "de",
};

// Create
await refused(users.createUser({}), 422, (error) => assert(Array.isArray(error.response.message)));
const made = await users.createUser(body);
assert.equal(made.email, email);
assert.equal(made.permissions.contactsEnabled, false);
assert.equal(made.permissions.campaignsEnabled, true);
assert.deepEqual(made.roles.locationIds, [LOCATION]);
assert.deepEqual(made.lcPhone, { [LOCATION]: "+15046218928" });
await refused(users.createUser(body), 400, (error) => assert.match(error.message, /already exists/));
await refused(users.createUser({ ...body, companyId: "999999" }), 403);

// Get
assert.deepEqual(await users.getUser({ userId: made.id }), made);
await refused(users.getUser({ userId: "ve9EPM428h8vShlRW1KT" }), 404);

// Search
for (const narrowed of [
    { query: "OFFICIAL cl" },
    { query: email },
    { query: "6218927" },
    { ids: `${made.id},999999` },
    { locationId: LOCATION, type: "account", role: "user", query: version },
    { sort: "dateAdded", sortDirection: "desc", skip: "0", limit: "1", enabled2waySync: false },
]) {
    const found = await users.searchUsers({ companyId: COMPANY, ...narrowed });
    assert.deepEqual(found.users.find((user) => user.id === made.id), made, JSON.stringify(narrowed));
    assert(found.count >= 1);
}
await refused(users.searchUsers({ companyId: COMPANY, limit: "1000" }), 422);

// Filter by e-mail
const filter = { companyId: COMPANY, emails: `${email},nobody@people.example`, skip: "0", limit: "10" };
assert.deepEqual(await users.filterUsersByEmail(filter), { users: [{ id: made.id, email }], count: 1 });
assert.deepEqual((await users.filterUsersByEmail({ ...filter, projection: "all" })).users, [made]);

// By location, deprecated
const there = await users.getUserByLocation({ locationId: LOCATION });
assert(there.users.some((user) => user.id === made.id));

// Update
const changed = await update(made.id, {
    companyId: COMPANY,
    firstName: "Changed",
    role: "admin",
    permissions: { botService: true },
    twilioPhone: {},
});
assert.equal(changed.name, "Changed Client");
assert.equal(changed.roles.role, "admin");
assert.equal(changed.permissions.contactsEnabled, false);
assert.equal(changed.permissions.botService, true);
assert.deepEqual(changed.lcPhone, {});
await refused(update(made.id, { email: "other@people.example" }), 422);
// As it stands, it asks for a user called {userId}.
if (!takesId) await refused(users.updateUser({ firstName: "X" }), 404);
await refused(update("999999", { firstName: "X" }), 404);

// Scopes and tokens
await client(READER).getUser({ userId: made.id });
await refused(remove(made.id, client(READER)), 401, (error) =>
    assert.match(error.message, /not authorized for this scope/),
);
await refused(client("pit-9f0c9a52-4b6d-4a35-9a55-0e5a3d6c7b21").getUser({ userId: made.id }), 401);

// Delete
const deleted = await remove(made.id);
assert.equal(deleted.succeded, true);
assert.equal(deleted.succeeded, true);
await refused(remove(made.id), 404);
const gone = await users.filterUsersByEmail({ ...filter, deleted: true, projection: "all" });
assert.deepEqual(gone.users.map((user) => [user.id, user.deleted]), [[made.id, true]]);

console.log(`@gohighlevel/api-client ${version}: every user operation passes`);
