[[typed]]
from events import {{Type}}
[[end]]
from sandbus import Plugin, RetryPolicy, log, state

plugin = Plugin()
[[on]]


[[untyped]]
# Any data is accepted. If `data` is annotated with a dataclass, data that does not match is rejected.
[[end]]
@plugin.on("{{type}}", retry=RetryPolicy(max_attempts=5))
[[typed]]
def handle(data: {{Type}}):
[[end]]
[[untyped]]
def handle(data):
[[end]]
    log.info(f"handling {data}")
    state.add("handled")
[[end]]
[[route]]


@plugin.route("{{route}}")
def answer(request):
    log.info(f"responding to {request.path}")
    return {"handled": state.get("handled", 0)}
[[end]]
