// Package state has the plugin's own durable state.
//
// Reads see one snapshot and this invocation's own writes. If another invocation changes a value that this one has read,
// this invocation is discarded and runs again. So reading, changing and writing a value is safe without locks.
package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sandbus/internal/host"
	"sandbus/internal/number"
	"sandbus/internal/payload"
)

// Error says that the state refused a call. If a handler returns it, the delivery is rejected. If the kind is `other`, the
// delivery is retried, because another attempt may succeed.
type Error struct {
	// Kind is `unreadable`, `not-a-number`, `out-of-range`, `limit` or `other`.
	Kind string
	// Reason is an explanation.
	Reason string
}

func (err *Error) Error() string { return err.Reason }

// Permanent says whether the state would refuse the same call again.
func (err *Error) Permanent() bool { return err.Kind != "other" }

// Get returns the value of a key, parsed as JSON, and whether the key exists.
func Get[T any](key string) (value T, exists bool, err error) {
	data, exists, err := GetBytes(key)
	if err != nil || !exists {
		return value, exists, err
	}
	if err := payload.Unmarshal(data, &value); err != nil {
		reason := fmt.Sprintf("the value of `%s` is not JSON that fits %T; GetBytes reads it (%v)", key, value, err)
		return value, true, &Error{"unreadable", reason}
	}
	return value, true, nil
}

// Set sets the value of a key, as JSON.
func Set(key string, value any) error {
	data, err := payload.Marshal(value, "the value of `"+key+"`")
	if err != nil {
		return err
	}
	return SetBytes(key, data)
}

// GetBytes returns the value of a key as bytes, and whether the key exists.
func GetBytes(key string) (value []byte, exists bool, err error) {
	value, exists, err = host.Current().StateGet(key)
	return value, exists, refused(err, key)
}

// SetBytes sets the value of a key to bytes.
func SetBytes(key string, value []byte) error {
	return refused(host.Current().StateSet(key, value), key)
}

// Delete deletes a key. A key that does not exist is not an error.
func Delete(key string) error { return refused(host.Current().StateDelete(key), key) }

// Exists says whether a key has a value.
func Exists(key string) (bool, error) {
	_, exists, err := GetBytes(key)
	return exists, err
}

// Keys returns all keys that start with a prefix, in ascending order.
func Keys(prefix string) ([]string, error) {
	keys, err := host.Current().StateKeys()
	if err != nil {
		return nil, refused(err, prefix)
	}
	found := slices.DeleteFunc(keys, func(key string) bool { return !strings.HasPrefix(key, prefix) })
	slices.Sort(found)
	return found, nil
}

// Increment adds to a number that starts at zero, and returns the sum. This counts as a read: if another invocation
// changes the number first, this one runs again. So no two invocations get the same sum.
func Increment(key string, delta int64) (int64, error) {
	sum, err := host.Current().StateIncrement(key, delta)
	if err == nil {
		return sum, nil
	}
	// `wasi:keyvalue` has one error for all reasons, so the value shows the reason.
	if value, exists, unread := host.Current().StateGet(key); unread == nil {
		if _, reason := number.Sum(value, exists, delta); reason != nil {
			err = reason
		}
	}
	return 0, refused(err, key)
}

// Add adds to a number that starts at zero, and returns nothing. Concurrent additions are merged, so no invocation runs
// again for them. Use it for counters. Get reads them.
func Add(key string, delta int64) error { return refused(host.Current().StateAdd(key, delta), key) }

// Sequence returns the next number of a sequence, which starts at 1. Each number is given out once, and no invocation runs
// again for it. An invocation that fails leaves a gap. Use it for ids.
func Sequence(name string) (uint64, error) {
	next, err := host.Current().StateSequence(name)
	return next, refused(err, name)
}

// refused converts the host's errors.
func refused(err error, key string) error {
	var refusal *host.Refusal
	if !errors.As(err, &refusal) {
		return err
	}
	kind, reason := refusal.Kind, refusal.Reason
	switch kind {
	case "not-a-number":
		reason = fmt.Sprintf("the value of `%s` is not a number", key)
	case "out-of-range":
		reason = fmt.Sprintf("the number at `%s` exceeds the range of signed 64 bits", key)
	case "limit":
	default:
		if reason == "" {
			reason = kind
		}
		kind = "other"
	}
	return &Error{kind, "the state refused the call: " + reason}
}
