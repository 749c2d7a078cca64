package pelton

import (
	"errors"
	"fmt"
)

// Error is why a change was not transformed, in one of the three ways that the host tells apart: [Reject], [Retry] and
// [Fatal] make it.
//
// Any other error that a function returns is taken for a mistake of the program: it is logged and ends the instance, as
// a panic does, and the host finds the change that causes it.
//
// Messages reach the operator's logs: keep the values of rows out of them.
type Error struct {
	verdict verdict
	// Code is a short word that dead letters can be grouped by, such as "amount-negative"; of rejections alone.
	Code    string
	Message string
	// AfterMs is after how many milliseconds the batch should come again; 0: as the host thinks best.
	AfterMs uint32
}

type verdict uint8

const (
	retryable verdict = iota
	rejected
	fatal
)

// Reject refuses the change at hand for good. The others of its batch go on; what happens to this one is the manifest's
// onError: the flow stops, or the change is parked as a dead letter.
func Reject(code, format string, args ...any) error {
	return &Error{verdict: rejected, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Retry asks for the same batch again after that many milliseconds (0: as the host thinks best). Nothing of it happened.
func Retry(afterMs uint32, format string, args ...any) error {
	return &Error{verdict: retryable, AfterMs: afterMs, Message: fmt.Sprintf(format, args...)}
}

// Fatal stops the flow: the transform can't go on.
func Fatal(format string, args ...any) error {
	return &Error{verdict: fatal, Message: fmt.Sprintf(format, args...)}
}

// IsRejected, IsRetry and IsFatal tell which it is.
func (e *Error) IsRejected() bool { return e.verdict == rejected }
func (e *Error) IsRetry() bool    { return e.verdict == retryable }
func (e *Error) IsFatal() bool    { return e.verdict == fatal }

// Error describes the error.
func (e *Error) Error() string {
	switch e.verdict {
	case rejected:
		return "rejected (" + e.Code + "): " + e.Message
	case retryable:
		return "to be retried: " + e.Message
	}
	return e.Message
}

// asError finds the verdict in an error; one that holds none is a mistake of the program.
func asError(err error) (*Error, bool) {
	if own, ok := err.(*Error); ok {
		return own, true
	}
	var wrapped *Error
	ok := errors.As(err, &wrapped)
	return wrapped, ok
}

var errMalformed = Fatal("the host's batch ends too early or is not what the contract says: host and SDK do not fit together")
