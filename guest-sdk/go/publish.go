package sandbus

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sandbus/internal/host"
	"sandbus/internal/payload"
)

// Message is an event to publish.
type Message struct {
	// Type is the event's type.
	Type string
	// Data is the payload. Bytes stay as they are, a string is sent as it is if ContentType is not JSON, and all other
	// values become JSON.
	Data any
	// Subject is the event's subject.
	Subject string
	// Extensions has extension attributes.
	Extensions map[string]string
	// Delay is a delay before the event enters the log.
	Delay time.Duration
	// At is the time at which the event enters the log. The zero time is now.
	At time.Time
	// ContentType is the media type of Data. By default it is application/json, and application/octet-stream for bytes.
	ContentType string
	// Schema is the URI of the schema of Data.
	Schema string
}

// Publish publishes an event with this invocation's commit, and returns its id, which is the same at every attempt.
func Publish(message Message) (string, error) {
	ids, err := PublishMany([]Message{message})
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

// PublishMany publishes several events, all or none, and returns their ids in order.
func PublishMany(messages []Message) ([]string, error) {
	wire := make([]host.Message, len(messages))
	for index, message := range messages {
		converted, err := message.wire()
		if err != nil {
			return nil, fmt.Errorf("publish %s: %w", message.Type, err)
		}
		wire[index] = converted
	}
	ids, err := host.Current().Publish(wire)
	return ids, busError(err)
}

func (message Message) wire() (host.Message, error) {
	mediaType, data, err := payload.Encode(message.Data, message.ContentType, "the data")
	wire := host.Message{
		Type:        message.Type,
		Subject:     payload.Text(message.Subject),
		ContentType: payload.Text(mediaType),
		Schema:      payload.Text(message.Schema),
		Data:        data,
	}
	if err != nil {
		return wire, err
	}
	for name, value := range message.Extensions {
		wire.Extensions = append(wire.Extensions, host.Pair{Name: name, Value: value})
	}
	slices.SortFunc(wire.Extensions, func(one, other host.Pair) int { return strings.Compare(one.Name, other.Name) })
	delay, err := payload.Milliseconds(message.Delay, "Delay")
	if delay != nil && !message.At.IsZero() {
		return wire, errors.New("it has Delay and At; choose one")
	}
	if delay != nil {
		wire.Due, wire.AfterMs = host.DueAfterMs, *delay
	} else if !message.At.IsZero() {
		wire.Due, wire.At = host.DueAt, formatTime(message.At)
	}
	return wire, err
}

// Cancel cancels a delayed event that this plugin published. It is not an error if the event has already entered the log
// or does not exist.
func Cancel(id string) error { return busError(host.Current().Cancel(id)) }

// defaultReplyTimeout is the timeout of a reply for which the handler sets none.
const defaultReplyTimeout = 5 * time.Second

// Reply makes the client wait for a reply. This request must have published the event with an id. After the commit, the
// client gets the data of the first event in the same cause tree that matches the pattern. If no such event arrives within
// the timeout (5 s if it is zero, at most a minute), the client gets a 504. The reply's extensions can set the status
// (`httpstatus: "402"`) and headers (`httpheaders: "{\"retry-after\":\"30\"}"`).
func Reply(id, pattern string, timeout time.Duration) (*Response, error) {
	if timeout == 0 {
		timeout = defaultReplyTimeout
	}
	milliseconds, err := payload.Milliseconds(timeout, "the timeout of a reply")
	if err != nil {
		return nil, err
	}
	if err := host.Current().Reply(id, pattern, *milliseconds); err != nil {
		return nil, busError(err)
	}
	return &Response{Status: 200}, nil
}

// Target is the receiver of a subscription that is created at run time: a PluginTarget or a Webhook.
type Target interface {
	target(*host.RuntimeSubscription)
}

// PluginTarget is the name of a plugin, whose handlers get the events.
type PluginTarget string

func (name PluginTarget) target(wire *host.RuntimeSubscription) { wire.Plugin = string(name) }

// Webhook is an HTTP endpoint, whose host the operator must have granted.
type Webhook struct {
	// URL is its address.
	URL string
	// Secret signs the requests (Standard Webhooks): `whsec_`, followed by bytes in base64.
	Secret string
	// Handshake says whether the endpoint must first agree to receive events.
	Handshake bool
}

func (webhook Webhook) target(wire *host.RuntimeSubscription) {
	wire.Webhook = &host.Webhook{
		URL: webhook.URL, Secret: payload.Text(webhook.Secret), Handshake: webhook.Handshake,
	}
}

// Subscription is a subscription that is created at run time.
type Subscription struct {
	// Name is unique among those that this plugin created.
	Name string
	// Pattern is the pattern of its event types.
	Pattern string
	// To is the receiver of its deliveries.
	To Target
	// Filters are filters on the events' attributes. All must match.
	Filters []Filter
	// Start says where a new subscription starts in the log.
	Start Start
	// Concurrency is the limit of deliveries in flight.
	Concurrency uint32
	// OrderingKey is the key by which events stay in order.
	OrderingKey string
	// DeadLetterPolicy says what happens to later deliveries with the ordering key of a dead letter.
	DeadLetterPolicy DeadLetterPolicy
	// Retry says when a failed delivery is retried.
	Retry RetryPolicy
}

// Subscribe creates a durable subscription, or replaces the one with this name that the plugin created before. The
// subscription then keeps its position.
func Subscribe(subscription Subscription) error {
	if subscription.To == nil {
		return fmt.Errorf("subscribe %s: it has no target; set To", subscription.Name)
	}
	rules, err := SubscriptionOptions{
		Filters:          subscription.Filters,
		Start:            subscription.Start,
		Concurrency:      subscription.Concurrency,
		OrderingKey:      subscription.OrderingKey,
		DeadLetterPolicy: subscription.DeadLetterPolicy,
		Retry:            subscription.Retry,
	}.rules()
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", subscription.Name, err)
	}
	wire := host.RuntimeSubscription{Name: subscription.Name, Pattern: subscription.Pattern, Rules: rules}
	subscription.To.target(&wire)
	return busError(host.Current().Subscribe(wire))
}

// Unsubscribe deletes a subscription that this plugin created. A subscription that does not exist is not an error.
func Unsubscribe(name string) error { return busError(host.Current().Unsubscribe(name)) }
