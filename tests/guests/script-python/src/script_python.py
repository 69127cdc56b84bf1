"""The difficult parts of a component in Python: random numbers, lazy imports, texts that are not valid in UTF-8,
repeated headers, and failures of each kind."""

import asyncio
import os
import random
import secrets
import time
import uuid
from datetime import datetime

import inflection
from sandbus import Plugin, PluginTarget, Reject, Response, RetryPolicy, Retry, Webhook, config, log, publish, random_bytes
from sandbus import client, state, subscribe

plugin = Plugin(publishes=[">"], subscribes=[">"])

# Created when the module is loaded, as packages do.
GENERATOR = random.Random()
SEEDED = random.Random(42)
SYSTEM = random.SystemRandom()
LOADED = time.time()

TEXTS = {"high": "a\ud800b", "low": "\udc00", "reversed": "\udc00\ud800", "nul": "a\0b", "long": "ä" * 100_000}

CALLS = {
    "get": lambda text: state.get(text),
    "set": lambda text: state.set(text, 1),
    "value": lambda text: state.set("value", {text: text}),
    "remove": lambda text: state.delete(text),
    "increment": lambda text: state.increment(text),
    "keys": lambda text: state.keys(text),
    "config": lambda text: config.get(text),
    "log": lambda text: log.info("%s", text[:10]),
    "type": lambda text: publish(f"probe.{text}"),
    "subject": lambda text: publish("probe.seen", subject=text),
    "data": lambda text: publish("probe.seen", {text: text}),
    "mediaType": lambda text: publish("probe.seen", "1", content_type=text),
    "schema": lambda text: publish("probe.seen", schema=text),
    "extensionName": lambda text: publish("probe.seen", extensions={text: "a"}),
    "extension": lambda text: publish("probe.seen", extensions={"tag": text}),
    "subscription": lambda text: subscribe(text, text, PluginTarget(text)),
    "webhook": lambda text: subscribe("hook", "a", Webhook(text, secret=text)),
    "rules": lambda text: subscribe("a", "a", PluginTarget("b"), ordering_key=text),
    "unnamed": lambda text: state.get([text]),
    "bytes": lambda text: state.set_bytes("bytes", text),
    "concurrency": lambda text: subscribe("a", "a", PluginTarget("b"), concurrency=2**40),
    "delay": lambda text: publish("probe.seen", delay="999999999999999999999d"),
    "sum": lambda text: state.increment("sum", 2**64),
}


def tried(call, text):
    try:
        call(text)
        return "carried"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]


@plugin.on("probe.python")
def drawn():
    log.info("drawn %s", chance())


@plugin.on("probe.fails", retry=RetryPolicy(max_attempts=1))
def fails(data):
    def deep():
        return 1 + deep()

    if data["how"] == "deep":
        deep()
    if data["how"] == "request":
        # A port on which nobody listens.
        client.get("http://127.0.0.1:1/")
    raise {
        "retry": Retry("later"),
        "reject": Reject("never"),
        "lone": RuntimeError("a\ud800b"),
        "type": TypeError("odd"),
        "exit": SystemExit(1),
    }[data["how"]]


def hoard():
    everything = []
    while True:
        everything.append(bytearray(100_000))


def hoard_and_fail():
    try:
        hoard()
    except MemoryError:
        raise TypeError("there was too little memory") from None


def hoard_and_go_on():
    try:
        hoard()
    except MemoryError:
        state.set("went on", True)


def pretend():
    raise MemoryError


HOARDS = {
    "out-of-memory": hoard,
    "out-of-memory at once": lambda: bytearray(500_000_000),
    "exception": hoard_and_fail,
    "exception pretended": pretend,
    "acknowledged": hoard_and_go_on,
}


@plugin.on("probe.hoards", retry=RetryPolicy(max_attempts=1))
def hoards(data):
    HOARDS[data["how"]]()


@plugin.route("POST /python/hoards")
def route_hoards(request):
    HOARDS[request.json()["how"]]()


@plugin.route("GET /python/chatter")
def chatter(request):
    for _ in range(2_000):
        log.info("x" * 200)
    raise ValueError("the reason " + "y" * 100_000)


async def saved(name):
    await asyncio.sleep(0.001)
    state.set(name, True)


async def several():
    await asyncio.gather(saved("one"), saved("two"))


async def leaving():
    asyncio.create_task(saved("left"))


async def waiting():
    await asyncio.get_running_loop().create_future()


@plugin.on("probe.leaves", retry=RetryPolicy(max_attempts=1))
def leaves(data):
    state.set(f"begun {data['how']}", True)
    {
        "runs": lambda: asyncio.run(several()),
        "drops": lambda: saved("dropped") and None,
        "leaves": lambda: asyncio.run(leaving()),
        "waits": lambda: asyncio.run(waiting()),
        "resolves": lambda: __import__("socket").getaddrinfo("a.example", 80),
    }[data["how"]]()


@plugin.route("GET /python/left")
def left(request):
    return state.keys()


def chance():
    return {
        "random": random.random(),
        "generator": GENERATOR.random(),
        "system": SYSTEM.random(),
        "secrets": secrets.token_hex(8),
        "urandom": os.urandom(8).hex(),
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "host": random_bytes(8).hex(),
    }


@plugin.route("GET /python/chance")
def route_chance(request):
    clock = {"since": time.time() - LOADED, "zone": time.timezone}
    return {"chance": chance(), "clock": clock, "seeded": SEEDED.random()}


@plugin.route("GET /python/texts")
def texts(request):
    return [[f"{name} {text}", tried(call, value)] for name, call in CALLS.items() for text, value in TEXTS.items()]


@plugin.route("GET /python/answers/{text}")
def answers(request):
    text = TEXTS[request.params["text"]]
    return Response(text=text, headers={"x-text": "ä" if len(text) > 100 else text.replace("\0", "")})


@plugin.route("GET /python/cookies")
def cookies(request):
    tags = [request.header_values("x-tag"), request.header("x-tag")]
    return Response(json=tags, headers={"Set-Cookie": ["a=1; Path=/", "b=2"]})


@plugin.route("GET /python/late")
def late(request):
    import decimal
    from statistics import mean

    parsed = datetime.strptime("2026-11-28", "%Y-%m-%d").day
    try:
        __import__("sqlite3")
        absent = "it is there"
    except ModuleNotFoundError as error:
        absent = str(error)
    encoded = ["€".encode(codec).hex() for codec in ("cp1252", "utf-16-be", "iso8859-15")]
    return [str(decimal.Decimal("0.1") * 3), mean([1, 2, 3]), parsed, encoded, inflection.pluralize("plugin"), absent]
