package prstore

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
	"nas-target/internal/pr/prstore/prstoretest"
)

func TestMemKeepsTheContract(t *testing.T) {
	prstoretest.Run(t, func(t *testing.T) prstoretest.Subject {
		m := &Mem{}
		return prstoretest.Subject{Store: m, PowerCycle: func() pr.Store { m.PowerCycle(); return m }}
	})
}

func TestFileKeepsTheContract(t *testing.T) {
	prstoretest.Run(t, func(t *testing.T) prstoretest.Subject {
		o := Options{Dir: t.TempDir(), BootID: "boot-0"}
		var f *File
		var units []string
		open := func() pr.Store {
			if f != nil {
				require.NoError(t, f.Close())
			}
			var err error
			f, err = Open(o)
			require.NoError(t, err)
			for _, u := range units {
				require.NoError(t, f.Attach(u, Expect{Exists: true}))
			}
			return f
		}
		t.Cleanup(func() { require.NoError(t, f.Close()) })
		boots := 0
		return prstoretest.Subject{
			Store: open(),
			Attach: func(unit string) {
				require.NoError(t, f.Attach(unit, Expect{}))
				units = append(units, unit)
			},
			Restart: open,
			PowerCycle: func() pr.Store {
				boots++
				o.BootID = fmt.Sprint("boot-", boots)
				return open()
			},
		}
	})
}
