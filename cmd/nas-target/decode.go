package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nas-target/internal/decode"
	"nas-target/internal/plain"
)

func newDecode() *cobra.Command {
	var port uint16
	var digests string
	var wrong bool
	c := &cobra.Command{
		Use:   "decode [FILE]",
		Short: "Make captured iSCSI traffic readable",
		Long: `Print each PDU of a capture (pcap or pcapng, as tcpdump and Wireshark write them)
or of hexadecimal text: every field of its header, text keys, CDBs and sense data
in words, the keys of reservation commands, and what is wrong with it (lines that
begin with !): sequence numbers that jump, digests that do not match, data that
leave a hole, bytes that are missing.

Without FILE, or with -, it reads what comes on stdin. Payload is not shown, nor
what proves an identity: CHAP_C and CHAP_R are ***. With -o json each PDU is one
line.`,
		Example: `  nas-target decode capture.pcap
  tcpdump -i eth1 -s 0 -U -w - tcp port 3260 | nas-target decode --complaints
  echo 01c1… | nas-target decode`,
		Args: usage(cobra.MaximumNArgs(1)),
	}
	form := outputFlag(c)
	c.ValidArgsFunction = captures
	c.Flags().Uint16Var(&port, "port", decode.DefaultPort, "TCP port of the target")
	c.Flags().StringVar(&digests, "digests", "", "header, data, header,data or none, where the login is not in the capture")
	c.Flags().BoolVar(&wrong, "complaints", false, "only PDUs with something wrong")
	_ = c.RegisterFlagCompletionFunc("digests", cobra.FixedCompletions([]string{"header", "data", "header,data", "none"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error {
		if *form == formYAML {
			return &codedError{exitUsage, fmt.Errorf("a stream is a table or json")}
		}
		o := decode.Options{Port: port}
		if err := o.SetDigests(digests); err != nil {
			return &codedError{exitUsage, err}
		}
		in := c.InOrStdin()
		if len(args) == 1 && args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		return decodeTo(c.OutOrStdout(), in, *form, wrong, o)
	}
	return c
}

// decodeTo prints the records of in as they come.
func decodeTo(w io.Writer, in io.Reader, f form, wrong bool, o decode.Options) error {
	p := decodePrinter{out: w, form: f, known: map[int]bool{}}
	o.Emit = func(r *decode.Record) {
		p.pdus++
		p.complaints += len(r.Complaints)
		if p.err == nil && (!wrong || len(r.Complaints) > 0) {
			p.err = p.print(r)
		}
	}
	err := decode.Read(in, o)
	if p.err != nil {
		return p.err
	}
	if f == formTable && p.pdus > 0 {
		fmt.Fprintf(w, "%d PDUs, %d complaints.\n", p.pdus, p.complaints)
	}
	if errors.Is(err, decode.ErrNothing) {
		return &codedError{exitNotFound, err}
	}
	return err
}

type decodePrinter struct {
	out              io.Writer
	form             form
	known            map[int]bool // connections that were introduced
	pdus, complaints int
	err              error
}

func (p *decodePrinter) print(r *decode.Record) error {
	if p.form == formJSON {
		b, err := json.Marshal(r)
		if err == nil {
			_, err = p.out.Write(append(plain.JSON(b), '\n'))
		}
		return err
	}
	var b strings.Builder
	if !p.known[r.Connection] && r.Initiator != "" {
		p.known[r.Connection] = true
		fmt.Fprintf(&b, "#%d is %s to %s\n", r.Connection, r.Initiator, r.Target)
	}
	pduLines(&b, r)
	_, err := io.WriteString(p.out, b.String())
	return err
}

// pduLines writes one PDU: a line that says what it is, and its contents below.
func pduLines(w io.Writer, r *decode.Record) {
	first := ""
	if !r.Time.IsZero() {
		first = r.Time.Local().Format("15:04:05.000000") + " "
	}
	way := "→"
	if r.FromTarget {
		way = "←"
	}
	head := r.PDU
	if r.Command != "" {
		head += ": " + r.Command
	}
	if r.Took > 0 {
		head += ", " + time.Duration(r.Took*float64(time.Second)).Round(time.Microsecond).String() + " after the command"
	}
	wrap(w, fmt.Sprintf("%s#%d %s ", first, r.Connection, way), head)
	const below = "    "
	part := func(label string, words ...string) {
		var all []string
		for _, s := range words {
			if s != "" {
				all = append(all, s)
			}
		}
		if len(all) > 0 {
			wrap(w, below, label+strings.Join(all, ", "))
		}
	}
	part("", strings.Join(r.Flags, " "), decode.Words(r.Fields))
	part("AHS: ", decode.Words(r.AHS))
	if r.CDB != "" {
		part("CDB "+r.CDB+" ", decode.Words(r.CDBFields))
		if len(r.CDBFields) == 0 {
			part("", "CDB "+r.CDB)
		}
	}
	for _, f := range r.Text {
		part("", f.Name+"="+f.Value)
	}
	part("", decode.Words(r.Parameters))
	part("sense ", r.Sense)
	for _, c := range r.Complaints {
		wrap(w, "  ! ", c)
	}
}

// captures completes the names of capture files.
func captures(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"pcap", "pcapng", "cap", "txt"}, cobra.ShellCompDirectiveFilterFileExt
}
