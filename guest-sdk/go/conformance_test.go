package sandbus_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"sandbus"
	"sandbus/internal/rule"
	"sandbus/sandbustest"
)

func TestEventTypes(t *testing.T) {
	var table struct {
		Patterns, Malformed []string
		Matches             [][3]any
	}
	conformance(t, "event-types", &table)
	for _, text := range table.Patterns {
		if !rule.IsPattern(text) {
			t.Errorf("%q is a pattern", text)
		}
	}
	for _, text := range table.Malformed {
		if rule.IsPattern(text) {
			t.Errorf("%q is no pattern", text)
		}
	}
	for _, row := range table.Matches {
		if rule.Matches(row[0].(string), row[1].(string)) != row[2] {
			t.Errorf("%q", row)
		}
	}
	if !rule.IsPattern(strings.Repeat("ä", 127)) || rule.IsPattern(strings.Repeat("ä", 128)) {
		t.Error("a pattern has at most 255 bytes")
	}
}

func TestHostAttributes(t *testing.T) {
	var table struct{ Names, Prefixes, Others []string }
	conformance(t, "host-attributes", &table)
	given := map[string]string{}
	for _, name := range slices.Concat(table.Names, table.Others) {
		given[name] = "1"
	}
	for _, prefix := range table.Prefixes {
		given[prefix], given[prefix+"x"] = "1", "1"
	}
	host := handling(func(any, *sandbus.Event) error {
		_, err := sandbus.Publish(sandbus.Message{Type: "thing.seen", Extensions: given})
		return err
	})
	expect(t, host.Deliver("thing", nil), sandbustest.Outcome{Outcome: "ack"})
	names := slices.Sorted(maps.Keys(host.Published()[0].Extensions))
	slices.Sort(table.Others)
	expect(t, names, table.Others)
}

func TestTimes(t *testing.T) {
	var table struct {
		Valid   map[string]int64
		Invalid []string
	}
	conformance(t, "rfc3339", &table)
	for text, milliseconds := range table.Valid {
		parsed, err := sandbus.ParseTime(text)
		if err != nil || parsed.UnixMilli() != milliseconds {
			t.Errorf("%s: %v %v", text, parsed, err)
		}
	}
	for _, text := range table.Invalid {
		if parsed, err := sandbus.ParseTime(text); err == nil {
			t.Errorf("%q is no time, and not %v", text, parsed)
		}
	}
}

func TestRoutePaths(t *testing.T) {
	var table struct {
		Methods  []string
		Accepted []string
		Refused  [][2]string
		Matches  [][4]any
		MaxBytes int `json:"max_bytes"`
	}
	conformance(t, "route-paths", &table)
	expect(t, rule.Methods, table.Methods)
	for _, path := range table.Accepted {
		if err := rule.CheckPath(path); err != nil {
			t.Errorf("%q: %v", path, err)
		}
	}
	for _, row := range table.Refused {
		if err := rule.CheckPath(row[0]); err == nil || !strings.Contains(err.Error(), row[1]) {
			t.Errorf("%q: %v lacks %q", row[0], err, row[1])
		}
	}
	most := "/" + strings.Repeat("a", table.MaxBytes-1)
	if rule.CheckPath(most) != nil || rule.CheckPath(most+"a") == nil {
		t.Error("a path has a limited length")
	}
	for _, row := range table.Matches {
		var routes []string
		for _, route := range row[0].([]any) {
			routes = append(routes, route.(string))
		}
		found, parameters, ok := rule.FindRoute(routes, row[1].(string))
		if row[2] == nil {
			if ok {
				t.Errorf("%v takes %v", found, row[1])
			}
			continue
		}
		expected := map[string]string{}
		for name, value := range row[3].(map[string]any) {
			expected[name] = value.(string)
		}
		if found != row[2] || !maps.Equal(parameters, expected) {
			t.Errorf("%v: %v %v", row, found, parameters)
		}
	}
}
