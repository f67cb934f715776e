package decode

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"nas-target/internal/iscsi/pdu"
)

// maxLine is more than any tool prints.
const maxLine = 1 << 20

// readHex decodes hexadecimal text: digits alone, or as xxd and hexdump -C print
// them. It is one connection; each PDU says itself which side sends it. A line
// without digits ends what one side sent, and so does a change of sides.
func readHex(r io.Reader, o Options) error {
	c := newConn(1, "", "", o.Digests, o.Emit)
	sides := [2]*half{{conn: c}, {conn: c, fromTarget: true}}
	var now *half
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	found := false
	for line := 1; s.Scan(); line++ {
		b, err := hexLine(s.Text())
		if err != nil {
			return fmt.Errorf("line %d: %w; it is neither a capture (pcap, pcapng) nor hexadecimal text", line, err)
		}
		for len(b) > 0 {
			if now == nil || now.at == 0 { // the first byte of a PDU names its side
				now = sides[0]
				if !pdu.Opcode(b[0] & 0x3f).FromInitiator() {
					now = sides[1]
				}
			}
			n := len(b)
			if need := now.missing(); need > 0 {
				n = min(n, need)
			}
			now.lost = false
			now.feed(b[:n], now.began)
			b, found = b[n:], true
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	for _, h := range sides {
		h.end("the text ends")
	}
	if !found {
		return ErrNothing
	}
	return nil
}

// missing is how many bytes the PDU, or its header, is short of.
func (h *half) missing() int {
	if h.at < pdu.BHSLen {
		return pdu.BHSLen - h.at
	}
	return h.layout.End - h.at
}

// hexLine reads the bytes of a line.
func hexLine(line string) ([]byte, error) {
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimSpace(line)
	if offset, rest, ok := strings.Cut(line, ": "); ok && isHex(offset) { // xxd
		line, _, _ = strings.Cut(strings.TrimSpace(rest), "  ")
	} else if offset, rest, ok := strings.Cut(line, "  "); ok && len(offset) == 8 && isHex(offset) { // hexdump -C
		line, _, _ = strings.Cut(rest, "|")
	} else if len(line) == 8 && isHex(line) && strings.HasPrefix(line, "0000") {
		return nil, nil // the last line of hexdump -C: an offset alone
	}
	digits := strings.NewReplacer(" ", "", "\t", "", "0x", "", ",", "", ":", "").Replace(line)
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("%q is no line of hexadecimal digits", short(line))
	}
	return b, nil
}

func short(s string) string { return s[:min(len(s), 32)] }

func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}
