package pelton

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Settings: what the manifest tells a transform.

// setting is one declared setting.
type setting struct {
	name     string
	required bool
	def      *string
	doc      string
	field    int
}

// settingsOf lists the settings that a pointer to a struct declares; nil declares none.
func settingsOf(settings any) ([]setting, error) {
	if settings == nil {
		return nil, nil
	}
	typ := reflect.TypeOf(settings)
	if typ.Kind() != reflect.Pointer || typ.Elem().Kind() != reflect.Struct {
		return nil, Fatal("Settings is %s; give a pointer to a struct", typ)
	}
	typ = typ.Elem()
	var declared []setting
	for i := range typ.NumField() {
		field := typ.Field(i)
		tag := field.Tag.Get("pelton")
		if tag == "-" || !field.IsExported() {
			continue
		}
		name := tag
		if name == "" {
			name = snakeCase(field.Name)
		}
		s := setting{name: name, doc: field.Tag.Get("doc"), field: i}
		value, pointer := field.Type, field.Type.Kind() == reflect.Pointer
		if pointer {
			value = value.Elem()
		}
		if !isSetting(value) {
			return nil, Fatal("setting `%s` is %s; there are strings, bools, integers, floats, pointers to them for what may be left "+
				"out, and types with an UnmarshalText", name, field.Type)
		}
		if def, ok := field.Tag.Lookup("default"); ok {
			if pointer {
				return nil, Fatal("setting `%s` has a default, so it is never absent: make it a plain field", name)
			}
			if err := parseSetting(reflect.New(value).Elem(), def); err != nil {
				return nil, Fatal("the default of setting `%s` %s", name, err)
			}
			s.def = &def
		}
		s.required = !pointer && s.def == nil
		declared = append(declared, s)
	}
	return declared, nil
}

// readSettings fills a struct.
func readSettings(settings any, given []Attr) error {
	declared, err := settingsOf(settings)
	if err != nil || settings == nil {
		return err
	}
	into := reflect.ValueOf(settings).Elem()
	into.SetZero()
	for _, s := range declared {
		text := s.def
		for i := range given {
			if given[i].Name == s.name {
				text = &given[i].Value
			}
		}
		field := into.Field(s.field)
		if text == nil {
			if s.required {
				return Fatal("setting `%s` is missing: %s", s.name, s.doc)
			}
			continue
		}
		if field.Kind() == reflect.Pointer {
			field.Set(reflect.New(field.Type().Elem()))
			field = field.Elem()
		}
		if err := parseSetting(field, *text); err != nil {
			// Not the text itself: a setting may be a secret.
			return Fatal("setting `%s` %s", s.name, err)
		}
	}
	return nil
}

func isSetting(typ reflect.Type) bool {
	if reflect.PointerTo(typ).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return true
	}
	switch typ.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

// parseSetting reads a text into a field. Its errors, the same in every SDK, do not show the text.
func parseSetting(field reflect.Value, text string) (err error) {
	if own, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := own.UnmarshalText([]byte(text)); err != nil {
			return fmt.Errorf("can't be read: %w", err)
		}
		return nil
	}
	expected := ""
	switch bits := field.Type().Bits; field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return errors.New("must be true or false")
		}
		field.SetBool(text == "true")
	case reflect.Float32, reflect.Float64:
		var value float64
		value, err = strconv.ParseFloat(text, bits())
		if errors.Is(err, strconv.ErrRange) {
			err = nil
		}
		field.SetFloat(value)
		expected = "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var value int64
		value, err = strconv.ParseInt(text, 10, bits())
		field.SetInt(value)
		expected = "an integer"
	default:
		var value uint64
		value, err = strconv.ParseUint(strings.TrimPrefix(text, "+"), 10, bits())
		field.SetUint(value)
		expected = "an integer, and not negative"
	}
	if err != nil {
		return errors.New("must be " + expected)
	}
	return nil
}
