package sandbustest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"sandbus"
	"sandbus/internal/header"
	"sandbus/internal/host"
	"sandbus/internal/number"
	"sandbus/internal/payload"
	"sandbus/internal/rule"
)

// functions are the functions that the SDK calls in place of the host's imports.
type functions struct{ fake *FakeHost }

func refuse(kind, format string, arguments ...any) error {
	return &host.Refusal{Kind: kind, Reason: fmt.Sprintf(format, arguments...)}
}

func (f functions) Publish(messages []host.Message) ([]string, error) {
	fake := f.fake
	for _, message := range messages {
		isDeclared := func(pattern string) bool { return rule.Matches(pattern, message.Type) }
		if !slices.ContainsFunc(fake.described.Publishes, isDeclared) {
			return nil, refuse("denied", "the plugin does not declare `%s` among what it publishes", message.Type)
		}
	}
	ids := make([]string, len(messages))
	for index, message := range messages {
		fake.ids++
		ids[index] = fmt.Sprintf("event-%d", fake.ids)
		published := Published{
			ID: ids[index], Type: message.Type, Extensions: map[string]string{}, Due: f.due(message),
		}
		if message.Subject != nil {
			published.Subject = *message.Subject
		}
		for _, extension := range message.Extensions {
			if !rule.IsHostAttribute(extension.Name) {
				published.Extensions[extension.Name] = extension.Value
			}
		}
		data, err := payload.Decode[any](message.Data, message.ContentType)
		if err != nil {
			return nil, refuse("invalid", "the data of `%s` is not what its content type says: %v", message.Type, err)
		}
		published.Data = data
		fake.effects.published = append(fake.effects.published, published)
		fake.published = append(fake.published, ids[index])
	}
	return ids, nil
}

func (f functions) due(message host.Message) time.Time {
	now := f.fake.now
	switch message.Due {
	case host.DueAfterMs:
		return now.Add(time.Duration(message.AfterMs) * time.Millisecond)
	case host.DueAt:
		if at, err := sandbus.ParseTime(message.At); err == nil && at.After(now) {
			return at
		}
	}
	return now
}

func (f functions) Cancel(id string) error {
	f.fake.effects.published = slices.DeleteFunc(f.fake.effects.published, func(event Published) bool {
		return event.ID == id && event.Due.After(f.fake.now)
	})
	return nil
}

func (f functions) Reply(id, pattern string, timeoutMs uint64) error {
	if !slices.Contains(f.fake.published, id) {
		return refuse("invalid", "this invocation has published no event `%s`", id)
	}
	if !rule.IsPattern(pattern) {
		return refuse("invalid", "`%s` is not a pattern of event types", pattern)
	}
	timeout := time.Duration(timeoutMs) * time.Millisecond
	f.fake.effects.replies = append(f.fake.effects.replies, Reply{id, pattern, timeout})
	return nil
}

func (f functions) Subscribe(wire host.RuntimeSubscription) error {
	if !rule.IsPattern(wire.Pattern) {
		return refuse("invalid", "`%s` is not a pattern of event types", wire.Pattern)
	}
	subscription := sandbus.Subscription{Name: wire.Name, Pattern: wire.Pattern}
	if webhook := wire.Webhook; webhook != nil {
		target := sandbus.Webhook{URL: webhook.URL, Handshake: webhook.Handshake}
		if webhook.Secret != nil {
			target.Secret = *webhook.Secret
		}
		subscription.To = target
	} else {
		subscription.To = sandbus.PluginTarget(wire.Plugin)
	}
	f.fake.effects.subscriptions[wire.Name] = subscription
	return nil
}

func (f functions) Unsubscribe(name string) error {
	delete(f.fake.effects.subscriptions, name)
	return nil
}

func (f functions) StateGet(key string) ([]byte, bool, error) {
	value, exists := f.fake.effects.state[key]
	return slices.Clone(value), exists, nil
}

func (f functions) StateSet(key string, value []byte) error {
	f.fake.effects.state[key] = slices.Clone(value)
	return nil
}

func (f functions) StateDelete(key string) error {
	delete(f.fake.effects.state, key)
	return nil
}

func (f functions) StateKeys() ([]string, error) {
	return slices.Sorted(maps.Keys(f.fake.effects.state)), nil
}

func (f functions) StateIncrement(key string, delta int64) (int64, error) {
	value, exists := f.fake.effects.state[key]
	sum, err := number.Sum(value, exists, delta)
	// Adding zero is only a read.
	if err == nil && delta != 0 {
		f.fake.effects.state[key] = strconv.AppendInt(nil, sum, 10)
	}
	return sum, err
}

func (f functions) StateAdd(key string, delta int64) error {
	_, err := f.StateIncrement(key, delta)
	return err
}

func (f functions) StateSequence(name string) (uint64, error) {
	// Numbers are not returned when an invocation fails.
	f.fake.sequences[name]++
	return f.fake.sequences[name], nil
}

func (f functions) ConfigGet(key string) (string, bool, error) {
	if value, exists := f.fake.config[key]; exists {
		return value, true, nil
	}
	for _, declared := range f.fake.described.Config {
		if declared.Name == key && declared.Default != nil {
			return *declared.Default, true, nil
		}
	}
	return "", false, nil
}

func (f functions) Log(level host.Level, context, message string) {
	if level == host.Critical {
		f.fake.cause = context
		return
	}
	f.fake.logs = append(f.fake.logs, message)
}

func (f functions) NowNanoseconds() int64 { return f.fake.now.UnixNano() }

func (f functions) RandomBytes(count int) []byte {
	bytes := make([]byte, count)
	for index := range bytes {
		bytes[index] = byte(index)
	}
	return bytes
}

func (f functions) Send(request host.Call) (host.Answer, error) {
	f.fake.sent = append(f.fake.sent, Sent{
		request.Method, request.URL, header.Received(request.Headers), request.Body,
	})
	target := request.Method + " " + request.URL
	for _, known := range f.fake.answers {
		start, isPrefix := strings.CutSuffix(known.pattern, "*")
		if known.pattern == target || isPrefix && strings.HasPrefix(target, start) {
			return known.answer, nil
		}
	}
	return host.Answer{}, refuse("unreachable",
		"the test has no response to `%s`; set one with FakeHost.Answers", target)
}
