"""Keeps a trail of what happened to users: one entry for each event, and ``GET /audit`` to read them."""

from sandbus import Event, Plugin, Problem, Request, RetryPolicy, state

plugin = Plugin()


@plugin.on("user.>", retry=RetryPolicy(max_attempts=10))
def record(data: dict, event: Event) -> None:
    user = data.get("user_id", "unknown")
    # Times sort as texts, and the id makes a delivery that is repeated write its own entry again.
    state.set(
        f"trail/{user}/{event.time}/{event.id}", {"type": event.type, "time": event.time, "flow": event.correlation}
    )
    state.add(f"count/{event.type}")


@plugin.route("GET /audit")
def counts(request: Request) -> dict:
    return {key.removeprefix("count/"): state.get(key) for key in state.keys("count/")}


@plugin.route("GET /audit/{user}")
def trail(request: Request) -> dict:
    user = request.params["user"]
    keys = state.keys(f"trail/{user}/")
    if not keys:
        raise Problem(404, f"nothing is known of user {user}")
    return {"user_id": user, "trail": [state.get(key) for key in keys]}
