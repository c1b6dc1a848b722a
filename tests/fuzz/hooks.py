"""What schemathesis must know of this API: ids are small, and the fuzzer must not lock itself out."""

import schemathesis

import good

# The platform owner, whose token the fuzzer sends, and a member who takes the blows instead.
FUZZER, MEMBER = 1, 2
# The company whose integration token speaks the second dialect.
COMPANY = "2"
# These would end the run: a password ends its user's tokens, and without an access nothing is visible.
LOCKS_OUT = {
    ("PUT", "/api/v1/users/{id}", "id"),
    ("PUT", "/api/v1/users/{user_id}/user_access/{user_access_id}", "user_id"),
    ("DELETE", "/api/v1/users/{user_id}/user_access/{user_access_id}", "user_id"),
}


def as_seeded(value):
    """A moderate number becomes an id that the seed has made; one at the edges stays."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**6:
        return value % 8
    return value


def with_ids(context, values):
    """The members of a body, query or path that are ids, led to what is there; the second dialect writes ids as texts."""
    second = not context.operation.path.startswith("/api/v1/")
    for name, value in values.items():
        if name == "id" or name.endswith("_id"):
            values[name] = str(len(value) % 8) if second and isinstance(value, str) else as_seeded(value)
        elif second and name in ("companyId", "locationId") and isinstance(value, str) and value:
            values[name] = COMPANY
        elif second and name == "locationIds" and isinstance(value, list) and value:
            values[name] = [COMPANY]
    return values


@schemathesis.hook
def map_path_parameters(context, parameters):
    return with_ids(context, parameters) if parameters else parameters


@schemathesis.hook
def map_query(context, query):
    return with_ids(context, query) if isinstance(query, dict) else query


@schemathesis.hook
def map_body(context, body):
    return with_ids(context, body) if isinstance(body, dict) else body


@schemathesis.hook
def before_call(context, case, kwargs):
    """Leads what would lock the fuzzer out to somebody else, and what would never succeed to what does."""
    good.improve(case)
    for method, path, name in LOCKS_OUT:
        if case.method.upper() == method and case.path == path and str(case.path_parameters.get(name)) == str(FUZZER):
            case.path_parameters[name] = MEMBER


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Says what the document says in prose only: what versions look like, and that an empty query parameter is absent."""
    for item in raw_schema["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "If-Match":
                    parameter["schema"] = {"type": "string", "enum": ["*", '"1"', '"2", "3"', '"999"']}
                if parameter["in"] == "header" and parameter["name"].lower() == "version":
                    parameter["schema"] = {"type": "string", "enum": ["2021-07-28", "v3"]}
                if parameter["in"] == "query" and not parameter.get("required"):
                    parameter["allowEmptyValue"] = True
