// Package sandbustest has a fake host, to test a plugin with `go test`.
//
//	host := sandbustest.New(plugin(), sandbustest.Options{})
//	if outcome := host.Deliver("user.registered", user{Name: "Ada"}); outcome.Outcome != "ack" {
//		t.Fatal(outcome)
//	}
//
// Everything is in memory. As on a real host, a failed invocation leaves no effects. Filters, ordering, retries and limits
// are ignored. Mistakes of the test, such as an event that no handler takes, panic.
package sandbustest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"sandbus"
	"sandbus/internal/header"
	"sandbus/internal/host"
	"sandbus/internal/logs"
	"sandbus/internal/payload"
	"sandbus/internal/rule"
)

// Options are the options of a fake host.
type Options struct {
	// Config has values of the configuration.
	Config map[string]string
	// State has values of the state, which are stored as JSON.
	State map[string]any
}

// FakeHost is a host that keeps everything in memory. Its time starts at 2030-01-01T00:00:00Z.
type FakeHost struct {
	plugin    host.Handlers
	described host.Descriptor
	config    map[string]string
	now       time.Time
	effects   effects
	sequences map[string]uint64
	ids       int
	// published has the ids of the events that the current invocation has published.
	published []string
	cause     string
	answers   []answer
	sent      []Sent
	logs      []string
}

// effects are discarded if the invocation fails.
type effects struct {
	state         map[string][]byte
	published     []Published
	subscriptions map[string]sandbus.Subscription
	replies       []Reply
}

func (e effects) clone() effects {
	return effects{
		maps.Clone(e.state), slices.Clone(e.published), maps.Clone(e.subscriptions), slices.Clone(e.replies),
	}
}

type answer struct {
	pattern string
	answer  host.Answer
}

// Outcome is how a delivery ended.
type Outcome struct {
	// Outcome is `ack`, `retry` or `reject`.
	Outcome string
	// Reason is why the delivery failed.
	Reason string
	// Delay is the delay of a retry, if the handler set one.
	Delay time.Duration
	// Cause is `exception` after a panic, and `request` after a failed request to another service. It is empty if the
	// handler returned another error.
	Cause string
}

// Published is an event that an invocation published.
type Published struct {
	ID         string
	Type       string
	Subject    string
	Extensions map[string]string
	// Due is the time at which the event enters the log.
	Due time.Time
	// Data is the payload: JSON as its value, text as a string, anything else as bytes.
	Data any
}

// Reply is a reply that a route asked for.
type Reply struct {
	ID      string
	Pattern string
	Timeout time.Duration
}

// Sent is a request to another service.
type Sent struct {
	Method  string
	URL     string
	Headers map[string][]string
	Body    []byte
}

// RouteResponse is the response of a route.
type RouteResponse struct {
	Status int
	// Headers has the headers by their names in lower case.
	Headers map[string][]string
	Body    []byte
}

// Header returns the value of a header. The values of a repeated header are joined.
func (response RouteResponse) Header(name string) string {
	return header.Header(response.Headers).Get(name)
}

// HeaderValues returns all values of a header.
func (response RouteResponse) HeaderValues(name string) []string {
	return header.Header(response.Headers).Values(name)
}

// Text returns the body as text.
func (response RouteResponse) Text() string { return string(response.Body) }

// JSON returns the body's value. It panics if the body is not JSON.
func (response RouteResponse) JSON() any {
	var value any
	if err := json.Unmarshal(response.Body, &value); err != nil {
		panic(fmt.Sprintf("sandbustest: the response is not JSON: %v", err))
	}
	return value
}

// New returns a fake host for a plugin.
func New(plugin *sandbus.Plugin, options Options) *FakeHost {
	if host.Name == "" {
		// A build sets the name of a plugin that has none.
		host.Name = "test"
	}
	fake := &FakeHost{
		plugin:    host.Adapt(plugin),
		config:    options.Config,
		now:       time.Date(2030, time.January, 1, 0, 0, 0, 0, time.UTC),
		effects:   effects{state: map[string][]byte{}, subscriptions: map[string]sandbus.Subscription{}},
		sequences: map[string]uint64{},
	}
	for key, value := range options.State {
		data, err := payload.Marshal(value, "the state `"+key+"`")
		must(err)
		fake.effects.state[key] = data
	}
	fake.described = fake.plugin.Describe()
	return fake
}

// DeliveryOptions are further attributes of an event and its delivery. Fields that are zero have defaults.
type DeliveryOptions struct {
	ID          string
	Source      string
	Subject     string
	Time        string
	ContentType string
	Schema      string
	Extensions  map[string]string
	// Subscription is the name of the subscription, if several match the type.
	Subscription string
	Attempt      int
	Replay       bool
}

// Deliver delivers an event to the subscription whose pattern matches its type, and returns the outcome.
func (fake *FakeHost) Deliver(eventType string, data any, options ...DeliveryOptions) Outcome {
	given := only(options)
	mediaType, bytes, err := payload.Encode(data, given.ContentType, "the data")
	must(err)
	delivery := host.Delivery{
		ID:           or(given.ID, "event"),
		Source:       or(given.Source, "/test"),
		Type:         eventType,
		Subject:      payload.Text(given.Subject),
		Time:         payload.Text(or(given.Time, fake.now.Format(time.RFC3339Nano))),
		ContentType:  payload.Text(mediaType),
		Schema:       payload.Text(given.Schema),
		Data:         bytes,
		Subscription: given.Subscription,
		Attempt:      uint32(max(given.Attempt, 1)),
		Replay:       given.Replay,
	}
	for name, value := range given.Extensions {
		delivery.Extensions = append(delivery.Extensions, host.Pair{Name: name, Value: value})
	}
	if delivery.Subscription == "" {
		delivery.Subscription = fake.subscriptionOf(eventType)
	}
	var failure *host.Failure
	fake.invoke(func() bool {
		failure = fake.plugin.Deliver(delivery)
		return failure == nil
	})
	switch {
	case failure == nil:
		return Outcome{Outcome: "ack"}
	case failure.Rejected:
		return Outcome{Outcome: "reject", Reason: failure.Reason}
	}
	outcome := Outcome{Outcome: "retry", Reason: failure.Reason, Cause: fake.cause}
	if failure.DelayMs != nil {
		outcome.Delay = time.Duration(*failure.DelayMs) * time.Millisecond
	}
	return outcome
}

func (fake *FakeHost) subscriptionOf(eventType string) string {
	var names []string
	for _, declared := range fake.described.Subscriptions {
		if rule.Matches(declared.Pattern, eventType) {
			names = append(names, declared.Name)
		}
	}
	switch len(names) {
	case 0:
		panic(fmt.Sprintf("sandbustest: no subscription of the plugin matches events of type `%s`", eventType))
	case 1:
		return names[0]
	default:
		panic(fmt.Sprintf("sandbustest: several subscriptions match `%s` (%s); choose one with Subscription",
			eventType, strings.Join(names, ", ")))
	}
}

// Tick runs the handler of a schedule. The zero time stands for now.
func (fake *FakeHost) Tick(schedule string, due time.Time, options ...DeliveryOptions) Outcome {
	for _, declared := range fake.described.Schedules {
		if declared.Name != schedule {
			continue
		}
		given := only(options)
		given.Subscription = schedule
		if due.IsZero() {
			due = fake.now
		}
		given.Time = due.UTC().Format(time.RFC3339Nano)
		return fake.Deliver(declared.Type, nil, given)
	}
	panic(fmt.Sprintf("sandbustest: the plugin has no schedule `%s`", schedule))
}

// RequestOptions are the parts of a request, with at most one of JSON, Text and Body.
type RequestOptions struct {
	JSON    any
	Text    string
	Body    []byte
	Headers map[string][]string
}

// Request sends a request, such as "POST /hello/Ada?loud=1", to the route that matches it.
func (fake *FakeHost) Request(target string, options ...RequestOptions) RouteResponse {
	given := only(options)
	method, url, _ := strings.Cut(target, " ")
	path, query, hasQuery := strings.Cut(url, "?")
	var paths []string
	for _, declared := range fake.described.Routes {
		if declared.Name == method {
			paths = append(paths, declared.Value)
		}
	}
	route, parameters, ok := rule.FindRoute(paths, path)
	if !ok {
		panic(fmt.Sprintf("sandbustest: no route of the plugin matches %s %s", method, path))
	}
	mediaType, body, err := payload.Content(given.JSON, given.Text, given.Body)
	must(err)
	headers, err := header.Sent(given.Headers)
	must(err)
	request := host.Request{
		Method: method, Route: route, Path: path, Headers: header.WithType(headers, mediaType), Body: body,
	}
	if hasQuery {
		request.Query = &query
	}
	for name, value := range parameters {
		request.Params = append(request.Params, host.Pair{Name: name, Value: value})
	}
	var response host.Response
	fake.invoke(func() (commits bool) {
		response, commits = fake.plugin.Respond(request)
		return commits
	})
	return RouteResponse{int(response.Status), header.Received(response.Headers), response.Body}
}

// Answers sets the response to requests that the plugin sends with package client. The pattern is a method and a URL, such
// as "GET https://api.example.com/rates", or the start of one followed by `*`. Requests that match no pattern fail.
func (fake *FakeHost) Answers(pattern string, response sandbus.Response) {
	mediaType, body, err := payload.Content(response.JSON, response.Text, response.Body)
	must(err)
	headers, err := header.Sent(response.Headers)
	must(err)
	if response.Status == 0 {
		response.Status = 200
	}
	fake.answers = append(fake.answers, answer{pattern, host.Answer{
		Status: uint16(response.Status), Headers: header.WithType(headers, mediaType), Body: body,
	}})
}

// Run runs a function on this host. Its effects are discarded if it returns an error.
func (fake *FakeHost) Run(function func() error) error {
	var err error
	fake.invoke(func() bool {
		err = function()
		return err == nil
	})
	return err
}

// invocations makes invocations of parallel tests run one at a time, because the SDK has one host.
var invocations sync.Mutex

func (fake *FakeHost) invoke(call func() (commits bool)) {
	invocations.Lock()
	defer invocations.Unlock()
	before := fake.effects.clone()
	fake.published, fake.cause = nil, ""
	previous := host.Install(functions{fake})
	restore := logs.Install()
	commits := false
	defer func() {
		restore()
		host.Install(previous)
		if !commits {
			fake.effects = before
		}
	}()
	commits = call()
}

// Advance moves the clock forward.
func (fake *FakeHost) Advance(duration time.Duration) { fake.now = fake.now.Add(duration) }

// Now returns the time that handlers see.
func (fake *FakeHost) Now() time.Time { return fake.now }

// Published returns the events that were published and not cancelled, in order.
func (fake *FakeHost) Published() []Published { return slices.Clone(fake.effects.published) }

// State returns the values of the state by their keys. Values that are JSON are parsed, and others are bytes.
func (fake *FakeHost) State() map[string]any {
	state := make(map[string]any, len(fake.effects.state))
	for key, data := range fake.effects.state {
		var value any
		if payload.Unmarshal(data, &value) != nil {
			value = slices.Clone(data)
		}
		state[key] = value
	}
	return state
}

// Logs returns the log lines, in order.
func (fake *FakeHost) Logs() []string { return slices.Clone(fake.logs) }

// Sent returns the requests that were sent to other services, in order.
func (fake *FakeHost) Sent() []Sent { return slices.Clone(fake.sent) }

// Subscriptions returns the subscriptions that were created at run time, by name, with their names, patterns and targets.
func (fake *FakeHost) Subscriptions() map[string]sandbus.Subscription {
	return maps.Clone(fake.effects.subscriptions)
}

// Replies returns the replies that routes asked for, in order.
func (fake *FakeHost) Replies() []Reply { return slices.Clone(fake.effects.replies) }

func must(err error) {
	if err != nil {
		panic("sandbustest: " + err.Error())
	}
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

func only[T any](options []T) T {
	var given T
	if len(options) > 1 {
		panic("sandbustest: the options are given once")
	}
	for _, option := range options {
		given = option
	}
	return given
}
