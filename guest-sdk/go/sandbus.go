// Package sandbus is the SDK for Sandbus event handlers in Go.
//
//	package main
//
//	import (
//		"log/slog"
//
//		"sandbus"
//		"sandbus/state"
//	)
//
//	type user struct {
//		Name string `json:"name"`
//	}
//
//	func main() { sandbus.Serve(plugin()) }
//
//	func plugin() *sandbus.Plugin {
//		plugin := &sandbus.Plugin{Name: "welcome"}
//		sandbus.On(plugin, "user.registered", welcome, sandbus.SubscriptionOptions{
//			Retry: sandbus.RetryPolicy{MaxAttempts: 5},
//		})
//		plugin.Route("POST /hello/{name}", hello)
//		return plugin
//	}
//
//	func welcome(data user, event *sandbus.Event) error {
//		slog.Info("Welcome, " + data.Name + "!")
//		return state.Add("welcomed", 1)
//	}
//
//	func hello(request *sandbus.Request) (*sandbus.Response, error) {
//		return &sandbus.Response{JSON: map[string]string{"hello": request.Params["name"]}}, nil
//	}
//
// A handler's effects, such as events that it publishes and state that it writes, are committed together with the
// acknowledgement of its event. A handler that returns an error, panics or times out leaves no effects, and its delivery
// is retried.
//
// Lines of package log/slog, and of package log, are lines of the plugin's log. Package state has the plugin's state,
// package config its configuration, package client sends requests to other services, and package sandbustest has a fake
// host for tests.
package sandbus

import (
	"time"

	"sandbus/internal/host"
	"sandbus/internal/logs"
)

// Now returns the current time. In a component, time.Now returns it, too.
func Now() time.Time { return time.Unix(0, host.Current().NowNanoseconds()).UTC() }

// RandomBytes returns cryptographically secure random bytes.
func RandomBytes(count int) []byte { return host.Current().RandomBytes(count) }

// Serve makes a plugin the one of this component. The function main calls it. It returns at once, because the host
// calls the plugin's handlers afterwards.
func Serve(plugin *Plugin) {
	if !isComponent {
		panic("sandbus: a plugin runs on a host; `sandbus dev` builds and runs it")
	}
	if host.Served != nil {
		panic("sandbus: Serve was called twice")
	}
	host.Served = host.Adapt(plugin)
	logs.Install()
}
