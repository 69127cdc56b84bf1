// Package config has the plugin's configuration: its declared defaults, overridden by the operator's sidecar.
package config

import (
	"fmt"

	"sandbus/internal/host"
)

// Get returns the value of a key, and whether it has one.
func Get(key string) (value string, exists bool) {
	value, exists, err := host.Current().ConfigGet(key)
	if err != nil {
		// The host reads the configuration before a plugin starts, so this does not depend on the operator.
		panic(fmt.Sprintf("sandbus: the configuration refused the call: %v", err))
	}
	return value, exists
}

// Require returns the value of a key. It is an error if the key has none.
func Require(key string) (string, error) {
	value, exists := Get(key)
	if !exists {
		return "", fmt.Errorf("the configuration has no `%s`; set it in the sidecar's [config]", key)
	}
	return value, nil
}
