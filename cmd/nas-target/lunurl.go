package main

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"nas-target/internal/config"
	"nas-target/internal/initiator"
)

// lunURL is a LUN of any target, as commands that bring their own initiator are
// given it.
type lunURL struct {
	name  string // without the user
	lun   uint16
	login initiator.Config
}

// secretsFlag is how such a command learns the secret of a CHAP user.
func secretsFlag(c *cobra.Command, path *string) {
	c.Flags().StringVar(path, "secrets", "", "a file (mode 0600) of CHAP users and their secrets, one pair a line")
}

// lunURLs takes URLs apart and finds the secrets of their users: in the file,
// in $NAS_TARGET_CHAP_SECRETS or in a systemd credential.
func lunURLs(urls []string, secretsFile string) ([]lunURL, error) {
	secrets, err := readSecrets(secretsFile)
	if err != nil {
		return nil, err
	}
	var all []lunURL
	for _, text := range urls {
		u, err := parseLUNURL(text, secrets)
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

// readSecrets reads what a daemon would read, from a file named here.
func readSecrets(path string) (config.Secrets, error) {
	conf := new(config.Config)
	if path != "" {
		var err error
		if conf.CHAP.SecretsFile, err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	return config.LoadSecrets(conf)
}

// parseLUNURL refuses a secret in the URL rather than use it: everybody on this
// machine has seen it already.
func parseLUNURL(text string, secrets config.Secrets) (lunURL, error) {
	u, err := initiator.ParseURL(text)
	switch {
	case err != nil:
		return lunURL{}, err
	case u.Secret != "" || u.TargetSecret != "":
		return lunURL{}, errors.New("a secret on the command line is seen by everybody on this machine: put it into a file, --secrets, and leave the user alone in the URL")
	case u.Target == "":
		return lunURL{}, fmt.Errorf("%s names no LUN", text)
	}
	for user, secret := range map[string]*string{u.User: &u.Secret, u.TargetUser: &u.TargetSecret} {
		if user == "" {
			continue
		}
		s, ok := secrets[user]
		if !ok {
			return lunURL{}, fmt.Errorf("the secret of %s is nowhere: give it by --secrets FILE or $NAS_TARGET_CHAP_SECRETS", user)
		}
		*secret = s.Reveal()
	}
	return lunURL{name: fmt.Sprintf("iscsi://%s/%s/%d", u.Addr, u.Target, u.LUN), lun: u.LUN, login: u.Config()}, nil
}
