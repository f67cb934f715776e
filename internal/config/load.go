package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"nas-target/configs"
	"nas-target/internal/backstore"
)

// maxFile is more than any configuration needs: 1,000 LUNs take 200 KiB.
const maxFile = 16 << 20

// Load reads and validates a file.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	return Parse(path, data)
}

// LabFile is the name of the configuration that runs when none is given.
const LabFile = "lab.yaml"

// Lab returns the lab default: configs/lab.yaml as it was when the program was
// built.
func Lab() (*Config, error) {
	data, err := configs.Files.ReadFile(LabFile)
	if err != nil {
		return nil, err
	}
	return Parse(LabFile, data)
}

// Parse reads and validates the text of a file; name is for messages.
func Parse(name string, data []byte) (*Config, error) {
	var problems []Problem
	report := func(line int, path, reason string) {
		problems = append(problems, Problem{File: name, Line: line, Path: path, Reason: reason})
	}
	fail := func() (*Config, error) {
		slices.SortStableFunc(problems, func(a, b Problem) int { return a.Line - b.Line })
		return nil, &Error{problems}
	}

	tree, err := parseTree(data)
	if err != nil {
		line, reason := yamlLine(err)
		report(line, "", reason)
		return fail()
	}
	checkKeys(tree, reflect.TypeFor[Config](), "", report)
	if len(problems) > 0 {
		return fail()
	}
	c, err := decode(data)
	if err != nil {
		for _, d := range decodeErrors(err) {
			report(lineOf(tree, d.path), d.path, d.reason)
		}
		return fail()
	}
	validate(c, func(path, reason string) { report(lineOf(tree, path), path, reason) })
	if len(problems) > 0 {
		return fail()
	}
	return c, nil
}

// parseTree returns the top mapping; an empty file is an empty mapping.
func parseTree(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err == io.EOF {
		return &yaml.Node{Kind: yaml.MappingNode}, nil
	} else if err != nil {
		return nil, err
	}
	if err := dec.Decode(new(yaml.Node)); err != io.EOF {
		return nil, errors.New("the file must hold one YAML document")
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: the file must be a list of keys and values", top.Line)
	}
	return top, nil
}

var atLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)$`)

func yamlLine(err error) (int, string) {
	m := atLine.FindStringSubmatch(strings.SplitN(err.Error(), "\n", 2)[0])
	line, _ := strconv.Atoi(m[1])
	return line, m[2]
}

// decode lets viper lay environment over file over defaults.
func decode(data []byte) (*Config, error) {
	v := viper.NewWithOptions(viper.KeyDelimiter("::"))
	v.SetConfigType("yaml")
	for key, value := range defaults {
		v.SetDefault(key, value)
	}
	for key, env := range environment {
		if err := v.BindEnv(key, env); err != nil {
			return nil, err
		}
	}
	if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
		return nil, err
	}
	var c Config
	if err := v.UnmarshalExact(&c, viper.DecodeHook(mapstructure.ComposeDecodeHookFunc(
		withDefaults, addresses, durations, sizes, strict)), noGuessing); err != nil {
		return nil, err
	}
	return &c, decodeOptions(&c)
}

// noGuessing makes a number where a text belongs, or the reverse, an error.
func noGuessing(d *mapstructure.DecoderConfig) { d.WeaklyTypedInput = false }

// strict says in plain words that a value has the wrong form, and refuses the
// fraction that mapstructure would cut off.
func strict(_, to reflect.Type, value any) (any, error) {
	switch kind := to.Kind(); {
	case kind >= reflect.Int && kind <= reflect.Uint64:
		n := reflect.ValueOf(value)
		if !n.IsValid() || !n.CanInt() {
			return nil, fmt.Errorf("%v is not a whole number", value)
		}
		if v := reflect.New(to).Elem(); v.CanInt() && v.OverflowInt(n.Int()) ||
			v.CanUint() && (n.Int() < 0 || v.OverflowUint(uint64(n.Int()))) {
			return nil, fmt.Errorf("%v is out of range", value)
		}
	case kind == reflect.Bool:
		if _, ok := value.(bool); !ok {
			return nil, fmt.Errorf("%v is neither true nor false", value)
		}
	case kind == reflect.String:
		if _, ok := value.(string); !ok && value != nil && reflect.TypeOf(value) != to {
			return nil, fmt.Errorf("%v is not a text; put it in quotes", value)
		}
	case kind == reflect.Slice:
		if value != nil && reflect.TypeOf(value).Kind() != reflect.Slice {
			return nil, fmt.Errorf("must be a list")
		}
	}
	return value, nil
}

// addresses reads network addresses.
func addresses(_, to reflect.Type, value any) (any, error) {
	switch to {
	case reflect.TypeFor[netip.AddrPort]():
		if a, err := netip.ParseAddrPort(fmt.Sprint(value)); err == nil && a.Port() != 0 {
			return a, nil
		}
		return nil, fmt.Errorf("%q is not an address with a port, such as 10.0.0.5:3260 or [fd00::5]:3260", value)
	case reflect.TypeFor[netip.Prefix]():
		if p, err := netip.ParsePrefix(fmt.Sprint(value)); err == nil {
			return p.Masked(), nil
		}
		if a, err := netip.ParseAddr(fmt.Sprint(value)); err == nil {
			return netip.PrefixFrom(a, a.BitLen()), nil
		}
		return nil, fmt.Errorf("%q is not a network, such as 10.0.0.0/24", value)
	}
	return value, nil
}

// decodeOptions turns the remaining keys of each LUN into the options struct
// of its backstore.
func decodeOptions(c *Config) error {
	var all []error
	for i := range c.Targets {
		for j := range c.Targets[i].LUNs {
			l := &c.Targets[i].LUNs[j]
			kind, err := backstore.Lookup(l.Backstore)
			if err != nil {
				continue // Validate says so
			}
			l.Options = kind.NewOptions()
			dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
				Result: l.Options, TagName: "json", ErrorUnused: true,
				DecodeHook: mapstructure.ComposeDecodeHookFunc(durations, sizes, strict),
			})
			if err != nil {
				return err
			}
			if err := dec.Decode(l.Rest); err != nil {
				all = append(all, &within{fmt.Sprintf("targets[%d].luns[%d]", i, j), err})
			}
			l.Rest = nil
		}
	}
	return errors.Join(all...)
}

// sizes lets every 64-bit number be written as a size.
func sizes(from, to reflect.Type, value any) (any, error) {
	if s, ok := value.(string); ok && to == reflect.TypeFor[int64]() {
		return ParseSize(s)
	}
	return value, nil
}

// durations are written with their unit.
func durations(_, to reflect.Type, value any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() {
		return value, nil
	}
	text, _ := value.(string)
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return nil, fmt.Errorf("%v is not a duration, such as 15s or 2m", value)
	}
	return d, nil
}

// within gives the errors of a nested decoding their place.
type within struct {
	path string
	err  error
}

func (w *within) Error() string { return w.err.Error() }

type decodeError struct{ path, reason string }

var (
	quotedPath = regexp.MustCompile(`^'([^']*)' (.*)$`)
	decoding   = regexp.MustCompile(`^error decoding '([^']*)': (.*)$`)
)

// decodeErrors takes mapstructure's errors apart: each names the field.
func decodeErrors(err error) []decodeError {
	var all []decodeError
	var visit func(prefix string, err error)
	visit = func(prefix string, err error) {
		switch e := err.(type) {
		case *within:
			visit(e.path, e.err)
			return
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				visit(prefix, inner)
			}
			return
		}
		if inner, ok := err.(interface{ WrappedErrors() []error }); ok {
			for _, e := range inner.WrappedErrors() {
				visit(prefix, e)
			}
			return
		}
		text := err.Error()
		for _, form := range []*regexp.Regexp{quotedPath, decoding} {
			if m := form.FindStringSubmatch(text); m != nil {
				all = append(all, decodeError{join(prefix, m[1]), m[2]})
				return
			}
		}
		if inner := errors.Unwrap(err); inner != nil {
			visit(prefix, inner)
			return
		}
		all = append(all, decodeError{prefix, text})
	}
	visit("", err)
	return all
}
