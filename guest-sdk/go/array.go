package pelton

import (
	"strconv"
	"strings"
)

// Elements returns the elements of an array of one dimension as texts, nil for NULL; or a rejection of a text that is no
// array, and of one with more dimensions.
func (a Array) Elements() ([]*string, error) {
	if elements, ok := parseArray(string(a)); ok {
		return elements, nil
	}
	return nil, unreadable("array of one dimension")
}

// Ints returns the elements of an array of integers, nil for NULL; or a rejection, as [Array.Elements].
func (a Array) Ints() ([]*int64, error) {
	texts, err := a.Elements()
	if err != nil {
		return nil, err
	}
	elements := make([]*int64, len(texts))
	for i, text := range texts {
		if text == nil {
			continue
		}
		value, err := strconv.ParseInt(*text, 10, 64)
		if err != nil {
			return nil, unreadable("integer")
		}
		elements[i] = &value
	}
	return elements, nil
}

// ArrayOf makes the text of an array of one dimension; nil is NULL.
func ArrayOf(elements ...*string) Array {
	var text strings.Builder
	text.WriteByte('{')
	for i, element := range elements {
		if i > 0 {
			text.WriteByte(',')
		}
		if element == nil {
			text.WriteString("NULL")
			continue
		}
		text.WriteByte('"')
		for _, letter := range []byte(*element) {
			if letter == '"' || letter == '\\' {
				text.WriteByte('\\')
			}
			text.WriteByte(letter)
		}
		text.WriteByte('"')
	}
	text.WriteByte('}')
	return Array(text.String())
}

func parseArray(text string) ([]*string, bool) {
	// Bounds that do not begin at 1 stand before the elements: [0:1]={a,b}
	if strings.HasPrefix(text, "[") {
		_, behind, ok := strings.Cut(text, "=")
		if !ok {
			return nil, false
		}
		text = behind
	}
	rest, opened := strings.CutPrefix(text, "{")
	rest, closed := strings.CutSuffix(rest, "}")
	if !opened || !closed {
		return nil, false
	}
	elements := []*string{}
	if rest == "" {
		return elements, true
	}
	for {
		element, behind, ok := arrayElement(rest)
		if !ok {
			return nil, false
		}
		elements = append(elements, element)
		if behind == "" {
			return elements, true
		}
		if rest, ok = strings.CutPrefix(behind, ","); !ok {
			return nil, false
		}
	}
}

func arrayElement(text string) (element *string, behind string, ok bool) {
	if quoted, is := strings.CutPrefix(text, `"`); is {
		return quotedElement(quoted)
	}
	// Without quotes Postgres prints neither braces nor quotes, nor nothing.
	end := strings.IndexByte(text, ',')
	if end < 0 {
		end = len(text)
	}
	plain, behind := text[:end], text[end:]
	if plain == "" || strings.ContainsAny(plain, `{}"\`) {
		return nil, "", false
	}
	if plain == "NULL" {
		return nil, behind, true
	}
	return &plain, behind, true
}

// quotedElement takes an element up to its closing quote.
func quotedElement(text string) (element *string, behind string, ok bool) {
	var letters strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			whole := letters.String()
			return &whole, text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return nil, "", false
			}
		}
		letters.WriteByte(text[i])
	}
	return nil, "", false
}
