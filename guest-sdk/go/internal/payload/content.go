package payload

import "errors"

// Content returns the media type and the bytes of a body, which is given as at most one of JSON, text and bytes.
func Content(json any, text string, bytes []byte) (string, []byte, error) {
	if json != nil && text != "" || json != nil && bytes != nil || text != "" && bytes != nil {
		return "", nil, errors.New("choose one of JSON, Text and Body")
	}
	switch {
	case json != nil:
		body, err := Marshal(json, "the body")
		return JSON, body, err
	case text != "":
		return "text/plain; charset=utf-8", []byte(text), nil
	default:
		return "", bytes, nil
	}
}
