// Package number adds to numbers in the state: decimal text in the range of signed 64 bits.
package number

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"sandbus/internal/host"
)

// Sum returns the sum of a value and a number. A value that does not exist counts as zero.
func Sum(value []byte, exists bool, delta int64) (int64, error) {
	if !exists {
		return delta, nil
	}
	text := string(value)
	if digits := strings.TrimLeft(text, "+-"); len(text)-len(digits) > 1 || digits == "" {
		return 0, &host.Refusal{Kind: "not-a-number"}
	}
	present, err := strconv.ParseInt(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, &host.Refusal{Kind: "out-of-range"}
	case err != nil:
		return 0, &host.Refusal{Kind: "not-a-number"}
	case delta > 0 && present > math.MaxInt64-delta, delta < 0 && present < math.MinInt64-delta:
		return 0, &host.Refusal{Kind: "out-of-range"}
	}
	return present + delta, nil
}
