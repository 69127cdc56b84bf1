[[untyped]]
from dataclasses import dataclass

[[end]]
[[typed]]
from events import {{Type}}
[[end]]
from sandbus import Plugin, RetryPolicy, log, state

plugin = Plugin()
[[on]]
[[untyped]]


@dataclass
class {{Type}}:
    """The part of an event's data that this plugin uses."""

    name: str
[[end]]


@plugin.on("{{type}}", retry=RetryPolicy(max_attempts=5))
def handle(data: {{Type}}):
    log.info(f"handling {data}")
    state.add("handled")
[[end]]
[[route]]


@plugin.route("{{route}}")
def answer(request):
    log.info(f"responding to {request.path}")
    return {"handled": state.get("handled", 0)}
[[end]]
