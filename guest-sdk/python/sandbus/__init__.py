"""Write Sandbus event handlers in Python.

    from sandbus import Plugin, RetryPolicy, log, state

    plugin = Plugin("welcome")

    @plugin.on("user.registered", retry=RetryPolicy(max_attempts=5))
    def welcome(user):
        log.info(f"Welcome, {user['name']}!")
        state.add("welcomed")

    @plugin.route("POST /hello/{name}")
    def hello(request):
        return {"hello": request.params["name"]}

A handler's effects, such as events that it publishes and state that it writes, are committed together with the
acknowledgement of its event. A handler that raises or times out leaves no effects, and its delivery is retried.
"""

from . import client, config, state
from ._bus import Message, Plugin as PluginTarget, Webhook, cancel, publish, publish_many, reply, subscribe, unsubscribe
from ._event import Event, Tick
from ._failure import BusError, Reject, Retry, StateError
from ._http import Problem, Request, Response
from ._log import log
from ._platform import now, random_bytes
from ._plugin import Plugin
from ._renamed import renamed_members
from ._rules import RetryPolicy

__all__ = [
    "BusError",
    "Event",
    "Message",
    "Plugin",
    "PluginTarget",
    "Problem",
    "Reject",
    "Request",
    "Response",
    "Retry",
    "RetryPolicy",
    "StateError",
    "Tick",
    "Webhook",
    "cancel",
    "client",
    "config",
    "log",
    "now",
    "publish",
    "publish_many",
    "random_bytes",
    "reply",
    "state",
    "subscribe",
    "unsubscribe",
]

__getattr__ = renamed_members("sandbus", {"TryAgain": "Retry"})
