package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// strict says what belongs where a value has the wrong form, and refuses the
// fraction that mapstructure would cut off.
func strict(_, to reflect.Type, value any) (any, error) {
	if value == nil {
		return nil, nil
	}
	is := reflect.TypeOf(value)
	switch kind := to.Kind(); {
	case kind >= reflect.Int && kind <= reflect.Uint64:
		return value, wholeNumber(to, value)
	case kind == reflect.Bool && is.Kind() != reflect.Bool:
		return nil, fmt.Errorf("%s is neither true nor false", said(value))
	case kind == reflect.String && is != to && is.Kind() != reflect.String:
		if is.Kind() == reflect.Slice || is.Kind() == reflect.Map {
			return nil, fmt.Errorf("%s stands where one text belongs", said(value))
		}
		return nil, fmt.Errorf("%s is not a text; put it in quotes", said(value))
	case kind == reflect.Slice && is.Kind() != reflect.Slice:
		if is.Kind() != reflect.Map {
			return nil, fmt.Errorf("must be a list, such as [%v]", value)
		}
		return nil, fmt.Errorf("must be a list: write - before each of its items")
	case kind == reflect.Struct && to.PkgPath() == reflect.TypeFor[Config]().PkgPath() && is != to && is.Kind() != reflect.Map:
		keys := make([]string, 0, to.NumField())
		for key := range fieldsOf(to) {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		// The value stays unsaid: what stands for chap may be a secret.
		return nil, fmt.Errorf("keys with their values belong here: %s", strings.Join(keys, ", "))
	}
	return value, nil
}

func wholeNumber(to reflect.Type, value any) error {
	n := reflect.ValueOf(value)
	if text, ok := value.(string); ok {
		if _, err := strconv.ParseInt(text, 0, 64); err == nil {
			return fmt.Errorf("%q is a text; write the number without quotes", text)
		}
	}
	if !n.CanInt() {
		return fmt.Errorf("%s is not a whole number", said(value))
	}
	v := reflect.New(to).Elem()
	if v.CanInt() && v.OverflowInt(n.Int()) || v.CanUint() && (n.Int() < 0 || v.OverflowUint(uint64(n.Int()))) {
		return fmt.Errorf("%v is out of range", value)
	}
	return nil
}

// said is a value as a message shows it.
func said(value any) string {
	switch reflect.ValueOf(value).Kind() {
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "a key with a value"
	}
	return fmt.Sprint(value)
}

// quotedText is said, with quotes around what is a text.
func quotedText(value any) string {
	if text, ok := value.(string); ok {
		return strconv.Quote(text)
	}
	return said(value)
}
