[[on]]
from dataclasses import dataclass

[[end]]
from sandbus import Plugin, RetryPolicy, log, state

plugin = Plugin()
[[on]]


@dataclass
class Data:
    """The part of an event's data that this plugin uses."""

    name: str


@plugin.on("{{type}}", retry=RetryPolicy(max_attempts=5))
def handle(data: Data):
    log.info(f"handling {data}")
    state.add("handled")
[[end]]
[[route]]


@plugin.route("{{route}}")
def answer(request):
    log.info(f"responding to {request.path}")
    return {"handled": state.get("handled", 0)}
[[end]]
