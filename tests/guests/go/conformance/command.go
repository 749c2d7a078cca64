package main

import (
	"strconv"
	"strings"
	"unicode/utf8"

	pelton "github.com/pelton-dev/pelton/guest-sdk/go"
)

// Counted is how often a name was counted.
type Counted struct {
	Name string `pelton:",key"`
	N    int64
}

var counts = pelton.NewMap[string, int64]("counts")

// command does what a logical message tells it to do.
func command(change pelton.Change[pelton.LogicalMessage], out *pelton.Out) error {
	if change.Op != pelton.OpInsert {
		return nil
	}
	if !utf8.Valid(change.New.Content) {
		return pelton.Reject("not-text", "a command is not UTF-8")
	}
	word, rest, _ := strings.Cut(string(change.New.Content), " ")
	switch word {
	case "count":
		return count(rest, out)
	case "clear":
		pelton.Truncate[Counted](out)
		return counts.Clear()
	case "list":
		return counts.ForEach(func(name string, n int64) error {
			if strings.HasPrefix(name, rest) {
				pelton.Update(out, &Counted{name, n})
			}
			return nil
		})
	case "reject":
		return pelton.Reject(rest, "told to reject")
	case "retry":
		if afterMs, err := strconv.ParseUint(strings.TrimPrefix(rest, "+"), 10, 32); err == nil {
			return pelton.Retry(uint32(afterMs), "told to wait")
		}
	case "fatal":
		return pelton.Fatal("told to stop")
	case "crash":
		panic("told to crash")
	case "log":
		label := "none"
		if options.Label != nil {
			label = *options.Label
		}
		pelton.Info(options.Greeting+", told to log", "label", label, "transactional", change.New.Transactional)
		return nil
	}
	return pelton.Reject("unknown-command", "there is no such command")
}

func count(name string, out *pelton.Out) error {
	before, err := counts.Get(name)
	if err != nil {
		return err
	}
	row := &Counted{name, 1}
	if before != nil {
		row.N += *before
	}
	if err := counts.Put(name, row.N); err != nil {
		return err
	}
	switch {
	case row.N > options.Limit:
		return pelton.Reject("too-many", "a name was counted %d times already", options.Limit)
	case before == nil:
		pelton.Insert(out, row)
	default:
		pelton.Update(out, row)
	}
	return nil
}
