package sandbus

import (
	"errors"
	"fmt"
	"net/url"

	"sandbus/internal/header"
	"sandbus/internal/host"
	"sandbus/internal/payload"
)

// Header has the values of headers. Names of received headers are in lower case.
type Header = map[string][]string

// Request is a request on one of the plugin's routes.
type Request struct {
	// Method is in upper case.
	Method string
	// Route is the path of the route that matched.
	Route string
	// Path is the path, percent-encoded as it was sent.
	Path string
	// Params has the route's parameters, decoded.
	Params map[string]string
	// QueryString is the query as it was sent.
	QueryString string
	// Headers has the headers by their names in lower case.
	Headers Header
	// Body is the body.
	Body []byte
}

// Query returns the query's parameters, decoded. Malformed ones are left out.
func (request *Request) Query() url.Values {
	values, _ := url.ParseQuery(request.QueryString)
	return values
}

// Header returns the value of a header, and an empty string if there is none. The values of a repeated header are joined.
func (request *Request) Header(name string) string { return header.Header(request.Headers).Get(name) }

// HeaderValues returns all values of a header.
func (request *Request) HeaderValues(name string) []string {
	return header.Header(request.Headers).Values(name)
}

// Text returns the body as text.
func (request *Request) Text() string { return string(request.Body) }

// JSON parses the body as JSON into a value. If the body does not fit, the error is a Problem with status 415 or 422.
func (request *Request) JSON(into any) error {
	if mediaType := request.Header("content-type"); mediaType != "" && !payload.IsJSON(mediaType) {
		return &Problem{Status: 415, Detail: "the body must be JSON, not " + mediaType}
	}
	if err := payload.Unmarshal(request.Body, into); err != nil {
		return &Problem{Status: 422, Detail: "the body is invalid: " + err.Error()}
	}
	return nil
}

// Response is a response, with one of JSON, Text and Body.
type Response struct {
	// Status is from 200 to 599. Zero is 200.
	Status int
	// Headers has the headers.
	Headers Header
	// JSON is a value that is sent as JSON.
	JSON any
	// Text is sent as text.
	Text string
	// Body is sent as it is.
	Body []byte
}

// Problem is a problem (RFC 9457). If a route's handler returns it as its error, it is the response, and the request has
// no effects.
type Problem struct {
	// Status is from 400 to 599.
	Status int
	// Detail is the explanation.
	Detail string
	// Code is a name for programs.
	Code string
}

func (problem *Problem) Error() string { return problem.Detail }

func (problem *Problem) response() host.Response {
	if problem.Status < 400 || problem.Status > 599 {
		return (&Problem{500, fmt.Sprintf("the handler's problem has the status %d", problem.Status), ""}).response()
	}
	content := struct {
		Code   string `json:"code,omitempty"`
		Detail string `json:"detail"`
		Status int    `json:"status"`
		Title  string `json:"title"`
	}{problem.Code, problem.Detail, problem.Status, title(problem.Status)}
	body, _ := payload.Marshal(content, "the problem")
	headers := []host.Pair{{Name: "content-type", Value: "application/problem+json"}}
	return host.Response{Status: uint16(problem.Status), Headers: headers, Body: body}
}

// title is the reason phrase of a status. Package net/http has all of them, and would triple the size of the component.
func title(status int) string {
	titles := map[int]string{
		400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
		405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict", 410: "Gone",
		412: "Precondition Failed", 413: "Content Too Large", 415: "Unsupported Media Type",
		422: "Unprocessable Content", 428: "Precondition Required", 429: "Too Many Requests",
		500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
		504: "Gateway Timeout",
	}
	if title, ok := titles[status]; ok {
		return title
	}
	if status < 500 {
		return "Client Error"
	}
	return "Server Error"
}

// wire converts a response. A missing one has the status 204.
func (response *Response) wire() (host.Response, error) {
	if response == nil {
		return host.Response{Status: 204}, nil
	}
	status := response.Status
	if status == 0 {
		status = 200
	}
	if status < 200 || status > 599 {
		return host.Response{}, fmt.Errorf("the status of a response must be from 200 to 599, and is %d", status)
	}
	mediaType, body, err := payload.Content(response.JSON, response.Text, response.Body)
	if err != nil {
		return host.Response{}, err
	}
	// RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5.
	if (status == 204 || status == 205 || status == 304) && len(body) > 0 {
		return host.Response{}, fmt.Errorf("a response with status %d has no body; leave it out, or answer 200", status)
	}
	headers, err := header.Sent(response.Headers)
	return host.Response{Status: uint16(status), Headers: header.WithType(headers, mediaType), Body: body}, err
}

// errorResponse converts the error of a handler to a response.
func errorResponse(err error, what string) host.Response {
	var problem *Problem
	var retry *RetryError
	var reject *RejectError
	switch {
	case errors.As(err, &problem):
		return problem.response()
	case errors.As(err, &retry):
		return (&Problem{503, err.Error(), ""}).response()
	case errors.As(err, &reject):
		return (&Problem{422, err.Error(), ""}).response()
	default:
		// The error may contain internals, such as a query or an address, so only the log gets it.
		host.Current().Log(host.Error, "", what+" failed: "+err.Error())
		return (&Problem{500, "the handler failed; see the host's log", "handler-failed"}).response()
	}
}
