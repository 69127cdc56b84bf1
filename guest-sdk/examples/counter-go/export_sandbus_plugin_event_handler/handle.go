// Counts the events of each type, and logs how many there were.
package export_sandbus_plugin_event_handler

import (
	"fmt"

	. "go.bytecodealliance.org/pkg/wit/types"
	. "wit_component/sandbus_plugin_types"
	atomics "wit_component/wasi_keyvalue_atomics"
	store "wit_component/wasi_keyvalue_store"
	logging "wit_component/wasi_logging_logging"
)

func Handle(delivery Delivery) Result[Unit, Failure] {
	bucket := store.Open("")
	if bucket.IsErr() {
		return Err[Unit](MakeFailureReject("there is no state"))
	}
	count := atomics.Increment(bucket.Ok(), delivery.Event.Type, 1)
	if count.IsErr() {
		return Err[Unit](MakeFailureReject("the count cannot be stored"))
	}
	logging.Log(logging.LevelInfo, "", fmt.Sprintf("%s: %d", delivery.Event.Type, count.Ok()))
	return Ok[Unit, Failure](Unit{})
}
