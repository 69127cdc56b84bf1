// Package events has the data of each event type, for plugins in Go.
package events
