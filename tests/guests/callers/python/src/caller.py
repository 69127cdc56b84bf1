"""Sends the request that an event describes, and publishes the response."""

from sandbus import Plugin, RetryPolicy, client, publish

plugin = Plugin(publishes=["call.answered"])


@plugin.on("call.wanted", retry=RetryPolicy(max_attempts=1))
def call(wanted):
    timeout = f"{wanted['timeout_ms']}ms" if "timeout_ms" in wanted else None
    headers = {"X-Caller": "a guest"}
    answer = client.send(wanted["method"], wanted["url"], text=wanted.get("body", ""), headers=headers, timeout=timeout)
    text = answer.text()
    publish("call.answered", {"status": answer.status, "length": len(text), "beginning": text[:20]})
