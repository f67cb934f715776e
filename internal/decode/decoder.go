package decode

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"nas-target/internal/iscsi/pdu"
)

// Options say how to read.
type Options struct {
	Port    uint16       // of the target; 0: 3260
	Digests *pdu.Digests // instead of what the logins say, which may not be in it
	Emit    func(*Record)
}

// DefaultPort is the one that iSCSI has.
const DefaultPort = 3260

// ErrNothing says that there is no iSCSI in what was read.
var ErrNothing = errors.New("there is no iSCSI traffic of this port in it")

// Read decodes a capture (pcap or pcapng) or hexadecimal text, whichever r is,
// as it comes.
func Read(r io.Reader, o Options) error {
	if o.Port == 0 {
		o.Port = DefaultPort
	}
	b := bufio.NewReaderSize(r, 64<<10)
	magic, err := b.Peek(4)
	if len(magic) == 0 {
		if err == io.EOF {
			return ErrNothing
		}
		return err
	}
	switch {
	case bytes.Equal(magic, []byte{0x0a, 0x0d, 0x0d, 0x0a}):
		return readPCAPNG(b, o)
	case isPCAP(magic):
		return readPCAP(b, o)
	}
	return readHex(b, o)
}

// SetDigests takes what a user says: header, data, both, none, or nothing.
func (o *Options) SetDigests(text string) error {
	if text == "" {
		return nil
	}
	d := pdu.Digests{}
	for word := range strings.SplitSeq(text, ",") {
		switch word {
		case "header":
			d.Header = true
		case "data":
			d.Data = true
		case "none":
		default:
			return fmt.Errorf("digests %q: it is header, data, header,data or none", text)
		}
	}
	o.Digests = &d
	return nil
}
