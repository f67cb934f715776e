package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"nas-target/internal/pr"
)

// A segment is one file of the trail, named after the number of its first
// entry. Its first line is a head, every other line an Entry.
type segment struct {
	path  string
	first uint64
}

const segmentName = "trail-%020d.jsonl"

// segments lists the files of dir, oldest first.
func segments(dir string) ([]segment, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []segment
	for _, n := range names {
		s := segment{path: filepath.Join(dir, n.Name())}
		if _, err := fmt.Sscanf(n.Name(), segmentName, &s.first); err == nil && fmt.Sprintf(segmentName, s.first) == n.Name() {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b segment) int { return cmp.Compare(a.first, b.first) })
	return all, nil
}

// lines returns the whole lines of s, without their ends.
func (s segment) lines() ([][]byte, error) {
	b, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // rotated away meanwhile
	}
	if err != nil {
		return nil, err
	}
	all := bytes.Split(b, []byte("\n"))
	return all[:len(all)-1], nil // what follows the last end of line is not whole
}

// head is the first line of a segment: what stood when it was begun.
type head struct {
	Kind  Kind       `json:"kind"`
	Time  time.Time  `json:"time"`
	Units []headUnit `json:"units"`
}

type headUnit struct {
	Unit          string             `json:"unit"`
	Last          Summary            `json:"last"`
	Reservation   Origin             `json:"reservation"`
	Registrations []headRegistration `json:"registrations,omitempty"`
	Departures    []Departure        `json:"departures,omitempty"`
}

type headRegistration struct {
	Initiator string `json:"initiator"`
	Target    string `json:"target"`
	Standing
}

const kindHead Kind = "head"

func headOf(units map[string]*Origins, at time.Time) head {
	h := head{Kind: kindHead, Time: at}
	for id, o := range units {
		u := headUnit{Unit: id, Last: o.Last, Reservation: o.Reservation, Departures: o.Departures}
		for n, s := range o.Registrations {
			u.Registrations = append(u.Registrations, headRegistration{n.Initiator, n.Target, s})
		}
		slices.SortFunc(u.Registrations, func(a, b headRegistration) int { return cmp.Compare(a.Seq, b.Seq) })
		h.Units = append(h.Units, u)
	}
	slices.SortFunc(h.Units, func(a, b headUnit) int { return cmp.Compare(a.Unit, b.Unit) })
	return h
}

func (h head) origins() map[string]*Origins {
	units := make(map[string]*Origins, len(h.Units))
	for _, u := range h.Units {
		o := &Origins{Last: u.Last, Reservation: u.Reservation, Departures: u.Departures, Registrations: map[pr.Nexus]Standing{}}
		for _, r := range u.Registrations {
			o.Registrations[pr.Nexus{Initiator: r.Initiator, Target: r.Target}] = r.Standing
		}
		units[u.Unit] = o
	}
	return units
}

// recovered is what the newest segment tells a starting trail.
type recovered struct {
	units   map[string]*Origins
	seq     uint64 // of the last entry
	whole   int64  // length of the whole lines, in bytes
	damaged int    // lines that could not be read
}

func recoverSegment(s segment) (recovered, error) {
	lines, err := s.lines()
	if err != nil {
		return recovered{}, err
	}
	r := recovered{units: map[string]*Origins{}, seq: s.first - 1}
	for i, line := range lines {
		r.whole += int64(len(line)) + 1
		var h head
		if i == 0 && json.Unmarshal(line, &h) == nil && h.Kind == kindHead {
			r.units = h.origins()
			continue
		}
		var e Entry
		if json.Unmarshal(line, &e) != nil || e.Seq <= r.seq {
			r.damaged++
			continue
		}
		r.seq = e.Seq
		noteIn(r.units, &e)
	}
	return r, nil
}

// noteIn takes e into account in the origins of its unit.
func noteIn(units map[string]*Origins, e *Entry) {
	if e.Kind != KindPR || e.PR == nil {
		return
	}
	o := units[e.Unit]
	if o == nil {
		o = &Origins{}
		units[e.Unit] = o
	}
	o.note(e)
}

// create begins a segment whole: with its head, durable, under its final name.
func create(dir string, first uint64, h head) (*os.File, int64, error) {
	line, err := json.Marshal(h)
	if err != nil {
		return nil, 0, err
	}
	line = append(line, '\n')
	path := filepath.Join(dir, fmt.Sprintf(segmentName, first))
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, err
	}
	if _, err = f.Write(line); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		f.Close()
		os.Remove(tmp)
		return nil, 0, err
	}
	return f, int64(len(line)), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
