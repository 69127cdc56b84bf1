package sandbus

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"sandbus/internal/host"
	"sandbus/internal/payload"
)

// RetryError retries a delivery: after a delay, or as the subscription's retry policy says.
type RetryError struct {
	// Reason is the reason, which the attempt and a dead letter have.
	Reason string
	// Delay is the delay before the next attempt. Zero leaves it to the retry policy.
	Delay time.Duration
}

func (err *RetryError) Error() string { return err.Reason }

// RejectError makes a delivery a dead letter at once.
type RejectError struct {
	// Reason is the reason, which the dead letter has.
	Reason string
}

func (err *RejectError) Error() string { return err.Reason }

// Retry returns an error that retries the delivery, as the subscription's retry policy says.
func Retry(reason string) error { return &RetryError{Reason: reason} }

// RetryAfter returns an error that retries the delivery after a delay.
func RetryAfter(delay time.Duration, reason string) error {
	return &RetryError{Reason: reason, Delay: delay}
}

// Reject returns an error that makes the delivery a dead letter at once.
func Reject(reason string) error { return &RejectError{Reason: reason} }

// BusError says that the bus refused a call. If a handler returns it, the delivery is rejected.
type BusError struct {
	// Kind is `denied`, `invalid` or `limit`.
	Kind string
	// Reason is the host's explanation.
	Reason string
}

func (err *BusError) Error() string { return err.Reason }

// Permanent says that the bus would refuse the same call again.
func (err *BusError) Permanent() bool { return true }

func busError(err error) error {
	var refusal *host.Refusal
	if errors.As(err, &refusal) {
		return &BusError{refusal.Kind, refusal.Reason}
	}
	return err
}

// failure converts the error of a handler to the contract's failure. An error that would occur again rejects the
// delivery, and any other error retries it.
func failure(err error) *host.Failure {
	var retry *RetryError
	if errors.As(err, &retry) {
		delay, wrong := payload.Milliseconds(retry.Delay, "the delay of a retry")
		if wrong != nil {
			return &host.Failure{Reason: err.Error() + " (" + wrong.Error() + ")"}
		}
		return &host.Failure{Reason: err.Error(), DelayMs: delay}
	}
	if isPermanent(err) {
		return &host.Failure{Rejected: true, Reason: err.Error()}
	}
	return &host.Failure{Reason: err.Error()}
}

// isPermanent says whether another attempt cannot succeed. An error of the plugin's own decides it with a method
// `Permanent() bool`.
func isPermanent(err error) bool {
	var reject *RejectError
	var own interface{ Permanent() bool }
	var (
		syntax      *json.SyntaxError
		mismatch    *json.UnmarshalTypeError
		unsupported *json.UnsupportedTypeError
		unwritable  *json.UnsupportedValueError
		number      *strconv.NumError
	)
	switch {
	case errors.As(err, &reject):
		return true
	case errors.As(err, &own):
		return own.Permanent()
	default:
		return errors.As(err, &syntax) || errors.As(err, &mismatch) || errors.As(err, &unsupported) ||
			errors.As(err, &unwritable) || errors.As(err, &number)
	}
}

// reportCause tells the host the cause of a failure, unless the handler chose the outcome itself. The host reads the
// context of a critical log line as the cause of the failure that follows.
func reportCause(err error) {
	var retry *RetryError
	var known interface{ FailureCause() string }
	if !errors.As(err, &retry) && errors.As(err, &known) {
		host.Current().Log(host.Critical, known.FailureCause(), "")
	}
}

// panicError is the error of a handler that panicked.
type panicError struct {
	value  any
	frames string
}

func (err *panicError) Error() string { return fmt.Sprintf("panic: %v%s", err.value, err.frames) }

// FailureCause is the cause that the host records.
func (err *panicError) FailureCause() string { return "exception" }

// maxFrames is the number of a panic's frames that are shown.
const maxFrames = 8

// recovered converts a panic to an error with the plugin's frames.
func recovered(value any) error {
	var counters [64]uintptr
	frames := runtime.CallersFrames(counters[:runtime.Callers(3, counters[:])])
	var text strings.Builder
	for shown := 0; shown < maxFrames; {
		frame, more := frames.Next()
		isForeign := strings.HasPrefix(frame.Function, "runtime.") || strings.HasPrefix(frame.Function, "sandbus.") ||
			strings.HasPrefix(frame.Function, "sandbus/") ||
			strings.HasPrefix(frame.Function, "sandbus:")
		if !isForeign && frame.Function != "" {
			fmt.Fprintf(&text, "\n    at %s (%s:%d)", frame.Function, source(frame.File), frame.Line)
			shown++
		}
		if !more {
			break
		}
	}
	return &panicError{value, text.String()}
}

// source is the path of a source file from the directory of its project. Builds trim the paths of files, so that they
// begin with the path of the module.
func source(file string) string {
	if module := host.Module; module != "" {
		return strings.TrimPrefix(file, module+"/")
	}
	return file[strings.LastIndexByte(file, '/')+1:]
}

// caught calls a function, and returns its error, or that of its panic.
func caught(call func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = recovered(value)
		}
	}()
	return call()
}
