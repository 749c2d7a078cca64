package pelton

import (
	"errors"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// What reaches the operator's log when a transform crashes: what happened, and where in the author's own source.

// crashed is the panic of a crash that has been logged.
type crashed struct{}

func (crashed) Error() string { return "the transform crashed" }

// logCrash writes a crash into the log, with the author's frames of the stack.
func logCrash(message string) {
	var callers [64]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	var own []string
	for {
		frame, more := frames.Next()
		if isAuthors(frame.Function) {
			own = append(own, frame.Function+" "+frame.File+":"+strconv.Itoa(frame.Line))
		}
		if !more {
			break
		}
	}
	var fields []Attr
	if len(own) > 0 {
		_, place, _ := strings.Cut(own[0], " ")
		fields = append(fields, Attr{"at", place}, Attr{"stack", strings.Join(own, ", ")})
	}
	hostLog(LevelError, message, fields)
}

const sdkPath = "github.com/pelton-dev/pelton/guest-sdk/go."

// isAuthors tells functions of the author, and of what they depend on, from Go's own and the SDK's.
func isAuthors(function string) bool {
	if strings.HasPrefix(function, sdkPath) || strings.HasPrefix(function, "main.init.") {
		return false
	}
	folder, _, _ := strings.Cut(function, "/")
	if strings.HasPrefix(function, "main.") || folder != function && strings.Contains(folder, ".") {
		return true
	}
	build, ok := debug.ReadBuildInfo()
	return ok && build.Main.Path != "" && strings.HasPrefix(function, build.Main.Path+"/")
}

// reasonOf describes what a panic was called with.
func reasonOf(reason any) string {
	switch reason := reason.(type) {
	case error:
		return messageOf(reason)
	case string:
		return reason
	case interface{ String() string }:
		return reason.String()
	}
	return "a panic without a message"
}

// messageOf returns an error's message, without the values that the standard library's own errors quote.
func messageOf(err error) string {
	var number *strconv.NumError
	var date *time.ParseError
	switch {
	case errors.As(err, &number):
		return "strconv." + number.Func + ": " + number.Err.Error()
	case errors.As(err, &date):
		return "time: a text that can't be parsed"
	}
	return err.Error()
}
