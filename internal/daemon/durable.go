package daemon

import (
	"errors"
	"os"
	"path/filepath"
)

// writeDurably writes a new file that survives a power cut, once its directory
// is synced. flag says what may be there already: os.O_EXCL or os.O_TRUNC.
func writeDurably(path string, flag int, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flag, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// replaceFile gives the file at path new contents. After a crash at any moment
// it holds the old ones or the new ones, and on return the new ones survive a
// power cut.
func replaceFile(path string, b []byte) error {
	tmp := path + ".new"
	err := writeDurably(tmp, os.O_TRUNC, b)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	return err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
