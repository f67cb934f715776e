package main

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// workDir makes a directory for disks that need the given space in all: in
// memory if that has room, so that the disk does not hide the target.
func workDir(need int64) (dir, fs string, err error) {
	for _, c := range []struct{ parent, fs string }{{"/dev/shm", "tmpfs"}, {os.TempDir(), "the temporary directory"}} {
		var st unix.Statfs_t
		if unix.Statfs(c.parent, &st) != nil || int64(st.Bavail)*st.Bsize < need+need/8 {
			continue
		}
		dir, err = os.MkdirTemp(c.parent, "nas-target-bench")
		return dir, c.fs, err
	}
	return "", "", fmt.Errorf("neither /dev/shm nor %s has %d MiB for the disks; use -size", os.TempDir(), need>>20)
}

// makeDisk writes a file of n bytes in full: no holes, nothing that compresses.
func makeDisk(dir, name string, n int64) (string, error) {
	path := filepath.Join(dir, name+".img")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	chunk := make([]byte, 8<<20)
	if _, err := rand.Read(chunk); err != nil {
		return "", err
	}
	for left := n; left > 0; left -= int64(len(chunk)) {
		chunk = chunk[:min(left, int64(len(chunk)))]
		if _, err := f.Write(chunk); err != nil {
			return "", err
		}
	}
	return path, f.Close()
}
