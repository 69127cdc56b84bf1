// Package header converts headers between the SDK and the contract.
package header

import (
	"fmt"
	"slices"
	"strings"

	"sandbus/internal/host"
)

// Header has the values of headers by their names in lower case.
type Header map[string][]string

// Get returns the values of a header, joined. It returns an empty string if there are none.
func (header Header) Get(name string) string {
	lower := strings.ToLower(name)
	// The values of Cookie are joined as in RFC 9113, section 8.2.3.
	if lower == "cookie" {
		return strings.Join(header[lower], "; ")
	}
	return strings.Join(header[lower], ", ")
}

// Values returns all values of a header.
func (header Header) Values(name string) []string { return header[strings.ToLower(name)] }

// Received returns the headers of the contract.
func Received(pairs []host.Pair) Header {
	header := make(Header, len(pairs))
	for _, pair := range pairs {
		header[pair.Name] = append(header[pair.Name], pair.Value)
	}
	return header
}

// Sent checks headers, and returns them as the contract has them, sorted by name.
func Sent(header Header) ([]host.Pair, error) {
	var pairs []host.Pair
	for name, values := range header {
		if !isToken(name) {
			return nil, fmt.Errorf("%.80q is not the name of a header: a name has letters, digits and hyphens", name)
		}
		for _, value := range values {
			if strings.ContainsFunc(value, isControl) {
				return nil, fmt.Errorf("the header `%s` has a control character in its value", name)
			}
			pairs = append(pairs, host.Pair{Name: strings.ToLower(name), Value: value})
		}
	}
	slices.SortStableFunc(pairs, func(one, other host.Pair) int { return strings.Compare(one.Name, other.Name) })
	return pairs, nil
}

// WithType adds a content type, unless there is one.
func WithType(pairs []host.Pair, mediaType string) []host.Pair {
	isThere := slices.ContainsFunc(pairs, func(pair host.Pair) bool { return pair.Name == "content-type" })
	if mediaType == "" || isThere {
		return pairs
	}
	return append(pairs, host.Pair{Name: "content-type", Value: mediaType})
}

// isToken says whether a name is a token (RFC 9110, sections 5.1 and 5.6.2).
func isToken(name string) bool {
	const others = "!#$%&'*+-.^_`|~"
	for _, letter := range name {
		isWord := 'a' <= letter && letter <= 'z' || 'A' <= letter && letter <= 'Z' || '0' <= letter && letter <= '9'
		if !isWord && !strings.ContainsRune(others, letter) {
			return false
		}
	}
	return name != ""
}

// isControl says whether a field's value must not have a character (RFC 9110, section 5.5).
func isControl(letter rune) bool { return letter < ' ' && letter != '\t' || letter == 0x7f }
