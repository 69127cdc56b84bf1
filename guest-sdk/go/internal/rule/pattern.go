// Package rule has the rules of patterns and routes, which the host has as well.
package rule

import (
	"strings"
	"unicode"
)

// Matches says whether an event type matches a pattern.
func Matches(pattern, eventType string) bool {
	if pattern == ">" {
		return eventType != ""
	}
	tokens, words := strings.Split(pattern, "."), strings.Split(eventType, ".")
	for _, word := range words {
		if !isWord(word) {
			return false
		}
	}
	for index, token := range tokens {
		switch {
		case index >= len(words):
			return false
		case token == ">":
			return true
		case token != "*" && token != words[index]:
			return false
		}
	}
	return len(tokens) == len(words)
}

// IsPattern says whether a text is a valid pattern of event types.
func IsPattern(text string) bool {
	const maxBytes = 255
	words := strings.Split(text, ".")
	for index, word := range words {
		isWildcard := word == "*" || word == ">" && index == len(words)-1
		if !isWildcard && !isWord(word) {
			return false
		}
	}
	return len(text) <= maxBytes
}

func isWord(text string) bool {
	isForbidden := func(letter rune) bool {
		return letter == '*' || letter == '>' || unicode.IsSpace(letter) || unicode.IsControl(letter) ||
			0xfdd0 <= letter && letter < 0xfdf0 || letter&0xfffe == 0xfffe
	}
	return text != "" && !strings.ContainsFunc(text, isForbidden)
}

// IsHostAttribute says whether the host sets an extension attribute, and so drops it from what a plugin publishes.
func IsHostAttribute(name string) bool {
	switch name {
	case "causationid", "causationsource", "hops", "authtype", "authid", "authclaims":
		return true
	default:
		return strings.HasPrefix(name, "sandbus")
	}
}
