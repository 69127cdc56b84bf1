//go:build wasip1

// Package component connects a plugin to the contract: the component's exports, and the host behind its imports.
package component

import (
	_ "unsafe" // for linkname

	"sandbus/internal/host"
)

// The host never calls main, because a component is a library. The first export calls it, and it calls Serve.
//
//go:linkname callMain main.main
func callMain()

func init() { host.Install(imports{}) }

// returned keeps the memory of a result until the next call.
var returned arena

// begin prepares an export whose arguments have been read. It returns the plugin's handlers.
func begin() host.Handlers {
	release()
	returned = arena{}
	if host.Served == nil {
		callMain()
	}
	if host.Served == nil {
		panic("the plugin's func main does not call sandbus.Serve")
	}
	return host.Served
}

//go:wasmexport sandbus:plugin/descriptor@0.1.0#describe
func describe() uint32 {
	return written(&returned, begin().Describe(), 4, (*writer).descriptor)
}

//go:wasmexport sandbus:plugin/event-handler@0.1.0#handle
func handleEvent(address uint32) uint32 {
	r := reader{cursor{address}}
	delivery := r.delivery()
	return written(&returned, begin().Deliver(delivery), 8, (*writer).outcome)
}

//go:wasmexport sandbus:plugin/http-handler@0.1.0#handle
func handleRequest(
	method, methodLength, route, routeLength, path, pathLength, params, paramsLength uint32,
	hasQuery, query, queryLength, headers, headersLength, body, bodyLength uint32,
) uint32 {
	request := host.Request{
		Method:  textAt(method, methodLength),
		Route:   textAt(route, routeLength),
		Path:    textAt(path, pathLength),
		Params:  pairsAt(params, paramsLength),
		Headers: pairsAt(headers, headersLength),
		Body:    bytesAt(body, bodyLength),
	}
	if hasQuery == 1 {
		text := textAt(query, queryLength)
		request.Query = &text
	}
	response, commits := begin().Respond(request)
	return written(&returned, response, 4, func(w *writer, response host.Response) {
		w.bool(!commits)
		w.align(4)
		w.u16(response.Status)
		w.pairs(response.Headers)
		w.bytes(response.Body)
	})
}

func pairsAt(address, length uint32) []host.Pair {
	r := reader{cursor{address}}
	pairs := make([]host.Pair, length)
	for index := range pairs {
		pairs[index] = host.Pair{Name: r.string(), Value: r.string()}
	}
	return pairs
}

func (r *reader) pairs() []host.Pair {
	address, length := r.u32(), r.u32()
	return pairsAt(address, length)
}

func (w *writer) pairs(pairs []host.Pair) {
	list(w, pairs, 4, func(w *writer, pair host.Pair) {
		w.string(pair.Name)
		w.string(pair.Value)
	})
}

func (r *reader) delivery() host.Delivery {
	return host.Delivery{
		ID:           r.string(),
		Source:       r.string(),
		Type:         r.string(),
		Subject:      optional(r, (*reader).string),
		Time:         optional(r, (*reader).string),
		ContentType:  optional(r, (*reader).string),
		Schema:       optional(r, (*reader).string),
		Extensions:   r.pairs(),
		Data:         optional(r, (*reader).bytes),
		Subscription: r.string(),
		Attempt:      r.u32(),
		Replay:       r.u8() == 1,
	}
}

// outcome writes a `result<_, failure>`.
func (w *writer) outcome(failure *host.Failure) {
	const (
		retry  = 0
		reject = 1
	)
	w.bool(failure != nil)
	w.align(8)
	if failure == nil {
		failure = &host.Failure{}
	}
	if failure.Rejected {
		w.u8(reject)
		w.align(8)
		w.string(failure.Reason)
		return
	}
	w.u8(retry)
	w.align(8)
	w.optionalU64(failure.DelayMs)
	w.string(failure.Reason)
}

func (w *writer) descriptor(descriptor host.Descriptor) {
	w.string(descriptor.Name)
	w.string(descriptor.Version)
	w.optionalString(descriptor.Description)
	w.pairs(descriptor.Routes)
	list(w, descriptor.Subscriptions, 8, (*writer).subscription)
	list(w, descriptor.Schedules, 4, (*writer).schedule)
	w.strings(descriptor.Publishes)
	w.strings(descriptor.Subscribes)
	list(w, descriptor.Config, 4, func(w *writer, key host.ConfigKey) {
		w.string(key.Name)
		w.optionalString(key.Default)
		w.optionalString(key.Description)
	})
}

func (w *writer) subscription(subscription host.Subscription) {
	rules := subscription.Rules
	w.string(subscription.Name)
	w.string(subscription.Pattern)
	w.optionalU32(rules.Concurrency)
	w.optionalString(rules.Filters)
	w.start(rules.Start)
	w.optionalString(rules.OrderingKey)
	w.deadLetterPolicy(rules.DeadLetterPolicy)
	w.optionalU64(subscription.MaxBacklog)
	w.retry(rules.Retry)
	w.optionalU64(subscription.TimeoutMs)
}

func (w *writer) start(start *host.Start) {
	option(w, start, 8, func(w *writer, start host.Start) {
		w.u8(uint8(start.Case))
		w.align(8)
		if start.Case == host.StartTime {
			w.string(start.Time)
		} else {
			w.u64(start.Position)
		}
	})
}

func (w *writer) deadLetterPolicy(policy *host.DeadLetterPolicy) {
	option(w, policy, 1, func(w *writer, policy host.DeadLetterPolicy) { w.u8(uint8(policy)) })
}

func (w *writer) retry(policy *host.RetryPolicy) {
	option(w, policy, 8, func(w *writer, policy host.RetryPolicy) {
		w.optionalU32(policy.Attempts)
		w.optionalU64(policy.FirstDelayMs)
		w.optionalU32(policy.FactorPercent)
		w.optionalU64(policy.MaxDelayMs)
		w.optionalU32(policy.JitterPercent)
		w.strings(policy.Permanent)
	})
}

func (w *writer) schedule(schedule host.Schedule) {
	w.string(schedule.Name)
	w.string(schedule.Cron)
	w.optionalString(schedule.Timezone)
	option(w, schedule.Missed, 1, func(w *writer, missed host.Missed) { w.u8(uint8(missed)) })
	w.string(schedule.Type)
	w.optionalString(schedule.ContentType)
	w.optionalBytes(schedule.Data)
}
