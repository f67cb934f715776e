package initiator

import (
	"bytes"
	"fmt"
	"slices"
)

// Key is one key=value pair of login or text negotiation.
type Key struct{ Name, Value string }

func (k Key) String() string { return k.Name + "=" + k.Value }

// Omit as the value of an entry of Config.Keys removes that key from the offer.
const Omit = "\x00omit"

// Keys is an ordered list: order and repetition are visible on the wire.
type Keys []Key

// Get returns the first value of a name.
func (k Keys) Get(name string) (string, bool) {
	i := slices.IndexFunc(k, func(e Key) bool { return e.Name == name })
	if i < 0 {
		return "", false
	}
	return k[i].Value, true
}

// All returns every value of a name, in order.
func (k Keys) All(name string) []string {
	var v []string
	for _, e := range k {
		if e.Name == name {
			v = append(v, e.Value)
		}
	}
	return v
}

// Marshal encodes the list as text: each pair ends with NUL. RFC 7143 §6.1.
func (k Keys) Marshal() []byte {
	var b []byte
	for _, e := range k {
		b = append(b, e.Name...)
		b = append(b, '=')
		b = append(b, e.Value...)
		b = append(b, 0)
	}
	return b
}

// override applies Config.Keys to an offer: the first entry of a name replaces,
// Omit removes, and what has no place is returned as extra (for the next offer).
func (k Keys) override(with Keys) (merged, extra Keys) {
	merged = slices.Clone(k)
	replaced := make(map[string]bool)
	for _, w := range with {
		i := slices.IndexFunc(merged, func(e Key) bool { return e.Name == w.Name })
		switch {
		case w.Value == Omit && i >= 0:
			merged = slices.Delete(merged, i, i+1)
		case i >= 0 && !replaced[w.Name]:
			merged[i].Value = w.Value
			replaced[w.Name] = true
		default:
			extra = append(extra, w)
		}
	}
	return merged, extra
}

// withoutOmit drops what is left of removals: keys that were never in an offer.
func (k Keys) withoutOmit() Keys {
	return slices.DeleteFunc(slices.Clone(k), func(e Key) bool { return e.Value == Omit })
}

// ParseKeys decodes text strictly. RFC 7143 §6.1: each pair, the last included,
// ends with NUL; a key starts with a capital letter and has 1 to 63 characters.
// A CHAP value may exceed 255 bytes, so only the whole text is bounded (by the
// segment that carried it).
func ParseKeys(b []byte) (Keys, error) {
	var keys Keys
	for len(b) > 0 {
		end := bytes.IndexByte(b, 0)
		if end < 0 {
			return keys, fmt.Errorf("pair %q does not end with NUL", clip(b))
		}
		name, value, ok := bytes.Cut(b[:end], []byte{'='})
		if !ok {
			return keys, fmt.Errorf("pair %q has no '='", clip(b[:end]))
		}
		if err := checkKeyName(name); err != nil {
			return keys, err
		}
		keys = append(keys, Key{Name: string(name), Value: string(value)})
		b = b[end+1:]
	}
	return keys, nil
}

func clip(b []byte) []byte { return b[:min(len(b), 64)] }

func checkKeyName(name []byte) error {
	if len(name) == 0 || len(name) > 63 {
		return fmt.Errorf("key %q has %d characters, 1 to 63 are allowed", clip(name), len(name))
	}
	// RFC 7144 §7.1.1 registers one that breaks the rule.
	if (name[0] < 'A' || name[0] > 'Z') && string(name) != "iSCSIProtocolLevel" {
		return fmt.Errorf("key %q does not start with a capital letter", name)
	}
	for _, c := range name {
		switch {
		case c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c == '.', c == '-', c == '+', c == '@', c == '_', c == '#':
		default:
			return fmt.Errorf("key %q holds character %q", name, c)
		}
	}
	return nil
}
