package daemon

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The data directory:
//
//	lock                     held while a daemon runs; names its process
//	luns/<uuid>/lun.json     who the LUN is; written once, when it is first seen
//	luns/<uuid>/disk.img     its blocks, unless they have a path of their own
//	luns/<uuid>/memory.json  what initiators set and it must not forget
//	pr/                      its reservations (package prstore)
//
// A LUN's directory is made under another name and renamed when it is whole
// and durable, so that a crash leaves an identity or none.
type dataDir struct {
	root string
	lock *os.File

	mu   sync.Mutex           // guards luns
	luns map[string]*identity // by name
	// broken are identities that cannot be read. Each may be that of any name
	// we do not know.
	broken []error
}

// identity is who a LUN is, for ever. lun.json holds it.
type identity struct {
	Version int       `json:"version"`
	UUID    uuid      `json:"uuid"`
	Name    string    `json:"name"`
	Created time.Time `json:"created"`

	dir string
}

const identityVersion = 1

// openDataDir takes hold of the directory, which it makes if there is none.
// A second daemon is refused.
func openDataDir(root string) (*dataDir, error) {
	// Backing files and identities are nobody else's to read.
	if err := os.MkdirAll(filepath.Join(root, "luns"), 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFile(filepath.Join(root, "lock"))
	if err != nil {
		return nil, err
	}
	d := &dataDir{root: root, lock: lock}
	if err := d.scan(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// close lets go of the directory.
func (d *dataDir) close() error { return d.lock.Close() }

// lockFile holds the file as long as it is open. The kernel lets go of it when
// the process ends, however it ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &InUseError{Dir: filepath.Dir(path), Holder: holder(f)}
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// InUseError says that another daemon has the data directory.
type InUseError struct {
	Dir    string
	Holder string // process id, if it could be read
}

func (e *InUseError) Error() string {
	return fmt.Sprintf("data directory %s is in use by another nas-target (process %s)", e.Dir, e.Holder)
}

func holder(f *os.File) string {
	b, _ := io.ReadAll(io.NewSectionReader(f, 0, 32))
	if pid := string(bytes.TrimSpace(b)); pid != "" {
		return pid
	}
	return "unknown"
}

// scan reads the identities.
func (d *dataDir) scan() error {
	d.luns = map[string]*identity{}
	base := filepath.Join(d.root, "luns")
	entries, err := os.ReadDir(base)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), newPrefix) { // a crash came before the rename
			if err := os.RemoveAll(filepath.Join(base, e.Name())); err != nil {
				return err
			}
			continue
		}
		id, err := readIdentity(filepath.Join(base, e.Name()))
		if err != nil {
			d.broken = append(d.broken, err)
			continue
		}
		if other, twice := d.luns[id.Name]; twice {
			return fmt.Errorf("%s and %s are both named %s: remove the one that is not meant", other.dir, id.dir, id.Name)
		}
		d.luns[id.Name] = id
	}
	return nil
}

const newPrefix = ".new-"

func readIdentity(dir string) (*identity, error) {
	path := filepath.Join(dir, "lun.json")
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	id := &identity{dir: dir}
	if err := json.Unmarshal(b, id); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case id.Version != identityVersion:
		return nil, fmt.Errorf("%s: version %d; this program knows version %d", path, id.Version, identityVersion)
	case id.UUID.String() != filepath.Base(dir):
		return nil, fmt.Errorf("%s: is about %s, not about the directory it is in", path, id.UUID)
	case id.Name == "":
		return nil, fmt.Errorf("%s: no name", path)
	}
	return id, nil
}

// lun returns the identity kept under the name, a new one if there is none. It
// makes none while there are some that cannot be read: a new one in the place
// of one of those would be another disk to every initiator.
func (d *dataDir) lun(name string) (*identity, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id, ok := d.luns[name]; ok {
		return id, nil
	}
	if len(d.broken) > 0 {
		return nil, fmt.Errorf("who it is cannot be told: %w", errors.Join(d.broken...))
	}
	id := &identity{Version: identityVersion, UUID: newUUID(), Name: name, Created: time.Now().UTC().Truncate(time.Second)}
	base := filepath.Join(d.root, "luns")
	id.dir = filepath.Join(base, id.UUID.String())
	if err := id.write(base); err != nil {
		return nil, err
	}
	d.luns[name] = id
	return id, nil
}

// held tells what initiators know the LUN of a name by, if it has been seen.
func (d *dataDir) held(name string) (naa []byte, serial string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id, ok := d.luns[name]; ok {
		return id.UUID.naa(), id.UUID.serial()
	}
	return nil, ""
}

func (id *identity) write(base string) error {
	b, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(base, newPrefix+id.UUID.String())
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	err = writeDurably(filepath.Join(tmp, "lun.json"), os.O_EXCL, append(b, '\n'))
	if err == nil {
		err = syncDir(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, id.dir)
	}
	if err == nil {
		err = syncDir(base)
	}
	return err
}

// uuid is a random UUID. RFC 9562 §5.4.
type uuid [16]byte

func newUUID() uuid {
	var u uuid
	rand.Read(u[:])
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

func (u uuid) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// MarshalText writes the usual form.
func (u uuid) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads the usual form.
func (u *uuid) UnmarshalText(b []byte) error {
	raw, err := hex.DecodeString(strings.ReplaceAll(string(b), "-", ""))
	if err != nil || len(raw) != len(u) || uuid(raw).String() != string(b) {
		return fmt.Errorf("%q is not a UUID", b)
	}
	*u = uuid(raw)
	return nil
}

// naa derives the identifier that initiators know the disk by. Its form is NAA
// 3h, locally assigned: forms 2h, 5h and 6h begin with an IEEE company id,
// which this project does not own and will not borrow. 60 bits of a hash of
// the UUID follow; among 10,000 LUNs in one domain two meet with a chance of
// 1 in 20 billion. SPC-4 r37 7.8.6.6.4.
func (u uuid) naa() []byte {
	sum := sha256.Sum256(append([]byte("nas-target naa "), u[:]...))
	sum[0] = 0x30 | sum[0]&0x0f
	return sum[:8]
}

// serial is the unit serial number: the UUID's digits.
func (u uuid) serial() string { return hex.EncodeToString(u[:]) }
