package host

// Level is a severity of wasi:logging.
type Level uint8

// The severities, in the order of the contract.
const (
	Trace Level = iota
	Debug
	Info
	Warn
	Error
	Critical
)

// Pair is a name and a value, such as an extension attribute or a header.
type Pair struct{ Name, Value string }

// RetryPolicy is the contract's record. An omitted member is nil.
type RetryPolicy struct {
	Attempts      *uint32
	FirstDelayMs  *uint64
	FactorPercent *uint32
	MaxDelayMs    *uint64
	JitterPercent *uint32
	Permanent     []string
}

// StartCase is a case of the contract's variant.
type StartCase uint8

// The cases, in the order of the contract.
const (
	StartNow StartCase = iota
	StartBeginning
	StartTime
	StartPosition
)

// Start is where a subscription starts.
type Start struct {
	Case     StartCase
	Time     string
	Position uint64
}

// DeadLetterPolicy is the contract's enum.
type DeadLetterPolicy uint8

// The cases, in the order of the contract.
const (
	Release DeadLetterPolicy = iota
	Park
)

// Rules are the rules that subscriptions have, whether they are declared or created at run time.
type Rules struct {
	Concurrency      *uint32
	Filters          *string
	Start            *Start
	OrderingKey      *string
	DeadLetterPolicy *DeadLetterPolicy
	Retry            *RetryPolicy
}

// Subscription is a declared subscription.
type Subscription struct {
	Name       string
	Pattern    string
	Rules      Rules
	MaxBacklog *uint64
	TimeoutMs  *uint64
}

// RuntimeSubscription is a subscription that is created at run time. Its target is a plugin, or a webhook.
type RuntimeSubscription struct {
	Name    string
	Pattern string
	Plugin  string
	Webhook *Webhook
	Rules   Rules
}

// Webhook is an HTTP endpoint.
type Webhook struct {
	URL       string
	Secret    *string
	Handshake bool
}

// Missed is the contract's enum.
type Missed uint8

// The cases, in the order of the contract.
const (
	RunOnce Missed = iota
	Skip
	CatchUp
)

// Schedule is a declared schedule.
type Schedule struct {
	Name        string
	Cron        string
	Timezone    *string
	Missed      *Missed
	Type        string
	ContentType *string
	Data        *[]byte
}

// ConfigKey is a key of the configuration.
type ConfigKey struct {
	Name        string
	Default     *string
	Description *string
}

// Descriptor is a plugin's description of itself.
type Descriptor struct {
	Name          string
	Version       string
	Description   *string
	Routes        []Pair
	Subscriptions []Subscription
	Schedules     []Schedule
	Publishes     []string
	Subscribes    []string
	Config        []ConfigKey
}

// Delivery is one event for one subscription.
type Delivery struct {
	ID           string
	Source       string
	Type         string
	Subject      *string
	Time         *string
	ContentType  *string
	Schema       *string
	Extensions   []Pair
	Data         *[]byte
	Subscription string
	Attempt      uint32
	Replay       bool
}

// Failure is the failure of a delivery.
type Failure struct {
	Rejected bool
	Reason   string
	DelayMs  *uint64
}

// Request is a request to a route.
type Request struct {
	Method  string
	Route   string
	Path    string
	Params  []Pair
	Query   *string
	Headers []Pair
	Body    []byte
}

// Response is the response of a route.
type Response struct {
	Status  uint16
	Headers []Pair
	Body    []byte
}

// DueCase is a case of the contract's variant.
type DueCase uint8

// The cases, in the order of the contract.
const (
	DueNow DueCase = iota
	DueAfterMs
	DueAt
)

// Message is an event to publish.
type Message struct {
	Type        string
	Subject     *string
	ContentType *string
	Schema      *string
	Extensions  []Pair
	Data        *[]byte
	Due         DueCase
	AfterMs     uint64
	At          string
}

// Call is a request to another service.
type Call struct {
	Method    string
	URL       string
	Headers   []Pair
	Body      []byte
	TimeoutMs *uint64
}

// Answer is the response of another service.
type Answer struct {
	Status  uint16
	Headers []Pair
	Body    []byte
}

// Refusal is the error of a call that the host has refused. The packages of the SDK convert it to errors of their own.
type Refusal struct {
	// Kind is the name of the case in the contract, such as `denied`.
	Kind   string
	Reason string
}

func (refusal *Refusal) Error() string { return refusal.Reason }
