package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// TokenName is the name of the file in a daemon's data directory that holds the
// token of the web door.
const TokenName = "admin.token"

// LoadToken reads the token in dir, or makes one. Only the file's owner may be
// able to read it.
func LoadToken(dir string) (string, error) {
	path := filepath.Join(dir, TokenName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		token := rand.Text()
		_, err := f.WriteString(token + "\n")
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			return "", errors.Join(err, os.Remove(path))
		}
		return token, nil
	case !errors.Is(err, os.ErrExist):
		return "", err
	}
	st, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%s is open to others (%v): make it a file of mode 0600, or remove it for a new token", path, st.Mode())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(b))
	if len(token) < 16 {
		return "", fmt.Errorf("%s: a token has at least 16 characters; remove the file for a new one", path)
	}
	return token, nil
}

func hash(token string) [32]byte { return sha256.Sum256([]byte(token)) }

func same(a, b [32]byte) bool { return subtle.ConstantTimeCompare(a[:], b[:]) == 1 }

// sourceOf names where a request comes from: an IPv4 address, or the /64 of an
// IPv6 one.
func sourceOf(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return "unknown"
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	p, err := addr.Prefix(64)
	if err != nil {
		return addr.String()
	}
	return p.Masked().String()
}

const (
	// maxFailures wrong tokens in failureWindow block a source for the rest of it.
	maxFailures   = 10
	failureWindow = time.Minute
	// maxSources bounds what is remembered; beyond it everybody shares a count.
	maxSources = 1024
)

// failures counts wrong tokens by source.
type failures struct {
	mu   sync.Mutex
	from map[string]*count
}

type count struct {
	n     int
	since time.Time
}

func newFailures() *failures { return &failures{from: map[string]*count{}} }

func (f *failures) blocked(source string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.of(source)
	return c != nil && now.Sub(c.since) < failureWindow && c.n >= maxFailures
}

func (f *failures) note(source string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.of(source)
	if c == nil {
		if len(f.from) >= maxSources {
			f.forget(now)
		}
		if len(f.from) >= maxSources {
			source = "" // many at once: one count for all that are new
		}
		if c = f.from[source]; c == nil {
			c = &count{since: now}
			f.from[source] = c
		}
	}
	if now.Sub(c.since) >= failureWindow {
		*c = count{since: now}
	}
	c.n++
}

// of returns the count that source goes by.
func (f *failures) of(source string) *count {
	if c := f.from[source]; c != nil {
		return c
	}
	return f.from[""]
}

func (f *failures) forget(now time.Time) {
	for s, c := range f.from {
		if now.Sub(c.since) >= failureWindow {
			delete(f.from, s)
		}
	}
}
