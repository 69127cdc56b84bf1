//go:build wasip1

package component

import (
	"runtime"
	"sync"
	"unsafe"

	"sandbus/internal/host"
)

//go:wasmimport sandbus:plugin/bus@0.1.0 publish-many
func busPublishMany(messages, count uint32, result unsafe.Pointer)

//go:wasmimport sandbus:plugin/bus@0.1.0 cancel
func busCancel(id string, result unsafe.Pointer)

//go:wasmimport sandbus:plugin/bus@0.1.0 reply
func busReply(id, pattern string, timeoutMs uint64, result unsafe.Pointer)

//go:wasmimport sandbus:plugin/bus@0.1.0 subscribe
func busSubscribe(subscription uint32, result unsafe.Pointer)

//go:wasmimport sandbus:plugin/bus@0.1.0 unsubscribe
func busUnsubscribe(name string, result unsafe.Pointer)

//go:wasmimport sandbus:plugin/numbers@0.2.0 add
func numbersAdd(key string, delta int64, result unsafe.Pointer)

//go:wasmimport sandbus:plugin/numbers@0.2.0 sequence
func numbersSequence(name string, result unsafe.Pointer)

//go:wasmimport wasi:keyvalue/store@0.2.0-draft2 open
func storeOpen(name string, result unsafe.Pointer)

//go:wasmimport wasi:keyvalue/store@0.2.0-draft2 [resource-drop]bucket
func bucketDrop(bucket uint32)

//go:wasmimport wasi:keyvalue/store@0.2.0-draft2 [method]bucket.get
func bucketGet(bucket uint32, key string, result unsafe.Pointer)

//go:wasmimport wasi:keyvalue/store@0.2.0-draft2 [method]bucket.set
func bucketSet(bucket uint32, key string, value unsafe.Pointer, length uint32, result unsafe.Pointer)

//go:wasmimport wasi:keyvalue/store@0.2.0-draft2 [method]bucket.delete
func bucketDelete(bucket uint32, key string, result unsafe.Pointer)

//go:wasmimport wasi:keyvalue/store@0.2.0-draft2 [method]bucket.list-keys
func bucketListKeys(bucket, hasCursor uint32, cursor string, result unsafe.Pointer)

//go:wasmimport wasi:keyvalue/atomics@0.2.0-draft2 increment
func atomicsIncrement(bucket uint32, key string, delta int64, result unsafe.Pointer)

//go:wasmimport wasi:config/store@0.2.0-rc.1 get
func configGet(key string, result unsafe.Pointer)

//go:wasmimport wasi:logging/logging@0.1.0-draft log
func loggingLog(level uint32, context, message string)

//go:wasmimport wasi:clocks/wall-clock@0.2.0 now
func clockNow(result unsafe.Pointer)

//go:wasmimport wasi:random/random@0.2.0 get-random-bytes
func randomBytes(count uint64, result unsafe.Pointer)

//go:wasmimport sandbus:plugin/client@0.1.0 send
func clientSend(
	method, url string, headers, headerCount uint32, body unsafe.Pointer, bodyLength uint32,
	hasTimeout uint32, timeoutMs uint64, result unsafe.Pointer,
)

// imports is the host behind the contract's imports.
type imports struct{}

// calls makes goroutines call the host one at a time, because the memory of a result is used again for the next one.
var calls sync.Mutex

// area is where the host writes a result. The largest one has 24 bytes.
type area [4]uint64

// called calls an import, and reads its result from the area.
func called[T any](call func(result unsafe.Pointer), read func(r *reader) (T, error)) (T, error) {
	calls.Lock()
	defer calls.Unlock()
	result := new(area)
	call(unsafe.Pointer(result))
	value, err := read(&reader{cursor{uint32(uintptr(unsafe.Pointer(result)))}})
	runtime.KeepAlive(result)
	release()
	return value, err
}

// result reads a `result`, whose value and error begin at an alignment. The errors are texts in a variant.
func result[T any](r *reader, alignment uint32, kinds []string, read func(r *reader) T) (T, error) {
	failed := r.u8() == 1
	r.align(alignment)
	if !failed {
		return read(r), nil
	}
	refusal := &host.Refusal{Kind: kinds[r.u8()]}
	// Cases without a text come first, and have none in the area.
	if refusal.Kind != "" && !textless[refusal.Kind] {
		refusal.Reason = r.string()
	}
	var none T
	return none, refusal
}

func nothing(*reader) struct{} { return struct{}{} }

// The names of errors, in the order of the contract.
var (
	busErrors    = []string{"denied", "invalid", "limit"}
	numberErrors = []string{"not-a-number", "out-of-range", "limit", "other"}
	storeErrors  = []string{"no-such-store", "access-denied", "other"}
	configErrors = []string{"upstream", "io"}
	clientErrors = []string{"denied", "invalid", "timeout", "unreachable"}
)

var textless = map[string]bool{
	"not-a-number": true, "out-of-range": true, "no-such-store": true, "access-denied": true, "timeout": true,
}

// done calls an import that returns nothing but an error.
func done(kinds []string, call func(result unsafe.Pointer)) error {
	_, err := called(call, func(r *reader) (struct{}, error) { return result(r, 4, kinds, nothing) })
	return err
}

func (imports) Publish(messages []host.Message) ([]string, error) {
	var kept arena
	w := writer{cursor: cursor{kept.allocate(8)}, arena: &kept}
	at := reader{w.cursor}
	list(&w, messages, 8, (*writer).message)
	address, count := at.u32(), at.u32()
	ids, err := called(
		func(result unsafe.Pointer) { busPublishMany(address, count, result) },
		func(r *reader) ([]string, error) { return result(r, 4, busErrors, (*reader).strings) },
	)
	runtime.KeepAlive(&kept)
	return ids, err
}

func (w *writer) message(message host.Message) {
	w.string(message.Type)
	w.optionalString(message.Subject)
	w.optionalString(message.ContentType)
	w.optionalString(message.Schema)
	w.pairs(message.Extensions)
	w.optionalBytes(message.Data)
	w.align(8)
	w.u8(uint8(message.Due))
	w.align(8)
	if message.Due == host.DueAt {
		w.string(message.At)
	} else {
		w.u64(message.AfterMs)
	}
}

func (r *reader) strings() []string {
	address, length := r.u32(), r.u32()
	elements, texts := reader{cursor{address}}, make([]string, length)
	for index := range texts {
		texts[index] = elements.string()
	}
	return texts
}

func (imports) Cancel(id string) error {
	return done(busErrors, func(result unsafe.Pointer) { busCancel(id, result) })
}

func (imports) Reply(id, pattern string, timeoutMs uint64) error {
	return done(busErrors, func(result unsafe.Pointer) { busReply(id, pattern, timeoutMs, result) })
}

func (imports) Subscribe(subscription host.RuntimeSubscription) error {
	var kept arena
	address := written(&kept, subscription, 8, (*writer).runtimeSubscription)
	err := done(busErrors, func(result unsafe.Pointer) { busSubscribe(address, result) })
	runtime.KeepAlive(&kept)
	return err
}

func (w *writer) runtimeSubscription(subscription host.RuntimeSubscription) {
	rules := subscription.Rules
	w.string(subscription.Name)
	w.string(subscription.Pattern)
	w.optionalString(rules.Filters)
	w.target(subscription)
	w.start(rules.Start)
	w.optionalU32(rules.Concurrency)
	w.optionalString(rules.OrderingKey)
	w.deadLetterPolicy(rules.DeadLetterPolicy)
	w.retry(rules.Retry)
}

// target writes the variant of a plugin's name and a webhook, which has 28 bytes.
func (w *writer) target(subscription host.RuntimeSubscription) {
	w.align(4)
	end := w.address + 28
	if webhook := subscription.Webhook; webhook != nil {
		w.u8(1)
		w.string(webhook.URL)
		w.optionalString(webhook.Secret)
		w.bool(webhook.Handshake)
	} else {
		w.u8(0)
		w.string(subscription.Plugin)
	}
	w.address = end
}

func (imports) Unsubscribe(name string) error {
	return done(busErrors, func(result unsafe.Pointer) { busUnsubscribe(name, result) })
}

// inBucket calls a function with the plugin's state.
func inBucket[T any](use func(bucket uint32) (T, error)) (T, error) {
	bucket, err := called(
		func(result unsafe.Pointer) { storeOpen("", result) },
		func(r *reader) (uint32, error) { return result(r, 4, storeErrors, (*reader).u32) },
	)
	if err != nil {
		var none T
		return none, err
	}
	defer bucketDrop(bucket)
	return use(bucket)
}

func (imports) StateGet(key string) ([]byte, bool, error) {
	value, err := inBucket(func(bucket uint32) (*[]byte, error) {
		return called(
			func(result unsafe.Pointer) { bucketGet(bucket, key, result) },
			func(r *reader) (*[]byte, error) {
				return result(r, 4, storeErrors, func(r *reader) *[]byte { return optional(r, (*reader).bytes) })
			},
		)
	})
	if value == nil {
		return nil, false, err
	}
	return *value, true, nil
}

func (imports) StateSet(key string, value []byte) error {
	_, err := inBucket(func(bucket uint32) (struct{}, error) {
		return struct{}{}, done(storeErrors, func(result unsafe.Pointer) {
			bucketSet(bucket, key, unsafe.Pointer(unsafe.SliceData(value)), uint32(len(value)), result)
		})
	})
	return err
}

func (imports) StateDelete(key string) error {
	_, err := inBucket(func(bucket uint32) (struct{}, error) {
		return struct{}{}, done(storeErrors, func(result unsafe.Pointer) { bucketDelete(bucket, key, result) })
	})
	return err
}

func (imports) StateKeys() ([]string, error) {
	type page struct {
		keys   []string
		cursor *string
	}
	return inBucket(func(bucket uint32) ([]string, error) {
		var keys []string
		hasCursor, cursor := uint32(0), ""
		for {
			found, err := called(
				func(result unsafe.Pointer) { bucketListKeys(bucket, hasCursor, cursor, result) },
				func(r *reader) (page, error) {
					return result(r, 4, storeErrors, func(r *reader) page {
						return page{r.strings(), optional(r, (*reader).string)}
					})
				},
			)
			if err != nil {
				return nil, err
			}
			keys = append(keys, found.keys...)
			if found.cursor == nil {
				return keys, nil
			}
			hasCursor, cursor = 1, *found.cursor
		}
	})
}

func (imports) StateIncrement(key string, delta int64) (int64, error) {
	return inBucket(func(bucket uint32) (int64, error) {
		return called(
			func(result unsafe.Pointer) { atomicsIncrement(bucket, key, delta, result) },
			func(r *reader) (int64, error) {
				sum, err := result(r, 8, storeErrors, (*reader).u64)
				return int64(sum), err
			},
		)
	})
}

func (imports) StateAdd(key string, delta int64) error {
	return done(numberErrors, func(result unsafe.Pointer) { numbersAdd(key, delta, result) })
}

func (imports) StateSequence(name string) (uint64, error) {
	return called(
		func(result unsafe.Pointer) { numbersSequence(name, result) },
		func(r *reader) (uint64, error) { return result(r, 8, numberErrors, (*reader).u64) },
	)
}

func (imports) ConfigGet(key string) (string, bool, error) {
	value, err := called(
		func(result unsafe.Pointer) { configGet(key, result) },
		func(r *reader) (*string, error) {
			return result(r, 4, configErrors, func(r *reader) *string { return optional(r, (*reader).string) })
		},
	)
	if value == nil {
		return "", false, err
	}
	return *value, true, nil
}

func (imports) Log(level host.Level, context, message string) {
	loggingLog(uint32(level), context, message)
}

func (imports) NowNanoseconds() int64 {
	now := new(area)
	clockNow(unsafe.Pointer(now))
	return int64(now[0])*1_000_000_000 + int64(uint32(now[1]))
}

func (imports) RandomBytes(count int) []byte {
	bytes, _ := called(
		func(result unsafe.Pointer) { randomBytes(uint64(count), result) },
		func(r *reader) ([]byte, error) { return r.bytes(), nil },
	)
	return bytes
}

func (imports) Send(request host.Call) (host.Answer, error) {
	var kept arena
	w := writer{cursor: cursor{kept.allocate(8)}, arena: &kept}
	at := reader{w.cursor}
	w.pairs(request.Headers)
	headers, headerCount := at.u32(), at.u32()
	hasTimeout, timeout := uint32(0), uint64(0)
	if request.TimeoutMs != nil {
		hasTimeout, timeout = 1, *request.TimeoutMs
	}
	body, length := unsafe.Pointer(unsafe.SliceData(request.Body)), uint32(len(request.Body))
	answer, err := called(
		func(result unsafe.Pointer) {
			clientSend(request.Method, request.URL, headers, headerCount, body, length, hasTimeout, timeout, result)
		},
		func(r *reader) (host.Answer, error) {
			return result(r, 4, clientErrors, func(r *reader) host.Answer {
				return host.Answer{Status: r.u16(), Headers: r.pairs(), Body: r.bytes()}
			})
		},
	)
	runtime.KeepAlive(&kept)
	return answer, err
}
