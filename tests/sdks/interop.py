"""The Python SDKs of CloudEvents, Standard Webhooks and Svix, against a running host: as producers, as receivers of
webhooks, and as verifiers of their signatures. Prints one line of JSON for each case."""

import base64
import http.client
import json
import sys
import threading
import traceback
import urllib.parse
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INGRESS, ADMIN, INSTALLED = sys.argv[1:]
sys.path.insert(0, f"{INSTALLED}/python")

import standardwebhooks  # noqa: E402
import svix  # noqa: E402
from cloudevents.core.bindings import http as binding  # noqa: E402
from cloudevents.core.formats.json import JSONFormat  # noqa: E402
from cloudevents.core.v1.event import CloudEvent  # noqa: E402

SECRETS = ["whsec_YSBzZWNyZXQgZm9yIHRoZSB0ZXN0cyBvbmx5", "whsec_YW5vdGhlciBzZWNyZXQgZm9yIHRoZSB0ZXN0cw=="]
VERIFIERS = {"standardwebhooks": standardwebhooks.Webhook, "svix": svix.Webhook}
FORMAT = JSONFormat()
TIME = datetime(2026, 1, 1, tzinfo=timezone.utc)

# Events of each kind: their data and their attributes.
EVENTS = {
    "object": ({"total": 7, "name": "größe €", "nested": [1, None, {"a": True}]}, {"datacontenttype": "application/json"}),
    "array": ([1, 2, 3], {"datacontenttype": "application/json"}),
    "json suffix": ({"a": 1}, {"datacontenttype": "application/vnd.example+json"}),
    "no media type": ({"a": 1}, {}),
    "empty object": ({}, {"datacontenttype": "application/json"}),
    "text": ("plain text, größe €", {"datacontenttype": "text/plain"}),
    "xml": ("<a>&amp;</a>", {"datacontenttype": "application/xml"}),
    "bytes": (b"\x00\xff\x80\n", {"datacontenttype": "application/octet-stream"}),
    "protobuf": (b"\n\x05hello", {"datacontenttype": "application/x-protobuf"}),
    "attributes": (
        {"a": 1},
        {
            "datacontenttype": "application/json",
            "subject": 'größe € "quoted" 100%',
            "dataschema": "https://example.com/schema?a=b",
            "tenant": "acme corp",
        },
    ),
    "no data": (None, {}),
}


def attempt(sdk, name, act):
    failure = None
    try:
        act()
    except Exception:
        failure = traceback.format_exc()
    print(json.dumps({"sdk": sdk, "name": name, "failure": failure}), flush=True)


def demand(condition, what):
    if not condition:
        raise AssertionError(what)


received = {"/binary": [], "/signed": []}
arrival = threading.Condition()


class Receiver(BaseHTTPRequestHandler):
    """A webhook's receiver."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with arrival:
            received[self.path].append(binding.HTTPMessage(headers, body))
            arrival.notify_all()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()


def read(message):
    return binding.from_http(message, FORMAT, CloudEvent)


def comes(path, id):
    """Waits for the event with an id."""

    def find():
        return next((message for message in received[path] if read(message).get_id() == id), None)

    with arrival:
        demand(arrival.wait_for(find, timeout=20), f"{id} did not come at {path}")
        return find()


def send(url, headers, body):
    address = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=20)
    connection.request("POST", address.path, body, headers)
    response = connection.getresponse()
    text = response.read()
    connection.close()
    demand(response.status < 300, f"{response.status} {text}")
    return json.loads(text) if text else None


def post(path, body):
    return send(f"{ADMIN}/v1{path}", {"content-type": "application/json"}, json.dumps(body).encode())


def subscribe(name, path, **more):
    url = f"http://127.0.0.1:{server.server_port}{path}"
    post("/subscriptions", {"name": name, "pattern": "sdk.py.>", "target": {"webhook": {"url": url, **more}}})


def event_of(id, data, **attributes):
    return CloudEvent({"id": id, "source": "/sdk/py", "type": "sdk.py.sent", "time": TIME, **attributes}, data)


def essence(event, as_bytes=False):
    """What one compares of an event. The SDK reads bytes that are text as text, whatever the media type."""
    names = ["id", "source", "type", "subject", "dataschema", "tenant", "time"]
    attributes = event.get_attributes()
    data = event.get_data()
    data = data.encode() if as_bytes and isinstance(data, str) else data
    data = base64.b64encode(data).decode() if isinstance(data, bytes) else data
    return json.dumps([[str(attributes.get(name)) for name in names], data])


def compare(sent, came):
    expected, found = essence(sent), essence(came, isinstance(sent.get_data(), bytes))
    demand(expected == found, f"sent {expected}, came {found}")


subscribe("py-binary", "/binary")
subscribe("py-signed", "/signed", secret=SECRETS[0])
sent = []


def publish(event, message):
    send(f"{INGRESS}/events", message.headers, message.body)
    sent.append(event)


MODES = {"binary": binding.to_binary, "structured": binding.to_structured}
for name, (data, attributes) in EVENTS.items():
    for mode, convert in MODES.items():
        if name == "no media type" and mode == "binary":
            # Nothing then says what the body is, and the SDK reads it as text.
            continue
        event = event_of(f"{name} {mode}", data, **attributes)
        attempt("cloudevents (PyPI)", f"{event.get_id()}: published", lambda: publish(event, convert(event, FORMAT)))


def publish_batch():
    batch = [event_of(f"batch {number}", {"number": number}, datacontenttype="application/json") for number in range(3)]
    body = b"[" + b",".join(FORMAT.write(event) for event in batch) + b"]"
    answer = send(f"{INGRESS}/events", {"content-type": "application/cloudevents-batch+json"}, body)
    demand(len(answer["accepted"]) == 3, answer)
    sent.extend(batch)


attempt("cloudevents (PyPI)", "batch: published", publish_batch)
for event in sent:
    for path in received:
        name = f"{event.get_id()}: received at {path}"
        attempt("cloudevents (PyPI)", name, lambda: compare(event, read(comes(path, event.get_id()))))


def verifies(verifier, secret, message, body=None):
    """Whether a delivery is one that a secret signed."""
    try:
        verifier(secret).verify(body or message.body, message.headers)
        return True
    except Exception as error:
        demand("Verification" in type(error).__name__, repr(error))
        return False


def signed(id):
    event = event_of(id, {"id": id}, datacontenttype="application/json")
    message = binding.to_structured(event, FORMAT)
    send(f"{INGRESS}/events", message.headers, message.body)
    return comes("/signed", id)


one = signed("signed once")
post("/subscriptions/operator/py-signed/secret", {"secret": SECRETS[1], "overlap": "1h"})
both = signed("signed twice")
for name, verifier in VERIFIERS.items():

    def check(what, expected, *arguments):
        attempt(f"{name} (PyPI)", what, lambda: demand(verifies(verifier, *arguments) == expected, "it is not so"))

    check("a delivery verifies", True, SECRETS[0], one)
    check("another secret does not verify it", False, SECRETS[1], one)
    altered = one.body.replace(b"signed once", b"signed 0nce")
    check("an altered body does not verify", False, SECRETS[0], one, altered)
    for secret in SECRETS:
        check(f"while it is rotated, {secret} verifies", True, secret, both)

    def signs_alike():
        at = datetime.fromtimestamp(int(one.headers["webhook-timestamp"]), tz=timezone.utc)
        signature = verifier(SECRETS[0]).sign(one.headers["webhook-id"], at, one.body.decode())
        demand(signature == one.headers["webhook-signature"], f"{signature}, {one.headers['webhook-signature']}")

    attempt(f"{name} (PyPI)", "it signs alike", signs_alike)
server.shutdown()
