package sandbus

import (
	"fmt"
	"slices"
	"strings"

	"sandbus/internal/header"
	"sandbus/internal/host"
	"sandbus/internal/payload"
	"sandbus/internal/rule"
)

// Plugin is a plugin: its description, and its handlers.
type Plugin struct {
	// Name is unique in a host: lower-case letters, digits and `-`. By default it is the last part of the module's path in
	// go.mod.
	Name string
	// Version is the plugin's version; 0.0.0 by default.
	Version string
	// Description is the plugin's purpose, in a sentence.
	Description string
	// Publishes has patterns of the event types that the plugin publishes. Publishing any other type is refused.
	Publishes []string
	// Subscribes has patterns of the event types that the plugin subscribes to at run time.
	Subscribes []string
	// Config has the configuration keys.
	Config map[string]ConfigKey

	subscriptions []subscription
	routes        []route
	schedules     []schedule
}

// ConfigKey is a key of a plugin's configuration.
type ConfigKey struct {
	// Default is the value if the operator does not set one. An empty text is no default.
	Default string
	// Description is the key's purpose, in a sentence.
	Description string
}

type subscription struct {
	name string
	// schedule is the schedule whose events the subscription gets, if it is one of a schedule.
	schedule   string
	pattern    string
	rules      host.Rules
	maxBacklog *uint64
	timeoutMs  *uint64
	call       func(event *Event, delivery host.Delivery) error
}

type route struct {
	method, path string
	call         func(request *Request) (*Response, error)
}

type schedule struct {
	name, cron, timezone string
	missed               *host.Missed
	data                 *[]byte
}

// On makes a plugin handle the events whose type matches a pattern, such as `user.registered`, `user.*` or `order.>`.
//
// The handler's first parameter has the event's data. JSON is parsed into its type, as encoding/json does, and data that
// does not fit makes the delivery a dead letter at once. With type []byte, the handler gets the bytes as they are. With
// type any, it gets text as a string, and data that is neither JSON nor text as bytes.
//
// Like all declarations, On panics if it is wrong, for example if two handlers have the same name.
func On[T any](
	plugin *Plugin, pattern string, handler func(data T, event *Event) error, options ...SubscriptionOptions,
) {
	call := func(event *Event, delivery host.Delivery) error {
		data, err := payload.Decode[T](delivery.Data, delivery.ContentType)
		if err != nil {
			// The next attempt would get the same data.
			return &RejectError{"the event's data is invalid: " + err.Error()}
		}
		return handler(data, event)
	}
	given := only(options)
	name := given.Name
	if name == "" {
		name = nameOf(pattern)
	}
	plugin.subscribe(subscription{name: name, pattern: pattern, call: call}, given)
}

// Schedule runs a handler at the times of a cron expression.
func (plugin *Plugin) Schedule(name, cron string, handler func(tick *Tick) error, options ...ScheduleOptions) {
	given := only(options)
	what := "schedule " + name
	declared := schedule{name: name, cron: cron, timezone: given.Timezone}
	var err error
	declared.missed, err = given.Missed.wire()
	check(err, what)
	if given.Data != nil {
		data, err := payload.Marshal(given.Data, "its data")
		check(err, what)
		declared.data = &data
	}
	plugin.schedules = append(plugin.schedules, declared)
	call := func(event *Event, _ host.Delivery) error {
		due, err := ParseTime(event.Time)
		if err != nil {
			return &RejectError{"the scheduled time is unknown: " + err.Error()}
		}
		return handler(&Tick{Due: due, Attempt: event.Attempt, Event: event})
	}
	// The handler runs for one time after the other, in order.
	rules := SubscriptionOptions{Concurrency: 1, Retry: given.Retry, Timeout: given.Timeout}
	plugin.subscribe(subscription{name: name, schedule: name, call: call}, rules)
}

// Route serves a route, such as `POST /hello/{name}`. Without a response, the status is 204. The response is sent after
// the effects are durable. If the handler returns an error, the request has no effects.
func (plugin *Plugin) Route(pattern string, handler func(request *Request) (*Response, error)) {
	method, path, err := rule.ParseRoute(pattern)
	check(err, "Route")
	plugin.routes = append(plugin.routes, route{method, path, handler})
}

func (plugin *Plugin) subscribe(declared subscription, options SubscriptionOptions) {
	what := "subscription " + declared.name
	isTaken := func(other subscription) bool { return other.name == declared.name }
	if slices.ContainsFunc(plugin.subscriptions, isTaken) {
		panic(fmt.Sprintf("sandbus: two handlers are called `%s`; give one of them another Name", declared.name))
	}
	var err error
	declared.rules, err = options.rules()
	check(err, what)
	declared.timeoutMs, err = payload.Milliseconds(options.Timeout, "Timeout")
	check(err, what)
	declared.maxBacklog = nonZero(options.MaxBacklog)
	plugin.subscriptions = append(plugin.subscriptions, declared)
}

// check panics if a declaration is wrong.
func check(err error, what string) {
	if err != nil {
		panic("sandbus: " + what + ": " + err.Error())
	}
}

// only returns the options of a declaration, which may be omitted.
func only[T any](options []T) T {
	var given T
	switch len(options) {
	case 0:
	case 1:
		given = options[0]
	default:
		panic("sandbus: a declaration takes its options once")
	}
	return given
}

// nameOf derives a subscription's name from its pattern: letters, digits, dashes and underscores.
func nameOf(pattern string) string {
	named := strings.NewReplacer("*", "any", ">", "all").Replace(pattern)
	return strings.Map(func(letter rune) rune {
		isPlain := 'a' <= letter && letter <= 'z' || 'A' <= letter && letter <= 'Z' ||
			'0' <= letter && letter <= '9' || letter == '_'
		if isPlain {
			return letter
		}
		return '-'
	}, named)
}

func (plugin *Plugin) name() string {
	if plugin.Name != "" {
		return plugin.Name
	}
	if host.Name == "" {
		panic("sandbus: the plugin has no name; set Plugin.Name")
	}
	return host.Name
}

// typeOf is the type of a schedule's events. It contains the plugin's name, so that it differs from those of other
// plugins.
func (plugin *Plugin) typeOf(schedule string) string {
	return "schedule." + plugin.name() + "." + schedule
}

func (plugin *Plugin) patternOf(declared subscription) string {
	if declared.schedule != "" {
		return plugin.typeOf(declared.schedule)
	}
	return declared.pattern
}

func init() {
	host.Adapt = func(plugin any) host.Handlers { return handlers{plugin.(*Plugin)} }
}

// handlers has the functions that the host calls.
type handlers struct{ plugin *Plugin }

func (h handlers) Describe() host.Descriptor {
	plugin := h.plugin
	described := host.Descriptor{
		Name:        plugin.name(),
		Version:     plugin.Version,
		Description: payload.Text(plugin.Description),
		Publishes:   slices.Clone(plugin.Publishes),
		Subscribes:  plugin.Subscribes,
	}
	if described.Version == "" {
		described.Version = "0.0.0"
	}
	for _, declared := range plugin.routes {
		described.Routes = append(described.Routes, host.Pair{Name: declared.method, Value: declared.path})
	}
	for _, declared := range plugin.subscriptions {
		described.Subscriptions = append(described.Subscriptions, host.Subscription{
			Name:       declared.name,
			Pattern:    plugin.patternOf(declared),
			Rules:      declared.rules,
			MaxBacklog: declared.maxBacklog,
			TimeoutMs:  declared.timeoutMs,
		})
	}
	for _, declared := range plugin.schedules {
		wire := host.Schedule{
			Name:     declared.name,
			Cron:     declared.cron,
			Timezone: payload.Text(declared.timezone),
			Missed:   declared.missed,
			Type:     plugin.typeOf(declared.name),
			Data:     declared.data,
		}
		if declared.data != nil {
			wire.ContentType = payload.Text(payload.JSON)
		}
		described.Schedules = append(described.Schedules, wire)
		described.Publishes = append(described.Publishes, wire.Type)
	}
	for name, key := range plugin.Config {
		described.Config = append(described.Config, host.ConfigKey{
			Name: name, Default: payload.Text(key.Default), Description: payload.Text(key.Description),
		})
	}
	slices.SortFunc(described.Config, func(one, other host.ConfigKey) int {
		return strings.Compare(one.Name, other.Name)
	})
	return described
}

func (h handlers) Deliver(delivery host.Delivery) *host.Failure {
	err := caught(func() error {
		event := eventOf(delivery)
		call, err := h.handlerOf(event)
		if err != nil {
			return err
		}
		return call(event, delivery)
	})
	if err == nil {
		return nil
	}
	reportCause(err)
	return failure(err)
}

// handlerOf returns the handler of an event: the one with the subscription's name if its pattern matches, otherwise the
// first one whose pattern matches. A subscription created at run time can have the name of a declared one, so the name
// alone does not decide. If no pattern matches, the declared pattern has changed since, and the name decides.
func (h handlers) handlerOf(event *Event) (func(*Event, host.Delivery) error, error) {
	var named, matching func(*Event, host.Delivery) error
	for _, declared := range h.plugin.subscriptions {
		matches := rule.Matches(h.plugin.patternOf(declared), event.Type)
		isNamed := declared.name == event.Subscription
		if isNamed && matches {
			return declared.call, nil
		}
		if isNamed {
			named = declared.call
		}
		if matches && matching == nil {
			matching = declared.call
		}
	}
	switch {
	case matching != nil:
		return matching, nil
	case named != nil:
		return named, nil
	default:
		return nil, Reject("no handler takes events of type `" + event.Type + "`")
	}
}

func (h handlers) Respond(wire host.Request) (host.Response, bool) {
	var response host.Response
	err := caught(func() error {
		answer, err := h.answer(wire)
		if err != nil {
			return err
		}
		response, err = answer.wire()
		return err
	})
	if err != nil {
		return errorResponse(err, "route "+wire.Method+" "+wire.Route), false
	}
	return response, true
}

func (h handlers) answer(wire host.Request) (*Response, error) {
	for _, declared := range h.plugin.routes {
		if declared.method != wire.Method || declared.path != wire.Route {
			continue
		}
		request := &Request{
			Method:  wire.Method,
			Route:   wire.Route,
			Path:    wire.Path,
			Params:  make(map[string]string, len(wire.Params)),
			Headers: header.Received(wire.Headers),
			Body:    wire.Body,
		}
		for _, parameter := range wire.Params {
			request.Params[parameter.Name] = parameter.Value
		}
		if wire.Query != nil {
			request.QueryString = *wire.Query
		}
		return declared.call(request)
	}
	return nil, &Problem{Status: 404, Detail: "this plugin has no such route"}
}
