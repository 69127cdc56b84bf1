// Package logs writes the lines of package log/slog to the plugin's log.
package logs

import (
	"context"
	"log"
	"log/slog"
	"strings"

	"sandbus/internal/host"
)

// Install makes the handler the default of package log/slog, and of package log. The returned function restores the
// previous ones.
func Install() (restore func()) {
	previous, flags, writer := slog.Default(), log.Flags(), log.Writer()
	slog.SetDefault(slog.New(handler{}))
	return func() {
		slog.SetDefault(previous)
		log.SetFlags(flags)
		log.SetOutput(writer)
	}
}

// handler writes records as a message followed by `key=value`. The host adds the time, the plugin and the event.
type handler struct {
	// prefix has the names of the open groups, and attributes those that were added to the logger.
	prefix     string
	attributes string
}

// Enabled is always true, because the host has the log's level.
func (handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(_ context.Context, record slog.Record) error {
	var line strings.Builder
	line.WriteString(record.Message)
	line.WriteString(h.attributes)
	record.Attrs(func(attribute slog.Attr) bool {
		write(&line, h.prefix, attribute)
		return true
	})
	host.Current().Log(level(record.Level), "", line.String())
	return nil
}

func (h handler) WithAttrs(attributes []slog.Attr) slog.Handler {
	var added strings.Builder
	added.WriteString(h.attributes)
	for _, attribute := range attributes {
		write(&added, h.prefix, attribute)
	}
	h.attributes = added.String()
	return h
}

func (h handler) WithGroup(name string) slog.Handler {
	if name != "" {
		h.prefix += name + "."
	}
	return h
}

func write(line *strings.Builder, prefix string, attribute slog.Attr) {
	value := attribute.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if attribute.Key != "" {
			prefix += attribute.Key + "."
		}
		for _, member := range value.Group() {
			write(line, prefix, member)
		}
		return
	}
	if attribute.Equal(slog.Attr{}) {
		return
	}
	line.WriteString(" " + prefix + attribute.Key + "=" + value.String())
}

func level(level slog.Level) host.Level {
	switch {
	case level < slog.LevelDebug:
		return host.Trace
	case level < slog.LevelInfo:
		return host.Debug
	case level < slog.LevelWarn:
		return host.Info
	case level < slog.LevelError:
		return host.Warn
	default:
		return host.Error
	}
}
