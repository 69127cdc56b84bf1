// Package client sends requests to other services. The host sends them, to hosts that the operator grants in the plugin's
// sidecar: `[grants] http = ["api.example.com"]`.
//
//	response, err := client.Get("https://api.example.com/rates")
//	if err == nil {
//		err = response.Success()
//	}
//
// A request is sent at once and is not part of the transaction: if the delivery fails later and is retried, the request is
// sent again. Send the event's id as an idempotency key.
package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"sandbus/internal/header"
	"sandbus/internal/host"
	"sandbus/internal/payload"
)

// Request is a request, with at most one of JSON, Text and Body.
type Request struct {
	// Method is GET if it is empty.
	Method string
	// URL is the address.
	URL string
	// Headers has the headers.
	Headers map[string][]string
	// JSON is a value that is sent as JSON.
	JSON any
	// Text is sent as text.
	Text string
	// Body is sent as it is.
	Body []byte
	// Timeout is how long to wait for the whole response. The handler's own timeout may end it sooner.
	Timeout time.Duration
}

// Response is the response to a request.
type Response struct {
	Status int
	// Headers has the headers by their names in lower case.
	Headers map[string][]string
	Body    []byte
}

// Error says that a request failed, or that Success found another status. If a handler returns it, the delivery is
// retried. The delivery is rejected if the host is not granted, if the request is malformed, or if the status is from 400
// to 499, except 408, 425 and 429.
type Error struct {
	// Kind is `denied`, `invalid`, `timeout`, `unreachable` or `status`.
	Kind string
	// Reason is an explanation.
	Reason string
	// Status is the status, if Success refused it.
	Status int
}

func (err *Error) Error() string { return err.Reason }

// Permanent says whether another attempt cannot succeed.
func (err *Error) Permanent() bool {
	if err.Kind != "status" {
		return err.Kind == "denied" || err.Kind == "invalid"
	}
	isTemporary := err.Status == 408 || err.Status == 425 || err.Status == 429
	return 400 <= err.Status && err.Status < 500 && !isTemporary
}

// FailureCause is the cause that the host records if a handler returns the error.
func (err *Error) FailureCause() string { return "request" }

// Send sends a request and waits for the whole response. Any status is a response, and not an error.
func Send(request Request) (*Response, error) {
	mediaType, body, err := payload.Content(request.JSON, request.Text, request.Body)
	if err != nil {
		return nil, err
	}
	headers, err := header.Sent(request.Headers)
	if err != nil {
		return nil, err
	}
	timeout, err := payload.Milliseconds(request.Timeout, "the timeout of a request")
	if err != nil {
		return nil, err
	}
	method := "GET"
	if request.Method != "" {
		method = strings.ToUpper(request.Method)
	}
	answer, err := host.Current().Send(host.Call{
		Method: method, URL: request.URL, Headers: header.WithType(headers, mediaType), Body: body, TimeoutMs: timeout,
	})
	var refusal *host.Refusal
	if errors.As(err, &refusal) {
		reason := refusal.Reason
		if refusal.Kind == "timeout" {
			reason = "the request was not answered in time"
		}
		return nil, &Error{Kind: refusal.Kind, Reason: reason}
	}
	if err != nil {
		return nil, err
	}
	received := header.Received(answer.Headers)
	return &Response{Status: int(answer.Status), Headers: received, Body: answer.Body}, nil
}

// Get sends a GET request.
func Get(url string) (*Response, error) { return Send(Request{Method: "GET", URL: url}) }

// Post sends a POST request with a value as JSON.
func Post(url string, json any) (*Response, error) {
	return Send(Request{Method: "POST", URL: url, JSON: json})
}

// Put sends a PUT request with a value as JSON.
func Put(url string, json any) (*Response, error) {
	return Send(Request{Method: "PUT", URL: url, JSON: json})
}

// Patch sends a PATCH request with a value as JSON.
func Patch(url string, json any) (*Response, error) {
	return Send(Request{Method: "PATCH", URL: url, JSON: json})
}

// Delete sends a DELETE request.
func Delete(url string) (*Response, error) { return Send(Request{Method: "DELETE", URL: url}) }

// OK says whether the status is from 200 to 299.
func (response *Response) OK() bool { return 200 <= response.Status && response.Status < 300 }

// excerpt is the number of bytes of a body that an error shows.
const excerpt = 200

// Success returns an Error unless the status is from 200 to 299.
func (response *Response) Success() error {
	if response.OK() {
		return nil
	}
	reason := fmt.Sprintf("the request was answered %d", response.Status)
	if len(response.Body) > 0 {
		shown := response.Body[:min(len(response.Body), excerpt)]
		reason += ": " + strings.ToValidUTF8(string(shown), "\ufffd")
	}
	return &Error{Kind: "status", Reason: reason, Status: response.Status}
}

// Header returns the value of a header, and an empty string if there is none. The values of a repeated header are joined.
func (response *Response) Header(name string) string {
	return header.Header(response.Headers).Get(name)
}

// HeaderValues returns all values of a header that may be repeated, such as `set-cookie`.
func (response *Response) HeaderValues(name string) []string {
	return header.Header(response.Headers).Values(name)
}

// Text returns the body as text.
func (response *Response) Text() string { return string(response.Body) }

// JSON parses the body as JSON into a value.
func (response *Response) JSON(into any) error { return payload.Unmarshal(response.Body, into) }
