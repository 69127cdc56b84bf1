// The plugin {{name}}.
package main

import (
	"log/slog"

[[typed]]
	"events"
[[end]]
	"sandbus"
	"sandbus/state"
)

func main() { sandbus.Serve(plugin()) }

// plugin declares the plugin's handlers.
func plugin() *sandbus.Plugin {
	plugin := &sandbus.Plugin{Version: "0.1.0"}
[[on]]
	sandbus.On(plugin, "{{type}}", handle, sandbus.SubscriptionOptions{
		Retry: sandbus.RetryPolicy{MaxAttempts: 5},
	})
[[end]]
[[route]]
	plugin.Route("{{route}}", answer)
[[end]]
	return plugin
}
[[on]]

[[typed]]
func handle(data events.{{Type}}, event *sandbus.Event) error {
[[end]]
[[untyped]]
// handle accepts any data. If its parameter is a struct, data that does not match is rejected.
func handle(data any, event *sandbus.Event) error {
[[end]]
	slog.Info("handling "+event.Type, "data", data)
	return state.Add("handled", 1)
}
[[end]]
[[route]]

func answer(request *sandbus.Request) (*sandbus.Response, error) {
	slog.Info("responding to " + request.Path)
	handled, _, err := state.Get[int]("handled")
	return &sandbus.Response{JSON: map[string]int{"handled": handled}}, err
}
[[end]]
