package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"nas-target/internal/config"
	"nas-target/internal/config/importer"
)

func newConfigImport() *cobra.Command {
	var from, secrets string
	var portals []string
	c := &cobra.Command{
		Use:   "import --from gotgt|tgt|lio FILE",
		Short: "Make a configuration of another target's",
		Long: `Print the configuration that serves what another target serves: the same target
names, LUNs, NAA identifiers and serial numbers. What cannot be carried over, or
has to be looked at, is listed on stderr.

FILE is gotgt's config.json, tgt's targets.conf or LIO's saveconfig.json.`,
		Example: `  nas-target config import --from tgt --portal 192.0.2.5:3260 /etc/tgt/targets.conf > nas-target.yaml
  nas-target config import --from lio --secrets chap-secrets /etc/target/saveconfig.json > nas-target.yaml`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if from == "" {
				return &codedError{exitUsage, errors.New("say with --from whose file it is: " + strings.Join(importer.Formats(), ", "))}
			}
			o := importer.Options{Include: includes, Look: isBlockDevice}
			for _, text := range portals {
				a, err := netip.ParseAddrPort(text)
				if err != nil || a.Port() == 0 {
					return &codedError{exitUsage, fmt.Errorf("--portal %q is not an address with a port, such as 192.0.2.5:3260", text)}
				}
				o.Portals = append(o.Portals, a)
			}
			if secrets != "" {
				var err error
				if o.SecretsFile, err = filepath.Abs(secrets); err != nil {
					return err
				}
			}
			return importConfig(c, from, args[0], o)
		},
	}
	c.Flags().StringVar(&from, "from", "", "whose file it is: "+strings.Join(importer.Formats(), ", "))
	c.Flags().StringArrayVar(&portals, "portal", nil, "address and port to listen on, instead of the file's; may be repeated")
	c.Flags().StringVar(&secrets, "secrets", "", "a new file (mode 0600) for the CHAP secrets that are found")
	_ = c.RegisterFlagCompletionFunc("from", cobra.FixedCompletions(importer.Formats(), cobra.ShellCompDirectiveNoFileComp))
	return c
}

func importConfig(c *cobra.Command, from, path string, o importer.Options) error {
	data, err := readLimited(path)
	if err != nil {
		return err
	}
	r, err := importer.Import(from, importer.File{Name: path, Data: data}, o)
	var bad *config.Error
	if err != nil && !errors.As(err, &bad) {
		return &codedError{exitUsage, err}
	}
	if err != nil {
		return err
	}
	if !r.Secrets.Empty() {
		if o.SecretsFile == "" {
			return &codedError{exitUsage, errors.New("there are CHAP secrets in it: name a new file for them with --secrets")}
		}
		if err := writeNew(o.SecretsFile, r.Secrets.Reveal()); err != nil {
			return err
		}
	}
	if len(r.Report) > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "%d things to look at:\n", len(r.Report))
	}
	for _, n := range r.Report {
		fmt.Fprintln(c.ErrOrStderr(), n)
	}
	_, err = c.OutOrStdout().Write(r.Text)
	return err
}

// maxImport is more than any of these files holds.
const maxImport = 16 << 20

func readLimited(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxImport+1))
	if err == nil && len(data) > maxImport {
		err = fmt.Errorf("%s: larger than %d bytes", path, maxImport)
	}
	return data, err
}

// includes reads what an include of targets.conf names: a file, a directory,
// or a pattern that may match nothing.
func includes(pattern string) ([]importer.File, error) {
	names := []string{pattern}
	if st, err := os.Stat(pattern); err == nil && st.IsDir() {
		pattern = filepath.Join(pattern, "*")
	}
	if strings.ContainsAny(pattern, "*?[{") {
		var err error
		if names, err = filepath.Glob(pattern); err != nil {
			return nil, err
		}
	}
	var all []importer.File
	for _, name := range names {
		data, err := readLimited(name)
		if err != nil {
			return nil, err
		}
		all = append(all, importer.File{Name: name, Data: data})
	}
	return all, nil
}

func isBlockDevice(path string) (bool, error) {
	st, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return st.Mode()&os.ModeDevice != 0 && st.Mode()&os.ModeCharDevice == 0, nil
}

// writeNew writes a file that did not exist, for the owner alone.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
