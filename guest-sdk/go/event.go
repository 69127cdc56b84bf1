package sandbus

import (
	"strconv"
	"time"

	"sandbus/internal/host"
)

// Event is an event with its attributes and its delivery. Attributes that the event lacks are empty.
type Event struct {
	// ID is the same at every attempt. Pass it to other services as an idempotency key.
	ID      string
	Source  string
	Type    string
	Subject string
	// Time is when the event happened, in RFC 3339. ParseTime parses it.
	Time        string
	ContentType string
	Schema      string
	Extensions  map[string]string
	// Bytes is the payload as it was received.
	Bytes []byte
	// Subscription is the name of the subscription that the delivery belongs to.
	Subscription string
	// Attempt is the number of this attempt, from 1.
	Attempt int
	// Replay says whether an operator replays past events.
	Replay bool
}

// Causation is the id of the event that was being handled when this one was published. The extension attribute
// `causationsource` is its source.
func (event *Event) Causation() string { return event.Extensions["causationid"] }

// Correlation is the correlation id of the cause tree: the id of its first event, whose source is the extension attribute
// `correlationsource`. If a client waits for a reply, it is an id that the host created.
func (event *Event) Correlation() string { return event.Extensions["correlationid"] }

// Hops is the number of steps from the first event of the cause tree.
func (event *Event) Hops() int {
	hops, err := strconv.Atoi(event.Extensions["hops"])
	if err != nil || hops < 0 {
		return 0
	}
	return hops
}

// Tick is a scheduled time at which a handler runs.
type Tick struct {
	// Due is the scheduled time. It is before now if the time was missed, or if the delivery is retried.
	Due     time.Time
	Attempt int
	Event   *Event
}

func eventOf(delivery host.Delivery) *Event {
	text := func(text *string) string {
		if text == nil {
			return ""
		}
		return *text
	}
	event := &Event{
		ID:           delivery.ID,
		Source:       delivery.Source,
		Type:         delivery.Type,
		Subject:      text(delivery.Subject),
		Time:         text(delivery.Time),
		ContentType:  text(delivery.ContentType),
		Schema:       text(delivery.Schema),
		Extensions:   make(map[string]string, len(delivery.Extensions)),
		Subscription: delivery.Subscription,
		Attempt:      int(delivery.Attempt),
		Replay:       delivery.Replay,
	}
	for _, extension := range delivery.Extensions {
		event.Extensions[extension.Name] = extension.Value
	}
	if delivery.Data != nil {
		event.Bytes = *delivery.Data
	}
	return event
}
