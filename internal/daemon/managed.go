package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"nas-target/internal/config"
)

// What operators make through the API is kept in the data directory, beside
// their configuration file. Each change replaces the file whole; the versions
// before are kept, the newest as managed.yaml.1.
const (
	managedName  = "managed.yaml"
	managedKept  = 10
	managedTitle = "# Made by operators through the API; nas-target writes this file.\n# To go back: copy an older one (managed.yaml.1 is the newest) over it, and run\n# nas-target config apply.\n"
)

type managedFile string

func (d *dataDir) managed() managedFile { return managedFile(filepath.Join(d.root, managedName)) }

// read returns its text, an empty one if there is no file.
func (f managedFile) read() (config.Source, error) {
	s, err := config.ReadSource(string(f))
	if errors.Is(err, os.ErrNotExist) {
		return config.Source{Name: string(f)}, nil
	}
	return s, err
}

func (f managedFile) source(m *config.Managed) (config.Source, error) {
	text, err := config.YAML(m)
	return config.Source{Name: string(f), Data: slices.Concat([]byte(managedTitle), text)}, err
}

// write gives the file another text, which survives a power cut on return.
func (f managedFile) write(s config.Source) error {
	if err := f.keep(); err != nil {
		return err
	}
	return replaceFile(string(f), s.Data)
}

// keep puts the present text aside. The file itself stays where it is: a crash
// on the way costs an older version at most.
func (f managedFile) keep() error {
	nth := func(n int) string { return fmt.Sprintf("%s.%d", f, n) }
	if _, err := os.Stat(string(f)); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	for n := managedKept; n > 1; n-- {
		if err := os.Rename(nth(n-1), nth(n)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return os.Link(string(f), nth(1))
}
