package sandbus

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ParseTime parses a time in RFC 3339, and keeps its offset. A leap second is valid at the end of a month in UTC, and
// becomes the next second. Digits beyond nanoseconds are dropped.
func ParseTime(text string) (time.Time, error) {
	parsed, err := parseTime(text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.80q is not a time in RFC 3339, such as 2030-01-31T12:00:00Z: %w", text, err)
	}
	return parsed, nil
}

func parseTime(text string) (time.Time, error) {
	const (
		dateAndTime = "0000-00-00T00:00:00"
		seconds     = len(dateAndTime) - len("00")
	)
	text = strings.ToUpper(text)
	if !hasForm(text, dateAndTime) {
		return time.Time{}, errors.New("its date and time have another form")
	}
	rest := text[len(dateAndTime):]
	if strings.HasPrefix(rest, ".") {
		digits := len(rest) - 1 - len(strings.TrimLeft(rest[1:], "0123456789"))
		if digits == 0 {
			return time.Time{}, errors.New("its fraction has no digits")
		}
		rest = rest[1+digits:]
	}
	if rest != "Z" && !hasForm(rest, "+00:00") && !hasForm(rest, "-00:00") || len(rest) > len("+00:00") {
		return time.Time{}, errors.New("its offset has another form")
	}
	if rest != "Z" && (rest[1:3] > "23" || rest[4:] > "59") {
		return time.Time{}, errors.New("its offset is out of range")
	}
	isLeap := text[seconds:seconds+2] == "60"
	if isLeap {
		text = text[:seconds] + "59" + text[seconds+2:]
	}
	parsed, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, err
	}
	if isLeap {
		parsed = parsed.Add(time.Second)
		if utc := parsed.UTC(); utc.Day() != 1 || utc.Hour() != 0 || utc.Minute() != 0 {
			return time.Time{}, errors.New("its leap second is not at the end of a month in UTC")
		}
	}
	return parsed, nil
}

// hasForm says whether a text begins with the characters of a form, where `0` stands for any ASCII digit.
func hasForm(text, form string) bool {
	if len(text) < len(form) {
		return false
	}
	for index := range len(form) {
		isDigit := '0' <= text[index] && text[index] <= '9'
		if form[index] == '0' && !isDigit || form[index] != '0' && text[index] != form[index] {
			return false
		}
	}
	return true
}
