package backstore

import (
	"context"
	"fmt"
	"reflect"
	"strings"
)

// Kind is one kind of store: what configuration, command line help and user
// interface need to know of it.
type Kind struct {
	Name    string
	Summary string
	// Fields are the options in the order in which they are declared.
	Fields []Field

	new  func() any
	open func(context.Context, any) (Store, error)
}

// Field is one option of a kind, read from the tags of its options struct.
type Field struct {
	Name    string // json
	Type    reflect.Type
	Default string // default
	Doc     string // doc
}

// kinds are the rows. Another kind is another row.
var kinds = []Kind{
	kind("file", "a regular file, sparse unless preallocated", FileOptions{LockWait: DefaultLockWait}, openFile),
	kind("block", "a block device: a disk, a partition, an md, LVM or ZFS volume", BlockOptions{LockWait: DefaultLockWait}, openBlock),
	kind("ram", "memory, lost when the daemon ends", RAMOptions{}, openRAM),
	kind("null", "reads zeros and forgets what is written, for measuring the protocol", NullOptions{}, openNull),
}

// Kinds lists every kind of store.
func Kinds() []Kind { return append([]Kind(nil), kinds...) }

// Lookup finds a kind by name.
func Lookup(name string) (Kind, error) {
	var names []string
	for _, k := range kinds {
		if k.Name == name {
			return k, nil
		}
		names = append(names, k.Name)
	}
	return Kind{}, &Error{Op: "open", Reason: ReasonUnknownKind,
		Err: fmt.Errorf("%q is none of %s", name, strings.Join(names, ", "))}
}

// NewOptions returns a pointer to the kind's options struct, defaults filled
// in.
func (k Kind) NewOptions() any { return k.new() }

// Open opens a store. opts is the kind's options struct or a pointer to one.
// ctx bounds the wait for a medium that another process still holds.
func (k Kind) Open(ctx context.Context, opts any) (Store, error) { return k.open(ctx, opts) }

// Open opens a store of the named kind.
func Open(ctx context.Context, kindName string, opts any) (Store, error) {
	k, err := Lookup(kindName)
	if err != nil {
		return nil, err
	}
	return k.Open(ctx, opts)
}

// kind builds a row around a typed open function.
func kind[T any](name, summary string, defaults T, open func(context.Context, T) (Store, error)) Kind {
	k := Kind{Name: name, Summary: summary}
	t := reflect.TypeFor[T]()
	for i := range t.NumField() {
		f := t.Field(i)
		key := f.Tag.Get("json")
		if key == "-" {
			continue
		}
		k.Fields = append(k.Fields, Field{Name: key, Type: f.Type, Default: f.Tag.Get("default"), Doc: f.Tag.Get("doc")})
	}
	k.new = func() any { o := defaults; return &o }
	k.open = func(ctx context.Context, opts any) (Store, error) {
		switch o := opts.(type) {
		case T:
			return open(ctx, o)
		case *T:
			return open(ctx, *o)
		}
		return nil, &Error{Op: "open", Reason: ReasonBadOption,
			Err: fmt.Errorf("%s takes %s, not %T", name, t, opts)}
	}
	return k
}
