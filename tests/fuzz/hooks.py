"""What schemathesis must know of this API: ids are small, and the fuzzer must not lock itself out."""

import schemathesis

# The platform owner, whose token the fuzzer sends, and a member who takes the blows instead.
FUZZER, MEMBER = 1, 2
# These would end the run: a password ends its user's tokens, and without an access nothing is visible.
LOCKS_OUT = {
    ("PUT", "/api/v1/users/{id}", "id"),
    ("PUT", "/api/v1/users/{user_id}/user_access/{user_access_id}", "user_id"),
    ("DELETE", "/api/v1/users/{user_id}/user_access/{user_access_id}", "user_id"),
}


@schemathesis.hook
def map_path_parameters(context, parameters):
    """Moderate numbers become ids that the seed has made; numbers at the edges stay."""
    for name, value in (parameters or {}).items():
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**6:
            parameters[name] = value % 8
    return parameters


@schemathesis.hook
def before_call(context, case, kwargs):
    """Leads what would lock the fuzzer out to somebody else."""
    for method, path, name in LOCKS_OUT:
        if case.method.upper() == method and case.path == path and str(case.path_parameters.get(name)) == str(FUZZER):
            case.path_parameters[name] = MEMBER


@schemathesis.hook
def before_load_schema(context, raw_schema):
    """Says what the document says in prose only: every write takes these headers, and an empty query parameter is absent."""
    for path, item in raw_schema["paths"].items():
        for method, operation in item.items():
            parameters = operation.setdefault("parameters", [])
            if path.startswith("/api/v1/") and method != "get":
                for name in ["Idempotency-Key", "X-Reason"]:
                    parameters.append({"name": name, "in": "header", "required": False, "schema": {"type": "string"}})
            for parameter in parameters:
                if parameter["in"] == "query" and not parameter.get("required"):
                    parameter["allowEmptyValue"] = True
