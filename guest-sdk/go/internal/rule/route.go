package rule

import (
	"fmt"
	"strconv"
	"strings"
)

// Methods are the methods of routes.
var Methods = []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}

const (
	maxBytes      = 1024
	maxParameters = 16
	// reserved is a path that the host itself serves.
	reserved = "/events"
)

// ParseRoute returns the method and the path of a route such as `POST /hello/{name}`.
func ParseRoute(route string) (method, path string, err error) {
	words := strings.Fields(route)
	if len(words) < 2 {
		return "", "", fmt.Errorf("route %q: write a method and a path, such as \"POST /hello/{name}\"", route)
	}
	method = strings.ToUpper(words[0])
	isKnown := false
	for _, known := range Methods {
		isKnown = isKnown || method == known
	}
	if !isKnown {
		return "", "", fmt.Errorf("route %q: unknown method; the methods are %s", route, strings.Join(Methods, ", "))
	}
	_, path, _ = strings.Cut(strings.TrimSpace(route), words[0])
	path = strings.TrimSpace(path)
	if err := CheckPath(path); err != nil {
		return "", "", fmt.Errorf("the path of route `%s` is invalid: %w", route, err)
	}
	return method, path, nil
}

// CheckPath says why a path of a route is invalid, and what to write instead.
func CheckPath(path string) error {
	if path == reserved {
		return fmt.Errorf("it is reserved for the host; choose another")
	}
	if len(path) > maxBytes {
		return fmt.Errorf("it is longer than %d bytes", maxBytes)
	}
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("it does not begin with a slash")
	}
	if parameters := strings.Count(path, "{"); parameters > maxParameters {
		return fmt.Errorf("it has %d parameters; at most %d are allowed", parameters, maxParameters)
	}
	segments := strings.Split(path[1:], "/")
	for _, segment := range segments[:len(segments)-1] {
		if segment == "" {
			return fmt.Errorf("it has an empty segment (`//`); write one slash")
		}
	}
	names := map[string]bool{}
	for index, segment := range segments {
		name, err := checkSegment(segment, index == len(segments)-1)
		if err != nil {
			return err
		}
		if name != "" && names[name] {
			return fmt.Errorf("it has the parameter `%s` twice; rename one", name)
		}
		names[name] = true
	}
	return nil
}

// checkSegment checks a segment, and returns the name of its parameter, if it has one.
func checkSegment(segment string, isLast bool) (string, error) {
	plain := strings.ReplaceAll(strings.ReplaceAll(segment, "%2e", "."), "%2E", ".")
	switch {
	case plain == "." || plain == "..":
		return "", fmt.Errorf("it has the segment `%s`, which clients resolve before they send a request", segment)
	case strings.HasPrefix(segment, ":"):
		return "", fmt.Errorf("it has the segment `%s`; write a parameter as `{%s}`", segment, segment[1:])
	case strings.HasPrefix(segment, "*"):
		return "", fmt.Errorf("it has the segment `%s`; write the rest of a path as `{*rest}`", segment)
	case strings.Contains(segment, "{{") || strings.Contains(segment, "}}"):
		return "", fmt.Errorf("it has a doubled brace; write %%7B and %%7D for the characters themselves")
	}
	before, parameter, after, hasParameter := divide(segment)
	switch {
	case strings.Contains(after, "{"):
		return "", fmt.Errorf("the segment `%s` has more than one parameter", segment)
	case strings.Contains(before, "}") || strings.Contains(after, "}"):
		return "", fmt.Errorf("it has `}` without `{`")
	case strings.Contains(before, "{"):
		return "", fmt.Errorf("it has `{` without `}`")
	}
	for _, text := range []string{before, after} {
		if err := checkText(text); err != nil {
			return "", err
		}
	}
	if !hasParameter {
		return "", nil
	}
	name, takesRest := strings.CutPrefix(parameter, "*")
	if takesRest && (!isLast || before != "" || after != "") {
		return "", fmt.Errorf("`{%s}` is not the last segment of the path", parameter)
	}
	isOther := func(letter rune) bool { return !isLetterOrDigit(letter) && letter != '-' && letter != '_' }
	if name == "" || strings.ContainsFunc(name, isOther) {
		return "", fmt.Errorf(
			"`{%s}` is not a parameter; name it with letters from a to z, digits, `-` and `_`", parameter)
	}
	return name, nil
}

// divide divides a segment into the text before its parameter, the parameter, and the text after it.
func divide(segment string) (before, parameter, after string, hasParameter bool) {
	before, rest, opens := strings.Cut(segment, "{")
	parameter, after, closes := strings.Cut(rest, "}")
	if !opens || !closes {
		return segment, "", "", false
	}
	return before, parameter, after, true
}

// checkText checks that a text has only characters of a segment (`pchar` in RFC 3986, section 3.3), in normal form.
func checkText(text string) error {
	for index, letter := range text {
		switch {
		case letter == '?':
			return fmt.Errorf("it has a query; a route matches the path only, and its handler can read the query")
		case letter == '#':
			return fmt.Errorf("it has a fragment, which clients do not send; remove it")
		case letter == '<' || letter == '>':
			return fmt.Errorf("it has angle brackets; write a parameter as `{name}`")
		case letter == '%':
			if err := checkEscape(text[index+1:]); err != nil {
				return err
			}
		case !isUnreserved(letter) && !strings.ContainsRune("!$&'()*+,;=:@", letter):
			return fmt.Errorf("it has `%c`; write %s instead", letter, escaped(string(letter)))
		}
	}
	return nil
}

// checkEscape checks that the digits of an escape are those of its normal form (RFC 3986, section 6.2.2).
func checkEscape(text string) error {
	letter, ok := unescaped(text)
	if !ok {
		return fmt.Errorf("`%%` is not followed by two hexadecimal digits; write `%%25` for the character itself")
	}
	digits := text[:2]
	if upper := strings.ToUpper(digits); digits != upper {
		return fmt.Errorf("it has `%%%s`; write the digits in upper case: `%%%s`", digits, upper)
	}
	if isUnreserved(rune(letter)) {
		return fmt.Errorf("it has `%%%s`, which means the same as `%c`; write `%c`", digits, letter, letter)
	}
	return nil
}

// unescaped returns the byte for the two hexadecimal digits at the beginning of a text.
func unescaped(text string) (byte, bool) {
	isOther := func(letter rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF", letter) }
	if len(text) < 2 || strings.ContainsFunc(text[:2], isOther) {
		return 0, false
	}
	letter, err := strconv.ParseUint(text[:2], 16, 8)
	return byte(letter), err == nil
}

func escaped(text string) string {
	var escaped strings.Builder
	for _, letter := range []byte(text) {
		fmt.Fprintf(&escaped, "%%%02X", letter)
	}
	return escaped.String()
}

func isLetterOrDigit(letter rune) bool {
	return 'a' <= letter && letter <= 'z' || 'A' <= letter && letter <= 'Z' || '0' <= letter && letter <= '9'
}

func isUnreserved(letter rune) bool {
	return isLetterOrDigit(letter) || strings.ContainsRune("-._~", letter)
}

// decoded replaces the escapes that a function accepts.
func decoded(text string, replace func(letter byte) string) string {
	var result strings.Builder
	for index := 0; index < len(text); index++ {
		if letter, ok := unescaped(text[index+1:]); text[index] == '%' && ok {
			result.WriteString(replace(letter))
			index += 2
			continue
		}
		result.WriteByte(text[index])
	}
	return result.String()
}

// FindRoute returns the route among paths that takes a request's path, and its parameters, as the host finds it.
func FindRoute(paths []string, path string) (found string, parameters map[string]string, ok bool) {
	// The normal form of the path (RFC 3986, section 6.2.2), in which it is compared with routes.
	normal := decoded(path, func(letter byte) string {
		if isUnreserved(rune(letter)) {
			return string(rune(letter))
		}
		return escaped(string([]byte{letter}))
	})
	sent := strings.Split(normal, "/")
	for _, route := range paths {
		taken, matches := parametersOf(route, sent)
		if matches && (!ok || isNarrower(route, found)) {
			found, parameters, ok = route, taken, true
		}
	}
	return found, parameters, ok
}

func parametersOf(route string, sent []string) (map[string]string, bool) {
	plain := func(text string) string {
		return decoded(text, func(letter byte) string { return string([]byte{letter}) })
	}
	segments, parameters := strings.Split(route, "/"), map[string]string{}
	for index, segment := range segments {
		before, parameter, after, hasParameter := divide(segment)
		if name, takesRest := strings.CutPrefix(parameter, "*"); takesRest {
			if index >= len(sent) {
				return nil, false
			}
			rest := strings.Join(sent[index:], "/")
			parameters[name] = plain(rest)
			return parameters, rest != ""
		}
		if index >= len(sent) {
			return nil, false
		}
		text := sent[index]
		if !hasParameter {
			if text != segment {
				return nil, false
			}
			continue
		}
		isLonger := len(text) > len(before)+len(after)
		if !isLonger || !strings.HasPrefix(text, before) || !strings.HasSuffix(text, after) {
			return nil, false
		}
		parameters[parameter] = plain(text[len(before) : len(text)-len(after)])
	}
	return parameters, len(segments) == len(sent)
}

// isNarrower says whether a route takes less than another one: a text takes less than a parameter with long texts around
// it, that less than any parameter, and that less than the rest of a path.
func isNarrower(route, other string) bool {
	breadth := func(segment string) [3]int {
		before, parameter, after, hasParameter := divide(segment)
		kind := 0
		if strings.HasPrefix(parameter, "*") {
			kind = 2
		} else if hasParameter {
			kind = 1
		}
		return [3]int{kind, -len(before), -len(after)}
	}
	segments, others := strings.Split(route, "/"), strings.Split(other, "/")
	for index := range min(len(segments), len(others)) {
		one, two := breadth(segments[index]), breadth(others[index])
		for part := range one {
			if one[part] != two[part] {
				return one[part] < two[part]
			}
		}
	}
	return len(segments) < len(others)
}
