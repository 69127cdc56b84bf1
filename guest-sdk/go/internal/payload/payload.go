// Package payload converts values to payloads, and payloads to values.
package payload

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// JSON is the media type of JSON.
const JSON = "application/json"

// Marshal converts a value to JSON.
func Marshal(value any, what string) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("%s cannot be written as JSON: %w", what, err)
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

// Unmarshal parses JSON into a value.
func Unmarshal(data []byte, into any) error {
	if !utf8.Valid(data) {
		return errors.New("it is not UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(into); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.New("the JSON text ends early")
		}
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one JSON value")
	}
	return nil
}

// Encode converts a value to its media type and bytes. A nil value has none. Bytes stay as they are, a string becomes
// UTF-8 if the media type is not JSON, and all other values become JSON.
func Encode(value any, mediaType, what string) (string, *[]byte, error) {
	or := func(fallback string) string {
		if mediaType == "" {
			return fallback
		}
		return mediaType
	}
	switch value := value.(type) {
	case nil:
		return mediaType, nil, nil
	case []byte:
		return or("application/octet-stream"), &value, nil
	case string:
		if mediaType != "" && !IsJSON(mediaType) {
			data := []byte(value)
			return mediaType, &data, nil
		}
	}
	data, err := Marshal(value, what)
	return or(JSON), &data, err
}

// Decode converts a payload to a value of type T. Bytes stay as they are. JSON is parsed, text becomes a string, and
// other data is only available as bytes. A payload that is missing, or null, fits only types that have nil.
func Decode[T any](data *[]byte, mediaType *string) (T, error) {
	var value T
	if bytes, ok := any(&value).(*[]byte); ok {
		if data != nil {
			*bytes = *data
		}
		return value, nil
	}
	isNil := data == nil
	if data != nil && (mediaType == nil || IsJSON(*mediaType)) {
		if err := Unmarshal(*data, &value); err != nil {
			return value, err
		}
		isNil = string(bytes.TrimSpace(*data)) == "null"
	} else if data != nil {
		given := any(*data)
		if IsText(*mediaType) && utf8.Valid(*data) {
			given = string(*data)
		}
		fitting, ok := given.(T)
		if !ok {
			return value, fmt.Errorf("it is %s, and the handler takes %T", *mediaType, value)
		}
		return fitting, nil
	}
	if isNil && !hasNil(reflect.TypeFor[T]()) {
		return value, fmt.Errorf("there is no data, and the handler takes %T", value)
	}
	return value, nil
}

func hasNil(kind reflect.Type) bool {
	switch kind.Kind() {
	case reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice:
		return true
	default:
		return false
	}
}

// IsJSON says whether a media type is JSON or a format based on JSON (CloudEvents JSON format, section 3.1.1).
func IsJSON(mediaType string) bool {
	_, subtype, _ := strings.Cut(essence(mediaType), "/")
	return subtype == "json" || strings.HasSuffix(subtype, "+json")
}

// IsText says whether a media type is text in UTF-8.
func IsText(mediaType string) bool {
	if !strings.HasPrefix(essence(mediaType), "text/") {
		return false
	}
	for _, parameter := range strings.Split(mediaType, ";")[1:] {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(parameter)), "=")
		if strings.TrimSpace(name) == "charset" {
			charset := strings.Trim(strings.TrimSpace(value), `"`)
			return charset == "utf-8" || charset == "utf8" || charset == "us-ascii"
		}
	}
	return true
}

func essence(mediaType string) string {
	before, _, _ := strings.Cut(mediaType, ";")
	return strings.ToLower(strings.TrimSpace(before))
}

// Text returns a pointer to a text, and nil for an empty one.
func Text(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// Milliseconds converts a duration, and rounds it up. Zero is nil.
func Milliseconds(duration time.Duration, what string) (*uint64, error) {
	if duration < 0 {
		return nil, fmt.Errorf("%s must not be negative, and is %s", what, duration)
	}
	if duration == 0 {
		return nil, nil
	}
	milliseconds := uint64((duration + time.Millisecond - 1) / time.Millisecond)
	return &milliseconds, nil
}
