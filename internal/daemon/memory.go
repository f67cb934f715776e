package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"nas-target/internal/scsi"
)

// memoryFile keeps what a unit remembers by command of its initiators
// (identifying information, a SANITIZE that has not ended), beside its
// identity.
type memoryFile string

const (
	memoryName    = "memory.json"
	memoryVersion = 1
)

// savedMemory is its form. What initiators may fill with any bytes is []byte,
// which JSON keeps as they are.
type savedMemory struct {
	Version     int    `json:"version"`
	Information []byte `json:"information,omitempty"`
	Text        string `json:"text,omitempty"`

	Erase        scsi.EraseKind `json:"erase,omitempty"`
	Pattern      []byte         `json:"pattern,omitempty"`
	Passes       uint8          `json:"passes,omitempty"`
	Invert       bool           `json:"invert,omitempty"`
	Unrestricted bool           `json:"unrestricted,omitempty"`
	Failed       bool           `json:"failed,omitempty"`
}

// recall returns what was saved last. A file that cannot be understood is an
// error: a SANITIZE that was under way must not be forgotten.
func (f memoryFile) recall() (scsi.Memory, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, os.ErrNotExist) {
		return scsi.Memory{}, nil
	}
	var s savedMemory
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		err = d.Decode(&s)
	}
	if err == nil && s.Version != memoryVersion {
		err = fmt.Errorf("version %d, this program knows %d", s.Version, memoryVersion)
	}
	if err != nil {
		return scsi.Memory{}, fmt.Errorf("%s: %w", string(f), err)
	}
	return scsi.Memory{
		Information: string(s.Information), Text: s.Text,
		Erase: scsi.Erase{
			Kind: s.Erase, Pattern: string(s.Pattern), Passes: s.Passes,
			Invert: s.Invert, Unrestricted: s.Unrestricted, Failed: s.Failed,
		},
	}, nil
}

// remember saves m and returns once it survives a power cut.
func (f memoryFile) remember(m scsi.Memory) error {
	e := m.Erase
	b, err := json.Marshal(savedMemory{
		Version: memoryVersion, Information: []byte(m.Information), Text: m.Text,
		Erase: e.Kind, Pattern: []byte(e.Pattern), Passes: e.Passes,
		Invert: e.Invert, Unrestricted: e.Unrestricted, Failed: e.Failed,
	})
	if err != nil {
		return err
	}
	return replaceFile(string(f), append(b, '\n'))
}
