"""Names that exist in the host of the test, for most requests, so that they reach its logic."""

import zlib

import schemathesis

PLUGINS = ("echo", "ledger", "poison", "ticker")
SUBSCRIPTIONS = (("ledger", "entry"), ("poison", "swallow"), ("operator", "hook"), ("operator", "copy"))


def choose(names, text):
    """One of the names, or none for a quarter of all texts."""
    number = zlib.crc32(repr(text).encode())
    return None if number % 4 == 0 else names[number // 4 % len(names)]


@schemathesis.hook
def map_path_parameters(ctx, path_parameters):
    if not path_parameters or ctx.operation is None:
        return path_parameters
    path = ctx.operation.path
    if path.startswith("/v1/plugins/") and "name" in path_parameters:
        path_parameters["name"] = choose(PLUGINS, path_parameters["name"]) or path_parameters["name"]
    if path.startswith("/v1/subscriptions/") and "owner" in path_parameters:
        chosen = choose(SUBSCRIPTIONS, path_parameters)
        if chosen:
            path_parameters["owner"], path_parameters["name"] = chosen
    return path_parameters


@schemathesis.hook
def map_query(ctx, query):
    # No handler replies, so waiting would end with 504.
    if query and ctx.operation is not None and ctx.operation.path == "/v1/events" and ctx.operation.method == "post":
        query.pop("reply", None)
        query.pop("timeout", None)
    return query


@schemathesis.serializer("application/toml")
def toml(_context, value):
    return value if isinstance(value, bytes) else str(value).encode()
