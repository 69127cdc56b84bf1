[[on]]
from dataclasses import dataclass

[[end]]
from sandbus import Plugin, RetryPolicy, log, state

plugin = Plugin()
[[on]]


@dataclass
class Data:
    """What this plugin wants to know of an event."""

    name: str


@plugin.on("{{type}}", retry=RetryPolicy(max_attempts=5))
def handle(data: Data):
    log.info(f"handling {data}")
    state.add("handled")
[[end]]
[[route]]


@plugin.route("{{route}}")
def answer(request):
    log.info(f"answering {request.path}")
    return {"handled": state.get("handled", 0)}
[[end]]
