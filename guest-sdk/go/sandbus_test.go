package sandbus_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"sandbus"
	"sandbus/client"
	"sandbus/config"
	"sandbus/sandbustest"
	"sandbus/state"
)

type order struct {
	ID    int64    `json:"id"`
	Lines []string `json:"lines"`
}

func expect(t *testing.T, actual, expected any) {
	t.Helper()
	if !reflect.DeepEqual(actual, expected) {
		t.Errorf("expected %#v, not %#v", expected, actual)
	}
}

// handling returns a host with a plugin that handles `thing`.
func handling[T any](handler func(T, *sandbus.Event) error) *sandbustest.FakeHost {
	plugin := &sandbus.Plugin{Name: "things", Publishes: []string{"thing.>"}, Subscribes: []string{">"}}
	sandbus.On(plugin, "thing", handler)
	return sandbustest.New(plugin, sandbustest.Options{})
}

// routed returns a host with a route.
func routed(route string, handler func(*sandbus.Request) (*sandbus.Response, error)) *sandbustest.FakeHost {
	plugin := &sandbus.Plugin{Name: "web", Publishes: []string{"order.>"}}
	plugin.Route(route, handler)
	return sandbustest.New(plugin, sandbustest.Options{})
}

func TestDataHasTheTypeOfTheHandler(t *testing.T) {
	var seen any
	host := handling(func(data order, _ *sandbus.Event) error { seen = data; return nil })
	expect(t, host.Deliver("thing", map[string]any{"id": int64(math.MaxInt64), "more": 1}).Outcome, "ack")
	expect(t, seen, order{ID: math.MaxInt64})
	for _, misfit := range []any{nil, []int{1}, map[string]any{"id": "7"}, map[string]any{"id": 1.5}} {
		outcome := host.Deliver("thing", misfit)
		if outcome.Outcome != "reject" || !strings.HasPrefix(outcome.Reason, "the event's data is invalid: ") {
			t.Errorf("%v: %v", misfit, outcome)
		}
	}
	malformed := sandbustest.DeliveryOptions{ContentType: "application/json"}
	for _, text := range []string{"", "{", `{} {}`, "\"\xff\""} {
		expect(t, host.Deliver("thing", []byte(text), malformed).Outcome, "reject")
	}

	keep := handling(func(data any, event *sandbus.Event) error { seen = data; return nil })
	for _, given := range []struct {
		data        any
		contentType string
		expected    any
	}{
		{map[string]int{"a": 1}, "", map[string]any{"a": 1.0}},
		{"text", "text/plain", "text"},
		{"text", "text/plain; charset=latin1", []byte("text")},
		{[]byte{0xff}, "", []byte{0xff}},
		{nil, "", nil},
	} {
		expect(t, keep.Deliver("thing", given.data, sandbustest.DeliveryOptions{ContentType: given.contentType}).Outcome, "ack")
		expect(t, seen, given.expected)
	}
	bytes := handling(func(data []byte, _ *sandbus.Event) error { seen = string(data); return nil })
	expect(t, bytes.Deliver("thing", map[string]int{"a": 1}).Outcome, "ack")
	expect(t, seen, `{"a":1}`)
}

func TestAnEventHasItsAttributes(t *testing.T) {
	var seen sandbus.Event
	host := handling(func(_ any, event *sandbus.Event) error { seen = *event; return nil })
	extensions := map[string]string{"hops": "3", "causationid": "c", "correlationid": "r"}
	host.Deliver("thing", 1, sandbustest.DeliveryOptions{ID: "7", Subject: "s", Extensions: extensions, Attempt: 2, Replay: true})
	expect(t, seen, sandbus.Event{
		ID: "7", Source: "/test", Type: "thing", Subject: "s", Time: "2030-01-01T00:00:00Z", Bytes: []byte("1"),
		ContentType: "application/json", Extensions: extensions, Subscription: "thing", Attempt: 2, Replay: true,
	})
	expect(t, []any{seen.Hops(), seen.Causation(), seen.Correlation()}, []any{3, "c", "r"})
}

func TestTheErrorDecidesTheOutcome(t *testing.T) {
	var failed error
	host := handling(func(any, *sandbus.Event) error {
		_ = state.Set("begun", true)
		return failed
	})
	for _, given := range []struct {
		err      error
		expected sandbustest.Outcome
	}{
		{errors.New("a"), sandbustest.Outcome{Outcome: "retry", Reason: "a"}},
		{sandbus.Retry("a"), sandbustest.Outcome{Outcome: "retry", Reason: "a"}},
		{sandbus.RetryAfter(time.Minute, "a"), sandbustest.Outcome{Outcome: "retry", Reason: "a", Delay: time.Minute}},
		{sandbus.Reject("a"), sandbustest.Outcome{Outcome: "reject", Reason: "a"}},
		{fmt.Errorf("b: %w", sandbus.Reject("a")), sandbustest.Outcome{Outcome: "reject", Reason: "b: a"}},
		{&sandbus.BusError{Kind: "denied", Reason: "a"}, sandbustest.Outcome{Outcome: "reject", Reason: "a"}},
		{&state.Error{Kind: "limit", Reason: "a"}, sandbustest.Outcome{Outcome: "reject", Reason: "a"}},
		{&state.Error{Kind: "other", Reason: "a"}, sandbustest.Outcome{Outcome: "retry", Reason: "a"}},
		{&client.Error{Kind: "timeout", Reason: "a"}, sandbustest.Outcome{Outcome: "retry", Reason: "a", Cause: "request"}},
		{&client.Error{Kind: "denied", Reason: "a"}, sandbustest.Outcome{Outcome: "reject", Reason: "a"}},
		{&client.Error{Kind: "status", Status: 404, Reason: "a"}, sandbustest.Outcome{Outcome: "reject", Reason: "a"}},
		{
			&client.Error{Kind: "status", Status: 429, Reason: "a"},
			sandbustest.Outcome{Outcome: "retry", Reason: "a", Cause: "request"},
		},
	} {
		failed = given.err
		expect(t, host.Deliver("thing", nil), given.expected)
	}
	expect(t, host.State(), map[string]any{})
}

func TestAPanicIsRetriedAndNamesItsLine(t *testing.T) {
	host := handling(func(any, *sandbus.Event) error {
		var table map[string]int
		table["a"] = 1
		return nil
	})
	outcome := host.Deliver("thing", nil)
	expect(t, []string{outcome.Outcome, outcome.Cause}, []string{"retry", "exception"})
	if !strings.Contains(outcome.Reason, "panic: assignment to entry in nil map\n    at sandbus_test.") ||
		!strings.Contains(outcome.Reason, "sandbus_test.go:") {
		t.Error(outcome.Reason)
	}
}

func TestTheState(t *testing.T) {
	host := handling(func(any, *sandbus.Event) error {
		if _, exists, err := state.Get[int]("count"); exists || err != nil {
			t.Error(exists, err)
		}
		sum, err := state.Increment("count", 41)
		expect(t, []any{sum, err}, []any{int64(41), nil})
		expect(t, state.Add("count", 1), nil)
		expect(t, state.Set("order/1", order{ID: 1}), nil)
		expect(t, state.SetBytes("order/2", []byte{0xff}), nil)
		keys, err := state.Keys("order/")
		expect(t, []any{keys, err}, []any{[]string{"order/1", "order/2"}, nil})
		_, _, err = state.Get[order]("order/2")
		var refused *state.Error
		if !errors.As(err, &refused) || refused.Kind != "unreadable" {
			t.Error(err)
		}
		_, err = state.Increment("order/1", 1)
		if !errors.As(err, &refused) || refused.Kind != "not-a-number" {
			t.Error(err)
		}
		_, err = state.Increment("count", math.MaxInt64)
		if !errors.As(err, &refused) || refused.Kind != "out-of-range" {
			t.Error(err)
		}
		expect(t, state.Delete("order/2"), nil)
		exists, err := state.Exists("order/2")
		expect(t, []any{exists, err}, []any{false, nil})
		first, _ := state.Sequence("s")
		second, _ := state.Sequence("s")
		expect(t, []uint64{first, second}, []uint64{1, 2})
		if state.Set("a", math.NaN()) == nil || state.Set("a", func() {}) == nil {
			t.Error("it is not JSON")
		}
		return nil
	})
	expect(t, host.Deliver("thing", nil), sandbustest.Outcome{Outcome: "ack"})
	expect(t, host.State(), map[string]any{"count": 42.0, "order/1": map[string]any{"id": 1.0, "lines": nil}})
}

func TestPublishing(t *testing.T) {
	host := handling(func(any, *sandbus.Event) error {
		ids, err := sandbus.PublishMany([]sandbus.Message{
			{Type: "thing.a", Data: order{ID: 1}, Subject: "s", Extensions: map[string]string{"tenant": "t"}},
			{Type: "thing.b", Data: "text", ContentType: "text/plain", Delay: time.Minute},
		})
		expect(t, []any{ids, err}, []any{[]string{"event-1", "event-2"}, nil})
		id, err := sandbus.Publish(sandbus.Message{Type: "thing.c", Data: []byte{1}, At: sandbus.Now().Add(time.Hour)})
		expect(t, []any{id, err}, []any{"event-3", nil})
		expect(t, sandbus.Cancel(ids[1]), nil)
		var refused *sandbus.BusError
		if _, err := sandbus.Publish(sandbus.Message{Type: "other"}); !errors.As(err, &refused) || refused.Kind != "denied" {
			t.Error(err)
		}
		both := sandbus.Message{Type: "thing.d", Delay: time.Second, At: sandbus.Now()}
		if _, err := sandbus.Publish(both); err == nil {
			t.Error("it has two due times")
		}
		if _, err := sandbus.Publish(sandbus.Message{Type: "thing.d", Delay: -1}); err == nil {
			t.Error("its delay is negative")
		}
		return nil
	})
	expect(t, host.Deliver("thing", nil), sandbustest.Outcome{Outcome: "ack"})
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	expect(t, host.Published(), []sandbustest.Published{
		{
			ID: "event-1", Type: "thing.a", Subject: "s", Extensions: map[string]string{"tenant": "t"}, Due: start,
			Data: map[string]any{"id": 1.0, "lines": nil},
		},
		{ID: "event-3", Type: "thing.c", Extensions: map[string]string{}, Due: start.Add(time.Hour), Data: []byte{1}},
	})
}

func TestRoutes(t *testing.T) {
	host := routed("POST /orders/{id}", func(request *sandbus.Request) (*sandbus.Response, error) {
		var given order
		if err := request.JSON(&given); err != nil {
			return nil, err
		}
		switch request.Query().Get("case") {
		case "problem":
			return nil, &sandbus.Problem{Status: 409, Detail: "it is there", Code: "duplicate"}
		case "retry":
			return nil, sandbus.Retry("later")
		case "reject":
			return nil, sandbus.Reject("never")
		case "failed":
			return nil, errors.New("the password is 1234")
		case "panic":
			panic("the password is 1234")
		case "nothing":
			return nil, nil
		case "status":
			return &sandbus.Response{Status: 100}, nil
		}
		headers := sandbus.Header{"Set-Cookie": {"a=1", "b=2"}}
		return &sandbus.Response{Status: 201, JSON: request.Params["id"], Headers: headers}, nil
	})
	send := func(parameters string) sandbustest.RouteResponse {
		return host.Request("POST /orders/a%20b"+parameters, sandbustest.RequestOptions{JSON: order{}})
	}
	made := send("")
	expect(t, []any{made.Status, made.JSON()}, []any{201, "a b"})
	expect(t, made.HeaderValues("set-cookie"), []string{"a=1", "b=2"})
	expect(t, made.Header("content-type"), "application/json")
	expect(t, send("?case=nothing").Status, 204)
	problem := send("?case=problem")
	expect(t, problem.Header("content-type"), "application/problem+json")
	expect(t, problem.JSON(), map[string]any{
		"status": 409.0, "title": "Conflict", "detail": "it is there", "code": "duplicate",
	})
	expect(t, []int{send("?case=retry").Status, send("?case=reject").Status}, []int{503, 422})
	for _, parameters := range []string{"?case=failed", "?case=panic"} {
		response := send(parameters)
		expect(t, response.Status, 500)
		if strings.Contains(response.Text(), "1234") {
			t.Error("only the log gets the text of an error")
		}
		logs := host.Logs()
		if !strings.Contains(logs[len(logs)-1], "route POST /orders/{id} failed: ") {
			t.Error(logs)
		}
	}
	expect(t, send("?case=status").Status, 500)
	expect(t, host.Request("POST /orders/1", sandbustest.RequestOptions{Text: "a"}).Status, 415)
	expect(t, host.Request("POST /orders/1", sandbustest.RequestOptions{Body: []byte("{")}).Status, 422)
}

func TestReplies(t *testing.T) {
	host := routed("POST /orders", func(*sandbus.Request) (*sandbus.Response, error) {
		if _, err := sandbus.Reply("another", "order.priced", 0); err == nil {
			t.Error("the event is not of this request")
		}
		id, err := sandbus.Publish(sandbus.Message{Type: "order.placed"})
		if err != nil {
			return nil, err
		}
		return sandbus.Reply(id, "order.priced", 0)
	})
	expect(t, host.Request("POST /orders").Status, 200)
	expect(t, host.Replies(), []sandbustest.Reply{{ID: "event-1", Pattern: "order.priced", Timeout: 5 * time.Second}})
}

func TestSchedules(t *testing.T) {
	plugin := &sandbus.Plugin{Name: "clock"}
	var due time.Time
	plugin.Schedule("daily", "0 9 * * *", func(tick *sandbus.Tick) error { due = tick.Due; return nil },
		sandbus.ScheduleOptions{Timezone: "Europe/Vienna", Missed: sandbus.MissedSkip, Data: 1})
	host := sandbustest.New(plugin, sandbustest.Options{})
	at := time.Date(2030, 5, 1, 9, 0, 0, 0, time.UTC)
	expect(t, host.Tick("daily", at), sandbustest.Outcome{Outcome: "ack"})
	expect(t, due, at)
}

func TestSubscriptionsAtRunTime(t *testing.T) {
	host := handling(func(any, *sandbus.Event) error {
		return errors.Join(
			sandbus.Subscribe(sandbus.Subscription{Name: "a", Pattern: "b.>", To: sandbus.PluginTarget("c")}),
			sandbus.Subscribe(sandbus.Subscription{Name: "d", Pattern: "e", To: sandbus.Webhook{URL: "https://f.example"}}),
			sandbus.Unsubscribe("a"),
		)
	})
	expect(t, host.Deliver("thing", nil), sandbustest.Outcome{Outcome: "ack"})
	expect(t, host.Subscriptions(), map[string]sandbus.Subscription{
		"d": {Name: "d", Pattern: "e", To: sandbus.Webhook{URL: "https://f.example"}},
	})
	refused := handling(func(any, *sandbus.Event) error {
		return sandbus.Subscribe(sandbus.Subscription{Name: "a", Pattern: "a..b", To: sandbus.PluginTarget("c")})
	})
	expect(t, refused.Deliver("thing", nil).Outcome, "reject")
}

func TestConfiguration(t *testing.T) {
	plugin := &sandbus.Plugin{Name: "a", Config: map[string]sandbus.ConfigKey{"greeting": {Default: "Hello"}, "key": {}}}
	host := sandbustest.New(plugin, sandbustest.Options{Config: map[string]string{"other": "set"}})
	_ = host.Run(func() error {
		greeting, exists := config.Get("greeting")
		expect(t, []any{greeting, exists}, []any{"Hello", true})
		other, err := config.Require("other")
		expect(t, []any{other, err}, []any{"set", nil})
		if _, err := config.Require("key"); err == nil || !strings.Contains(err.Error(), "[config]") {
			t.Error(err)
		}
		return nil
	})
}

func TestRequestsToOtherServices(t *testing.T) {
	host := handling(func(any, *sandbus.Event) error {
		response, err := client.Post("https://pay.example/charges", order{ID: 7})
		if err != nil {
			return err
		}
		if err := response.Success(); err != nil {
			return err
		}
		var paid struct{ OK bool }
		return response.JSON(&paid)
	})
	outcome := host.Deliver("thing", nil)
	expect(t, []string{outcome.Outcome, outcome.Cause}, []string{"retry", "request"})
	host.Answers("POST https://pay.example/*", sandbus.Response{JSON: map[string]bool{"ok": true}})
	expect(t, host.Deliver("thing", nil).Outcome, "ack")
	sent := host.Sent()[1]
	expect(t, string(sent.Body), `{"id":7,"lines":null}`)
	expect(t, sent.Headers, map[string][]string{"content-type": {"application/json"}})
}

func TestLogLines(t *testing.T) {
	host := handling(func(any, *sandbus.Event) error {
		slog.With("a", 1).WithGroup("g").Warn("hello", "b", "c", slog.Group("h", "i", true))
		return nil
	})
	host.Deliver("thing", nil)
	expect(t, host.Logs(), []string{"hello a=1 g.b=c g.h.i=true"})
}

func TestMistakesInDeclarationsPanic(t *testing.T) {
	none := func(any, *sandbus.Event) error { return nil }
	for words, declare := range map[string]func(*sandbus.Plugin){
		"two handlers are called `a-any`": func(plugin *sandbus.Plugin) {
			sandbus.On(plugin, "a.*", none)
			sandbus.On(plugin, "b", none, sandbus.SubscriptionOptions{Name: "a-any"})
		},
		"write a parameter as `{id}`": func(plugin *sandbus.Plugin) { plugin.Route("GET /users/:id", nil) },
		"unknown method":              func(plugin *sandbus.Plugin) { plugin.Route("FETCH /a", nil) },
		"must be release or park": func(plugin *sandbus.Plugin) {
			sandbus.On(plugin, "a", none, sandbus.SubscriptionOptions{DeadLetterPolicy: "keep"})
		},
		"must not be negative": func(plugin *sandbus.Plugin) {
			sandbus.On(plugin, "a", none, sandbus.SubscriptionOptions{Timeout: -1})
		},
		"must be a number of at least 0": func(plugin *sandbus.Plugin) {
			retry := sandbus.RetryPolicy{BackoffMultiplier: math.NaN()}
			sandbus.On(plugin, "a", none, sandbus.SubscriptionOptions{Retry: retry})
		},
	} {
		func() {
			defer func() {
				if said := fmt.Sprint(recover()); !strings.Contains(said, words) {
					t.Errorf("%q lacks %q", said, words)
				}
			}()
			declare(&sandbus.Plugin{Name: "a"})
		}()
	}
}
