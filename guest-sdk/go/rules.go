package sandbus

import (
	"fmt"
	"math"
	"time"

	"sandbus/internal/host"
	"sandbus/internal/payload"
)

// RetryPolicy says when a failed delivery is retried. The host has a default for each field that is zero.
type RetryPolicy struct {
	// MaxAttempts is the number of attempts before the delivery becomes a dead letter.
	MaxAttempts uint32
	// InitialDelay is the delay before the second attempt.
	InitialDelay time.Duration
	// BackoffMultiplier is the factor by which the delay grows with each further attempt; at least 1.
	BackoffMultiplier float64
	// MaxDelay is the maximum delay.
	MaxDelay time.Duration
	// Jitter is the random share of each delay, from 0 to 1. NoJitter stands for 0.
	Jitter float64
	// NonRetryable has causes of failure that are not retried: `trap`, `timeout`, `out-of-memory`, `webhook`, `retry`,
	// `exception`, `request`.
	NonRetryable []string
}

// NoJitter is the Jitter of a policy whose delays have no random share.
const NoJitter = -1

// Filter is a filter of the CloudEvents Subscriptions API, by attributes. It has one field that is not nil.
type Filter struct {
	Exact  map[string]string `json:"exact,omitempty"`
	Prefix map[string]string `json:"prefix,omitempty"`
	Suffix map[string]string `json:"suffix,omitempty"`
	All    []Filter          `json:"all,omitempty"`
	Any    []Filter          `json:"any,omitempty"`
	Not    *Filter           `json:"not,omitempty"`
}

// Start says where a new subscription starts in the log. The zero value is StartNow.
type Start struct{ start *host.Start }

var (
	// StartNow starts with the first event that is published after the subscription was created.
	StartNow = Start{}
	// StartBeginning starts with the oldest event.
	StartBeginning = Start{&host.Start{Case: host.StartBeginning}}
)

// StartAt starts with the first event that was stored at a time or later.
func StartAt(time time.Time) Start {
	return Start{&host.Start{Case: host.StartTime, Time: formatTime(time)}}
}

// StartAtPosition starts with the event at a position of the log, or the first one after it.
func StartAtPosition(position uint64) Start {
	return Start{&host.Start{Case: host.StartPosition, Position: position}}
}

// DeadLetterPolicy says whether a dead letter releases or parks the later deliveries with its ordering key. The zero
// value is DeadLetterRelease.
type DeadLetterPolicy string

// The policies.
const (
	DeadLetterRelease DeadLetterPolicy = "release"
	DeadLetterPark    DeadLetterPolicy = "park"
)

// SubscriptionOptions are the options of an event handler's subscription. The host has a default for each field that is
// zero.
type SubscriptionOptions struct {
	// Name is the subscription's name. By default it is derived from the pattern.
	Name string
	// Filters are filters on the events' attributes. All must match.
	Filters []Filter
	// Start says where a new subscription starts in the log.
	Start Start
	// Concurrency is the limit of deliveries in flight.
	Concurrency uint32
	// OrderingKey is the key by which events stay in order: an attribute's name, or a JSON pointer into the data
	// (`/customer/id`).
	OrderingKey string
	// DeadLetterPolicy says what happens to later deliveries with the ordering key of a dead letter.
	DeadLetterPolicy DeadLetterPolicy
	// MaxBacklog is the backlog at which publishers are refused until deliveries have been handled.
	MaxBacklog uint64
	// Retry says when a failed delivery is retried.
	Retry RetryPolicy
	// Timeout is the timeout of one invocation.
	Timeout time.Duration
}

// Missed is a policy for times at which the plugin did not run, or for which the host is more than a minute late. The
// zero value is MissedRunOnce.
type Missed string

// The policies: one event for all missed times, none, or one for each.
const (
	MissedRunOnce Missed = "run-once"
	MissedSkip    Missed = "skip"
	MissedCatchUp Missed = "catch-up"
)

// ScheduleOptions are the options of a schedule.
type ScheduleOptions struct {
	// Timezone is an IANA name, such as "Europe/Vienna". By default it is UTC.
	Timezone string
	// Missed is the policy for missed times.
	Missed Missed
	// Retry says when a failed delivery is retried.
	Retry RetryPolicy
	// Timeout is the timeout of one invocation.
	Timeout time.Duration
	// Data is the payload of the schedule's events, as JSON. By default they have none.
	Data any
}

func (policy RetryPolicy) wire() (*host.RetryPolicy, error) {
	isDefault := policy.MaxAttempts == 0 && policy.InitialDelay == 0 && policy.BackoffMultiplier == 0 &&
		policy.MaxDelay == 0 && policy.Jitter == 0 && len(policy.NonRetryable) == 0
	if isDefault {
		return nil, nil
	}
	wire := &host.RetryPolicy{Attempts: nonZero(policy.MaxAttempts), Permanent: policy.NonRetryable}
	var err error
	if wire.FirstDelayMs, err = payload.Milliseconds(policy.InitialDelay, "Retry.InitialDelay"); err != nil {
		return nil, err
	}
	if wire.MaxDelayMs, err = payload.Milliseconds(policy.MaxDelay, "Retry.MaxDelay"); err != nil {
		return nil, err
	}
	if wire.FactorPercent, err = percent(policy.BackoffMultiplier, "Retry.BackoffMultiplier"); err != nil {
		return nil, err
	}
	if policy.Jitter == NoJitter {
		wire.JitterPercent = new(uint32)
	} else if wire.JitterPercent, err = percent(policy.Jitter, "Retry.Jitter"); err != nil {
		return nil, err
	}
	return wire, nil
}

func percent(fraction float64, what string) (*uint32, error) {
	if fraction == 0 {
		return nil, nil
	}
	percent := math.Round(fraction * 100)
	if !(percent >= 0 && percent <= math.MaxUint32) {
		return nil, fmt.Errorf("%s must be a number of at least 0, and is %v", what, fraction)
	}
	rounded := uint32(percent)
	return &rounded, nil
}

func (options SubscriptionOptions) rules() (host.Rules, error) {
	rules := host.Rules{
		Concurrency: nonZero(options.Concurrency),
		Start:       options.Start.start,
		OrderingKey: payload.Text(options.OrderingKey),
	}
	if len(options.Filters) > 0 {
		filters, err := payload.Marshal(options.Filters, "the filters")
		if err != nil {
			return rules, err
		}
		text := string(filters)
		rules.Filters = &text
	}
	switch options.DeadLetterPolicy {
	case "":
	case DeadLetterRelease:
		rules.DeadLetterPolicy = new(host.DeadLetterPolicy)
	case DeadLetterPark:
		park := host.Park
		rules.DeadLetterPolicy = &park
	default:
		return rules, fmt.Errorf("DeadLetterPolicy must be release or park, and is %q", options.DeadLetterPolicy)
	}
	var err error
	rules.Retry, err = options.Retry.wire()
	return rules, err
}

func (missed Missed) wire() (*host.Missed, error) {
	cases := map[Missed]host.Missed{
		MissedRunOnce: host.RunOnce, MissedSkip: host.Skip, MissedCatchUp: host.CatchUp,
	}
	if missed == "" {
		return nil, nil
	}
	wire, ok := cases[missed]
	if !ok {
		return nil, fmt.Errorf("Missed must be run-once, skip or catch-up, and is %q", string(missed))
	}
	return &wire, nil
}

// nonZero returns a pointer to a number, and nil for zero.
func nonZero[T uint32 | uint64](number T) *T {
	if number == 0 {
		return nil
	}
	return &number
}

func formatTime(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }
