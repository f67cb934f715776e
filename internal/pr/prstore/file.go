package prstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"nas-target/internal/pr"
)

var (
	// ErrInUse: another process has the directory.
	ErrInUse = errors.New("in use by another process")
	// ErrNotAttached: the unit has no open file.
	ErrNotAttached = errors.New("unit is not attached to the reservation store")
)

// Options of a File store.
type Options struct {
	Dir    string // made if missing, mode 0700
	BootID string // of this boot of the host; see BootID

	// MaxRegistrations is the number that a unit must have room for; 0 means
	// pr.DefaultMaxRegistrations. Files made with less room grow when they are
	// loaded.
	MaxRegistrations int
}

// BootID returns what tells this boot of the host from every other.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	id := strings.TrimSpace(string(b))
	if id == "" {
		return "", errors.New("the kernel gave no boot id")
	}
	return id, nil
}

// File is a pr.Store of one file per unit in one directory, which it locks.
type File struct {
	disk     disk
	boot     string
	slotSize int

	mu    sync.Mutex
	units map[string]*unitFile
}

// Open opens the directory. A second process gets ErrInUse.
func Open(o Options) (*File, error) {
	d, err := openDisk(o.Dir)
	if err != nil {
		return nil, err
	}
	f, err := newFile(d, o)
	if err != nil {
		d.close()
		return nil, err
	}
	return f, nil
}

func newFile(d disk, o Options) (*File, error) {
	if o.BootID == "" || len(o.BootID) > nameSize || strings.ContainsRune(o.BootID, 0) {
		return nil, fmt.Errorf("boot id %q cannot be recorded", o.BootID)
	}
	if o.MaxRegistrations == 0 {
		o.MaxRegistrations = pr.DefaultMaxRegistrations
	}
	return &File{
		disk:     d,
		boot:     o.BootID,
		slotSize: SlotSizeFor(o.MaxRegistrations),
		units:    map[string]*unitFile{},
	}, nil
}

// Expect is what the caller remembers, in a place of its own, of a unit's
// file. Without it a file that vanished would look like a new unit.
type Expect struct {
	Exists  bool        // the file was made: Attach has returned nil before
	AtLeast pr.Revision // a revision that Load or Save returned; 0 if none is known
}

// Attach opens the file of a unit, or makes it, and keeps it open. If the file
// is missing although it is expected, the unit is made with its information
// lost: Load says so until a state is saved.
func (f *File) Attach(unit string, e Expect) error {
	if !validName(unit) {
		return fmt.Errorf("unit name %q cannot be a file name", unit)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.units[unit] != nil {
		return fmt.Errorf("unit %s is attached already", unit)
	}
	h, err := f.disk.open(fileName(unit))
	if errors.Is(err, fs.ErrNotExist) {
		payload := lostPayload()
		if !e.Exists {
			payload, _ = encodeState(pr.State{})
		}
		h, err = f.make(unit, record{version: version, seq: 1 + uint64(e.AtLeast), unit: unit, boot: f.boot, payload: payload})
	}
	if err != nil {
		return fmt.Errorf("reservation store of %s: %w", unit, classify(err))
	}
	f.units[unit] = &unitFile{store: f, unit: unit, h: h, atLeast: uint64(e.AtLeast)}
	return nil
}

// Detach closes the unit's file.
func (f *File) Detach(unit string) error {
	f.mu.Lock()
	u := f.units[unit]
	delete(f.units, unit)
	f.mu.Unlock()
	if u == nil {
		return ErrNotAttached
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.h.Close()
}

// Remove deletes the file of a unit that is not attached. The caller forgets
// what it expected first.
func (f *File) Remove(unit string) error {
	if !validName(unit) {
		return fmt.Errorf("unit name %q cannot be a file name", unit)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.units[unit] != nil {
		return fmt.Errorf("unit %s is attached", unit)
	}
	if err := f.disk.remove(fileName(unit)); err != nil {
		return err
	}
	return f.disk.syncDir()
}

// Close detaches every unit and unlocks the directory.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, u := range f.units {
		u.mu.Lock()
		errs = append(errs, u.h.Close())
		u.mu.Unlock()
	}
	clear(f.units)
	return errors.Join(append(errs, f.disk.close())...)
}

func (f *File) find(unit string) (*unitFile, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if u := f.units[unit]; u != nil {
		return u, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNotAttached, unit)
}

// Load is pr.Store.
func (f *File) Load(unit string) (pr.State, pr.Revision, error) {
	u, err := f.find(unit)
	if err != nil {
		return pr.State{}, 0, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	s, err := u.load()
	if err != nil {
		err = fmt.Errorf("reservation store of %s: %w", unit, err)
	}
	return s, pr.Revision(u.acked), err
}

// Save is pr.Store.
func (f *File) Save(unit string, s pr.State, from pr.Revision) (pr.Revision, error) {
	u, err := f.find(unit)
	if err != nil {
		return 0, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.save(s, from); err != nil {
		return 0, fmt.Errorf("reservation store of %s: %w", unit, classify(err))
	}
	return pr.Revision(u.acked), nil
}

// make writes a complete file under a temporary name, then gives it its name.
func (f *File) make(unit string, rec record) (handle, error) {
	tmp := fileName(unit) + ".new"
	h, err := f.disk.create(tmp)
	if err != nil {
		return nil, err
	}
	err = f.fill(h, rec)
	if err == nil {
		err = f.disk.rename(tmp, fileName(unit))
	}
	if err == nil {
		err = f.disk.syncDir()
	}
	if err != nil {
		h.Close()
		f.disk.remove(tmp)
		return nil, err
	}
	return h, nil
}

// fill allocates and writes every block of a new file.
func (f *File) fill(h handle, rec record) error {
	size := int64(f.slotSize)
	if err := h.Allocate(2 * size); err != nil {
		return err
	}
	for slot := range 2 {
		b := make([]byte, f.slotSize)
		copy(b, rec.encode(slot, f.slotSize))
		if _, err := h.WriteAt(b, int64(slot)*size); err != nil {
			return err
		}
	}
	return h.Sync()
}

func fileName(unit string) string { return unit + ".pr" }

// validName allows what UUIDs and plain names are made of, and nothing that
// could leave the directory.
func validName(unit string) bool {
	if unit == "" || len(unit) > nameSize || unit == lockName {
		return false
	}
	for _, c := range unit {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
