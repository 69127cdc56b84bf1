// Package host is the interface between the SDK and its host. In a component the host is the contract's imports
// (package component), and in a test it is the fake host (package sandbustest).
package host

// Host has the functions that the SDK calls.
type Host interface {
	Publish(messages []Message) ([]string, error)
	Cancel(id string) error
	Reply(id, pattern string, timeoutMs uint64) error
	Subscribe(subscription RuntimeSubscription) error
	Unsubscribe(name string) error

	StateGet(key string) (value []byte, exists bool, err error)
	StateSet(key string, value []byte) error
	StateDelete(key string) error
	StateKeys() ([]string, error)
	StateIncrement(key string, delta int64) (int64, error)
	StateAdd(key string, delta int64) error
	StateSequence(name string) (uint64, error)

	ConfigGet(key string) (value string, exists bool, err error)
	Log(level Level, context, message string)
	NowNanoseconds() int64
	RandomBytes(count int) []byte
	Send(request Call) (Answer, error)
}

// Handlers has the functions that the host calls.
type Handlers interface {
	Describe() Descriptor
	// Deliver returns nil if the handler succeeded.
	Deliver(delivery Delivery) *Failure
	// Respond returns the response, and whether the request's effects are committed.
	Respond(request Request) (Response, bool)
}

// Module is the path of the project's module, and Name its last part, the default for the plugin's name. A build sets
// them.
var Module, Name string

// Adapt returns the handlers of a plugin of package sandbus, which sets this function.
var Adapt func(plugin any) Handlers

// Served has the handlers of the plugin that main has passed to Serve.
var Served Handlers

var current Host

// Install sets the host that the SDK calls, and returns the previous one.
func Install(host Host) Host {
	previous := current
	current = host
	return previous
}

// Current returns the host that the SDK calls. Without a host it panics.
func Current() Host {
	if current == nil {
		panic("sandbus: there is no host; a handler has one, and in a test FakeHost.Run runs code on one")
	}
	return current
}
