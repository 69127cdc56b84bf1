package main

import (
	"testing"

	"sandbus/sandbustest"
)
[[on]]

func TestAnEventIsCounted(t *testing.T) {
	host := sandbustest.New(plugin(), sandbustest.Options{})
	if outcome := host.Deliver("{{example}}", map[string]any{"name": "Ada"}); outcome.Outcome != "ack" {
		t.Fatal(outcome)
	}
	if handled := host.State()["handled"]; handled != 1.0 {
		t.Errorf("handled is %v", handled)
	}
}
[[end]]
[[route]]

func TestARequestIsAnsweredWithTheCount(t *testing.T) {
	host := sandbustest.New(plugin(), sandbustest.Options{State: map[string]any{"handled": 3}})
	if response := host.Request("{{target}}"); response.Text() != `{"handled":3}` {
		t.Errorf("the response is %s", response.Body)
	}
}
[[end]]
