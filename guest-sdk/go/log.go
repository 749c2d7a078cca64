package pelton

import "fmt"

// Level is how much a line of the log matters.
type Level uint8

const (
	LevelTrace Level = iota
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
)

// String returns the level's name.
func (l Level) String() string {
	return [...]string{"trace", "debug", "info", "warn", "error"}[l]
}

// Enabled returns true when the host wants lines of this level.
func Enabled(level Level) bool { return hostEnabled(level) }

// Log writes a line into Pelton's log, with fields: names and values in turn.
//
//	pelton.Log(pelton.LevelInfo, "a large transaction", "changes", out.Span().Count)
//
// Nothing is formatted unless the host wants the level. Keep the values of rows out: logs are read by people who may not
// read the data.
func Log(level Level, message string, fields ...any) {
	if !hostEnabled(level) {
		return
	}
	attrs := make([]Attr, 0, len(fields)/2)
	for i := 0; i+1 < len(fields); i += 2 {
		attrs = append(attrs, Attr{fmt.Sprint(fields[i]), fmt.Sprint(fields[i+1])})
	}
	if len(fields)%2 == 1 {
		attrs = append(attrs, Attr{"!no name", fmt.Sprint(fields[len(fields)-1])})
	}
	hostLog(level, message, attrs)
}

// Trace, Debug, Info, Warn and Error write a line at their level, as [Log] does.
func Trace(message string, fields ...any) { Log(LevelTrace, message, fields...) }
func Debug(message string, fields ...any) { Log(LevelDebug, message, fields...) }
func Info(message string, fields ...any)  { Log(LevelInfo, message, fields...) }
func Warn(message string, fields ...any)  { Log(LevelWarn, message, fields...) }

// LogError writes a line at level error, as [Log] does.
func LogError(message string, fields ...any) { Log(LevelError, message, fields...) }
