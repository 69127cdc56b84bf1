// A plugin that uses each function of the SDK, and each option.
package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"sandbus"
	"sandbus/client"
	"sandbus/config"
	"sandbus/state"
)

func main() { sandbus.Serve(plugin()) }

func plugin() *sandbus.Plugin {
	plugin := &sandbus.Plugin{
		Version:     "1.2.3",
		Description: "Uses everything",
		Publishes:   []string{"done.>", "price.asked"},
		Subscribes:  []string{"late.>"},
		Config: map[string]sandbus.ConfigKey{
			"greeting": {Default: "Hello", Description: "How it greets"},
			"key":      {},
		},
	}
	sandbus.On(plugin, "order.>", placed, sandbus.SubscriptionOptions{
		Name:             "orders",
		Filters:          []sandbus.Filter{{Not: &sandbus.Filter{Exact: map[string]string{"source": "/ignored"}}}},
		Start:            sandbus.StartBeginning,
		Concurrency:      2,
		OrderingKey:      "/customer",
		DeadLetterPolicy: sandbus.DeadLetterPark,
		MaxBacklog:       1000,
		Retry: sandbus.RetryPolicy{
			MaxAttempts:       3,
			InitialDelay:      10 * time.Millisecond,
			BackoffMultiplier: 1.5,
			MaxDelay:          time.Second,
			Jitter:            sandbus.NoJitter,
			NonRetryable:      []string{"exception"},
		},
		Timeout: 5 * time.Second,
	})
	sandbus.On(plugin, "late.*", func(data any, event *sandbus.Event) error {
		_, err := state.Increment("late", 1)
		return err
	})
	plugin.Schedule("daily", "0 9 * * *", func(tick *sandbus.Tick) error {
		return state.Set("daily", tick.Due)
	}, sandbus.ScheduleOptions{Timezone: "Europe/Vienna", Missed: sandbus.MissedSkip, Data: map[string]int{"a": 1}})
	plugin.Route("POST /everything-go/calls", calls)
	plugin.Route("GET /everything-go/items/{id}", item)
	plugin.Route("POST /everything-go/prices", prices)
	plugin.Route("POST /everything-go/rates", rates)
	return plugin
}

type order struct {
	ID       int64  `json:"id"`
	Customer string `json:"customer"`
	Do       string `json:"do"`
}

// placed has the outcome that the order asks for.
func placed(data order, event *sandbus.Event) error {
	if err := state.Add("orders/"+data.Customer, 1); err != nil {
		return err
	}
	switch data.Do {
	case "retry":
		if event.Attempt == 1 {
			return sandbus.RetryAfter(time.Millisecond, "once more")
		}
	case "reject":
		return sandbus.Reject("the order is refused")
	case "panic":
		var none *order
		slog.Info(none.Customer)
	case "fail":
		return errors.New("the order failed")
	case "exit":
		fmt.Fprintln(os.Stderr, "no way out")
		os.Exit(3)
	}
	number, err := state.Sequence("numbers")
	if err != nil {
		return err
	}
	slog.Info("order", "id", data.ID, "number", number, "attempt", event.Attempt)
	_, err = sandbus.Publish(sandbus.Message{
		Type:       "done." + data.Customer,
		Data:       map[string]any{"id": data.ID, "of": event.ID, "source": event.Source, "time": event.Time},
		Subject:    fmt.Sprintf("order-%d", data.ID),
		Extensions: map[string]string{"tenant": event.Extensions["tenant"]},
		Schema:     "https://example.com/done.json",
	})
	return err
}

// calls uses the functions of the host, and returns what they returned.
func calls(request *sandbus.Request) (*sandbus.Response, error) {
	found := map[string]any{"method": request.Method, "query": request.Query().Get("a"), "header": request.Header("x-a")}
	greeting, _ := config.Get("greeting")
	_, hasKey := config.Get("key")
	found["greeting"], found["hasKey"] = greeting, hasKey

	first := errors.Join(
		state.Set("a/1", []int{1, 2}), state.SetBytes("a/2", []byte{0xff, 0}), state.Set("a/3", "x"), state.Delete("a/3"),
	)
	value, _, err := state.Get[[]int]("a/1")
	bytes, _, bytesErr := state.GetBytes("a/2")
	_, missing, missingErr := state.GetBytes("a/3")
	keys, keysErr := state.Keys("a/")
	sum, sumErr := state.Increment("sum", -5)
	_, notANumber := state.Increment("a/1", 1)
	var refused *state.Error
	if !errors.As(notANumber, &refused) {
		return nil, notANumber
	}
	found["value"], found["bytes"], found["missing"], found["keys"] = value, bytes, missing, keys
	found["sum"], found["notANumber"] = sum, refused.Kind

	ids, publishErr := sandbus.PublishMany([]sandbus.Message{
		{Type: "done.now", Data: []byte{1, 2, 3}},
		{Type: "done.later", Data: "text", ContentType: "text/plain", Delay: time.Hour},
		{Type: "done.at", At: sandbus.Now().Add(time.Hour)},
	})
	cancelErr := sandbus.Cancel(ids[1])
	_, denied := sandbus.Publish(sandbus.Message{Type: "other"})
	var refusedByBus *sandbus.BusError
	if !errors.As(denied, &refusedByBus) {
		return nil, fmt.Errorf("it is not denied: %w", denied)
	}
	found["ids"], found["denied"] = len(ids), refusedByBus.Kind

	subscribeErr := errors.Join(
		sandbus.Subscribe(sandbus.Subscription{
			Name: "late", Pattern: "late.>", To: sandbus.PluginTarget("everything-go"),
			Start: sandbus.StartAtPosition(1), OrderingKey: "subject", Retry: sandbus.RetryPolicy{MaxAttempts: 2},
		}),
		sandbus.Subscribe(sandbus.Subscription{Name: "brief", Pattern: "late.a", To: sandbus.PluginTarget("everything-go")}),
		sandbus.Unsubscribe("brief"),
	)

	var waits sync.WaitGroup
	sums := make([]int64, 4)
	for index := range sums {
		waits.Add(1)
		go func() {
			defer waits.Done()
			time.Sleep(time.Millisecond)
			sums[index], _ = state.Increment("parallel", 1)
		}()
	}
	waits.Wait()
	found["parallel"] = sums[0] + sums[1] + sums[2] + sums[3]

	random := sandbus.RandomBytes(16)
	found["random"] = len(random)
	found["sameTime"] = time.Since(sandbus.Now()).Abs() < time.Second
	all := errors.Join(
		first, err, bytesErr, missingErr, keysErr, sumErr, publishErr, cancelErr, subscribeErr,
	)
	return &sandbus.Response{JSON: found, Headers: sandbus.Header{"X-B": {"1", "2"}}}, all
}

// item has the response that the id asks for.
func item(request *sandbus.Request) (*sandbus.Response, error) {
	if err := state.Set("item", request.Params["id"]); err != nil {
		return nil, err
	}
	switch request.Params["id"] {
	case "none":
		return nil, nil
	case "problem":
		return nil, &sandbus.Problem{Status: 404, Detail: "there is no such item", Code: "no-item"}
	case "panic":
		panic("the password is 1234")
	case "text":
		return &sandbus.Response{Status: 203, Text: "grüezi"}, nil
	default:
		var stored string
		_, _, err := state.Get[string]("item")
		return &sandbus.Response{JSON: request.Params["id"] + stored}, err
	}
}

// prices lets the client wait for the reply of another plugin.
func prices(request *sandbus.Request) (*sandbus.Response, error) {
	var asked any
	if err := request.JSON(&asked); err != nil {
		return nil, err
	}
	id, err := sandbus.Publish(sandbus.Message{Type: "price.asked", Data: asked})
	if err != nil {
		return nil, err
	}
	return sandbus.Reply(id, "done.>", 2*time.Second)
}

// rates sends a request to the URL in the body.
func rates(request *sandbus.Request) (*sandbus.Response, error) {
	response, err := client.Send(client.Request{
		Method: "post", URL: request.Text(), JSON: map[string]int{"a": 1},
		Headers: map[string][]string{"x-a": {"1", "2"}}, Timeout: 2 * time.Second,
	})
	var failed *client.Error
	if errors.As(err, &failed) {
		return &sandbus.Response{JSON: map[string]any{"kind": failed.Kind, "permanent": failed.Permanent()}}, nil
	}
	if err != nil {
		return nil, err
	}
	body := map[string]any{"status": response.Status, "text": response.Text(), "header": response.Header("content-type")}
	return &sandbus.Response{JSON: body}, nil
}
