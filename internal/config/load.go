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
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"

	"nas-target/configs"
	"nas-target/internal/backstore"
)

// maxFile is more than any configuration needs: 1,000 LUNs take 200 KiB.
const maxFile = 16 << 20

// Load reads and validates a file.
func Load(path string) (*Config, error) {
	s, err := ReadSource(path)
	if err != nil {
		return nil, err
	}
	return Parse(s.Name, s.Data)
}

// ReadSource reads the text of a file.
func ReadSource(path string) (Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return Source{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Source{}, err
	}
	if len(data) > maxFile {
		return Source{}, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	return Source{path, data}, nil
}

// LabFile is the name of the configuration that runs when none is given.
const LabFile = "lab.yaml"

// Lab returns the lab default: configs/lab.yaml as it was when the program was
// built.
func Lab() (*Config, error) {
	s, err := LabSource()
	if err != nil {
		return nil, err
	}
	return Parse(s.Name, s.Data)
}

// LabSource returns the text of the lab default.
func LabSource() (Source, error) {
	data, err := configs.Files.ReadFile(LabFile)
	return Source{LabFile, data}, err
}

// Parse reads and validates the text of a file; name is for messages.
func Parse(name string, data []byte) (*Config, error) {
	return Merge(Source{name, data}, Source{}, nil)
}

// decode lets viper lay environment over file over defaults.
func decode(data []byte, c *Config) error {
	v := newViper()
	for key, value := range defaults {
		v.SetDefault(key, value)
	}
	for key, env := range environment {
		if err := v.BindEnv(key, env); err != nil {
			return err
		}
	}
	if err := unmarshal(v, data, c); err != nil {
		return err
	}
	return decodeOptions(c.Targets, "targets")
}

// decodeManaged reads what operators made, over which no environment stands.
func decodeManaged(data []byte, m *Managed) error {
	if err := unmarshal(newViper(), data, m); err != nil {
		return err
	}
	for i := range m.Additions {
		a := &m.Additions[i] // whose defaults are the operator's file's to say
		a.Access, a.HeaderDigest, a.DataDigest = "", "", ""
	}
	return errors.Join(decodeOptions(m.Targets, "targets"), decodeOptions(m.Additions, "additions"))
}

func newViper() *viper.Viper {
	v := viper.NewWithOptions(viper.KeyDelimiter("::"))
	v.SetConfigType("yaml")
	return v
}

func unmarshal(v *viper.Viper, data []byte, into any) error {
	if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
		return err
	}
	return v.UnmarshalExact(into, viper.DecodeHook(mapstructure.ComposeDecodeHookFunc(
		withDefaults, addresses, durations, sizes, strict)), noGuessing)
}

// noGuessing makes a number where a text belongs, or the reverse, an error.
func noGuessing(d *mapstructure.DecoderConfig) { d.WeaklyTypedInput = false }

// addresses reads network addresses.
func addresses(_, to reflect.Type, value any) (any, error) {
	switch to {
	case reflect.TypeFor[netip.AddrPort]():
		if a, err := netip.ParseAddrPort(fmt.Sprint(value)); err == nil && a.Port() != 0 {
			return a, nil
		}
		return nil, fmt.Errorf("%s is not an address with a port, such as 10.0.0.5:3260 or [fd00::5]:3260", quotedText(value))
	case reflect.TypeFor[netip.Prefix]():
		if p, err := netip.ParsePrefix(fmt.Sprint(value)); err == nil {
			return p.Masked(), nil
		}
		if a, err := netip.ParseAddr(fmt.Sprint(value)); err == nil {
			return netip.PrefixFrom(a, a.BitLen()), nil
		}
		return nil, fmt.Errorf("%s is not a network, such as 10.0.0.0/24", quotedText(value))
	}
	return value, nil
}

// decodeOptions turns the remaining keys of each LUN into the options struct
// of its backstore.
func decodeOptions(targets []Target, path string) error {
	var all []error
	for i := range targets {
		for j := range targets[i].LUNs {
			l := &targets[i].LUNs[j]
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
				all = append(all, &within{fmt.Sprintf("%s[%d].luns[%d]", path, i, j), err})
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
		return nil, fmt.Errorf("%s is not a duration, such as 15s or 2m", said(value))
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
