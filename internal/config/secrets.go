package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode/utf8"
)

// Where CHAP secrets come from.
const (
	SecretsName    = "chap-secrets" // of the file, unless configured otherwise, and of the systemd credential
	secretsEnv     = "NAS_TARGET_CHAP_SECRETS"
	credentialsEnv = "CREDENTIALS_DIRECTORY" // where systemd puts credentials
)

// The length of a secret in bytes. RFC 7143 §9.2.1 asks for 96 random bits.
const (
	minSecret = 12
	maxSecret = 255
)

// Secret is a CHAP secret. However it is printed, it prints as ***: the text is
// not in the value but behind a function, out of reach even of %#v on a struct
// that hides it.
type Secret struct{ reveal func() string }

func newSecret(text string) Secret { return Secret{func() string { return text }} }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return s.reveal() }

// Format implements fmt.Formatter.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "***") }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// Secrets are CHAP secrets by user.
type Secrets map[string]Secret

// LoadSecrets reads the secrets that c needs from all the places they may be
// in, and reports users without one. A user that stands in two places is an
// error, as any name is.
func LoadSecrets(c *Config) (Secrets, error) {
	all := secretsReader{found: Secrets{}, at: map[string]string{}}
	all.file(c)
	if text, ok := os.LookupEnv(secretsEnv); ok {
		all.parse(secretsEnv, []byte(text))
	}
	if dir := os.Getenv(credentialsEnv); dir != "" {
		all.credential(filepath.Join(dir, SecretsName))
	}
	all.missing(c)
	if len(all.problems) > 0 {
		return nil, &Error{all.problems}
	}
	return all.found, nil
}

type secretsReader struct {
	found    Secrets
	at       map[string]string // where each was found
	problems []Problem
}

func (r *secretsReader) report(file string, line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{File: file, Line: line, Reason: fmt.Sprintf(format, args...)})
}

// file reads the secrets file. The one of the default name need not exist.
func (r *secretsReader) file(c *Config) {
	path := c.secretsPath()
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not hold us up
	if errors.Is(err, os.ErrNotExist) && c.CHAP.SecretsFile == SecretsName {
		return
	}
	if err != nil {
		r.report(path, 0, "%v", withoutPath(err))
		return
	}
	defer f.Close()
	if reason := tooOpen(f, os.Geteuid()); reason != "" {
		r.report(path, 0, "%s", reason)
		return
	}
	r.read(path, f)
}

// secretsPath is where the secrets file of c is, "" for nowhere.
func (c *Config) secretsPath() string {
	path := c.CHAP.SecretsFile
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.DataDir, path)
}

// tooOpen says why the file is no place for the secrets of user self.
func tooOpen(f *os.File, self int) string {
	st, err := f.Stat()
	if err != nil {
		return withoutPath(err).Error()
	}
	sys, _ := st.Sys().(*syscall.Stat_t)
	switch mode := st.Mode(); {
	case !mode.IsRegular():
		return "is no regular file"
	case mode.Perm()&0o077 != 0:
		return fmt.Sprintf("has mode %04o, so that others may read it; run: chmod 600 %s", mode.Perm(), f.Name())
	case sys != nil && sys.Uid != 0 && int(sys.Uid) != self:
		return fmt.Sprintf("belongs to user %d, who is neither root nor the one nas-target runs as (%d)", sys.Uid, self)
	}
	return ""
}

// credential reads what systemd hands over. Its directory is the service's
// alone; the modes of the files in it say nothing (access lists).
func (r *secretsReader) credential(path string) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		r.report(path, 0, "%v", withoutPath(err))
		return
	}
	defer f.Close()
	r.read(path, f)
}

func (r *secretsReader) read(path string, f *os.File) {
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		r.report(path, 0, "%v", withoutPath(err))
	case len(data) > maxFile:
		r.report(path, 0, "is larger than %d bytes", maxFile)
	default:
		r.parse(path, data)
	}
}

// parse takes "user secret" lines. Blank lines and those that begin with # say
// nothing. A secret may have blanks inside, not around it.
func (r *secretsReader) parse(place string, data []byte) {
	line := 0
	for raw := range bytes.Lines(data) {
		line++
		text := strings.TrimSpace(string(raw))
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		at := strings.IndexAny(text, " \t")
		if at < 0 {
			r.report(place, line, "is not a user, a blank and a secret")
			continue
		}
		user, secret := text[:at], strings.TrimSpace(text[at:])
		first, twice := r.at[user]
		switch {
		case !utf8.ValidString(user):
			r.report(place, line, "the user is not UTF-8")
		case twice:
			r.report(place, line, "user %s has a secret already, at %s", user, first)
		case len(secret) < minSecret:
			r.report(place, line, "the secret of %s has %d bytes; it must have at least %d", user, len(secret), minSecret)
		case len(secret) > maxSecret:
			r.report(place, line, "the secret of %s has %d bytes; it may have at most %d", user, len(secret), maxSecret)
		default:
			r.found[user] = newSecret(secret)
			r.at[user] = fmt.Sprintf("%s:%d", place, line)
		}
	}
}

// missing reports users without a secret, and pairs that share one: whoever
// knows how to log in could then pretend to be the target. RFC 7143 §9.2.1.
func (r *secretsReader) missing(c *Config) {
	if len(r.problems) > 0 {
		return // they are the reason
	}
	place := c.secretsPath()
	told := map[string]bool{}
	for _, u := range c.chapUsers() {
		a, b := r.found[u.User], r.found[u.MutualUser]
		for _, name := range []string{u.User, u.MutualUser} {
			if _, ok := r.found[name]; name != "" && !ok && !told[name] {
				told[name] = true
				r.report(place, 0, "the CHAP user %s has no secret, here, in $%s or in the credential %s", name, secretsEnv, SecretsName)
			}
		}
		if a.reveal != nil && b.reveal != nil && a.Reveal() == b.Reveal() {
			r.report(place, 0, "%s and %s must have different secrets: they are the two directions of one login", u.User, u.MutualUser)
		}
	}
}

// chapUsers lists the pairs of users that c asks proof of.
func (c *Config) chapUsers() []CHAPUsers {
	var all []CHAPUsers
	if c.CHAP.Discovery.User != "" {
		all = append(all, c.CHAP.Discovery)
	}
	for i := range c.Targets {
		for _, init := range c.Targets[i].Initiators {
			if init.CHAP.User != "" {
				all = append(all, init.CHAP)
			}
		}
	}
	return all
}

// UsesCHAP reports whether anybody must prove who it is.
func (c *Config) UsesCHAP() bool { return len(c.chapUsers()) > 0 }

// withoutPath drops the path from an error that is reported beside it.
func withoutPath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
