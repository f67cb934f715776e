package prstore

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore/prstoretest"
)

// FuzzLoad gives Load any file at all. It may say that the information is lost
// or return a state that was once saved, never panic, never invent one.
func FuzzLoad(f *testing.F) {
	once := prstoretest.Sample(true)
	saved := []pr.State{{}, once, prstoretest.Sample(false)}
	good := acknowledged(f, small, saved[1:]...).bytes()
	f.Add(good)
	f.Add(acknowledged(f, small, once).bytes())
	f.Add(acknowledged(f, small).bytes())
	f.Add(good[:blockSize])
	f.Add(good[blockSize:])
	f.Add(good[:300])
	f.Add([]byte{})
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			return
		}
		d := newSimDisk().withBytes(bytes.Clone(b))
		fl := attachSim(t, d, small)
		got, rev, err := fl.Load(simUnit)
		rep := inspect(d.withBytes(bytes.Clone(b)).names[fileName(simUnit)].reader(), int64(len(b)), blockSize)
		if err != nil {
			require.ErrorIs(t, err, pr.ErrLost)
			// What was lost can be replaced, whatever the file was.
			_, err = fl.Save(simUnit, once, rev)
			require.NoError(t, err)
			require.False(t, failsClosed(t, d, once, "replaced"))
			return
		}
		require.NoError(t, rep.Err)
		known := false
		for _, s := range saved {
			known = known || got.Equal(s) || got.Equal(s.AfterPowerCycle())
		}
		require.True(t, known, "a state nobody saved: %+v", got)
	})
}

// FuzzState gives the decoder any payload, as if its checksum were right: what
// it accepts is possible, and is the one encoding of what it says.
func FuzzState(f *testing.F) {
	for _, s := range []pr.State{{}, {Generation: 9, APTPL: true}, prstoretest.Sample(true), {
		Registrations: prstoretest.Sample(true).Registrations,
		Reservation:   pr.Reservation{Type: pr.WriteExclusiveAllRegistrants},
	}} {
		b, err := encodeState(s)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add(lostPayload())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, lost, err := decodeState(b)
		if err != nil || lost {
			require.True(t, s.Equal(pr.State{}), "nothing but an error may come back")
			return
		}
		require.NoError(t, s.Check())
		again, err := encodeState(s)
		require.NoError(t, err)
		require.Equal(t, b, again)
	})
}
