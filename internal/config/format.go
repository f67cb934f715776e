package config

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// YAML writes v, a Config or a part of one, in the form in which it is read.
// What is empty is left out; there are no secrets in a configuration.
func YAML(v any) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	n := encode(reflect.ValueOf(v))
	if n == nil {
		n = &yaml.Node{Kind: yaml.MappingNode}
	}
	if err := e.Encode(n); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// encode returns the node of a value, nil for one that is left out.
func encode(v reflect.Value) *yaml.Node {
	switch x := v.Interface().(type) {
	case time.Duration:
		return scalar(x.String())
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err != nil || len(text) == 0 {
			return nil
		}
		return scalar(string(text))
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return encode(v.Elem())
	case reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode}
		encodeFields(n, v)
		if len(n.Content) == 0 {
			return nil
		}
		return n
	case reflect.Slice:
		if v.Len() == 0 {
			return nil
		}
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			if item := encode(v.Index(i)); item != nil {
				n.Content = append(n.Content, item)
			}
		}
		if n.Content[0].Kind == yaml.ScalarNode {
			n.Style = yaml.FlowStyle
		}
		return n
	case reflect.String:
		if v.Len() == 0 {
			return nil
		}
		return scalar(v.String())
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v.Bool())}
	case reflect.Int64:
		if size := FormatSize(v.Int()); strings.TrimRight(size, "0123456789") != "" {
			return scalar(size)
		}
		return number(fmt.Sprint(v.Int()))
	case reflect.Int, reflect.Uint16:
		return number(fmt.Sprint(v.Interface()))
	}
	panic(fmt.Sprintf("config: no form for %s", v.Type()))
}

// encodeFields adds the fields of a struct of ours, or of a backstore's
// options, which have their names in another tag.
func encodeFields(n *yaml.Node, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("mapstructure")
		if name == "" {
			name = f.Tag.Get("json")
		}
		if f.Name == "Options" && !v.Field(i).IsNil() {
			encodeFields(n, v.Field(i).Elem().Elem())
			continue
		}
		if name == "" || name[0] == '-' || name[0] == ',' {
			continue
		}
		x := encode(v.Field(i))
		if x == nil && f.Type.Kind() == reflect.String && hasDefault(v.Type(), name) {
			x = scalar("") // which is not the default
		}
		if x != nil {
			n.Content = append(n.Content, scalar(name), x)
		}
	}
}

// hasDefault reports whether a key of a section of the file has a default.
func hasDefault(section reflect.Type, key string) bool {
	_, ok := defaults[strings.ToLower(section.Name())+"::"+key]
	return ok
}

func number(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: text}
}

func scalar(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}

// FormatSize writes a number of bytes as ParseSize reads it.
func FormatSize(n int64) string {
	for _, u := range units[:5] {
		if n > 0 && n%u.bytes == 0 && n/u.bytes < 1<<20 && (u.suffix == "PiB" || n/u.bytes < 1024 || n%(u.bytes<<10) != 0) {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}
