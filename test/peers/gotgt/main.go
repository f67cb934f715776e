package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"

	"github.com/gostor/gotgt/pkg/config"
	_ "github.com/gostor/gotgt/pkg/port/iscsit"
	"github.com/gostor/gotgt/pkg/scsi"
	_ "github.com/gostor/gotgt/pkg/scsi/backingstore"
	"github.com/sirupsen/logrus"
)

const deviceID = 1000

func main() {
	port := flag.Int("port", 3260, "TCP port; gotgt listens on every address")
	file := flag.String("file", "", "backing file")
	name := flag.String("target", "iqn.2026-11.test.peer:gotgt", "target name")
	lun := flag.Uint("lun", 1, "LUN")
	flag.Parse()
	if err := serve(*port, *file, *name, *lun); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(port int, file, name string, lun uint) error {
	logrus.SetLevel(logrus.ErrorLevel)
	c := &config.Config{
		Storages: []config.BackendStorage{{
			DeviceID: deviceID, Path: "file:" + file, Online: true, BlockShift: 9,
		}},
		// gotgt compares this text with the address a connection came in on.
		ISCSIPortals: []config.ISCSIPortalInfo{{Portal: "127.0.0.1:" + strconv.Itoa(port)}},
		ISCSITargets: map[string]config.ISCSITarget{name: {
			TPGTs: map[string][]uint64{"1": {0}},
			LUNs:  map[string]uint64{strconv.FormatUint(uint64(lun), 10): deviceID},
		}},
	}
	if err := scsi.InitSCSILUMap(c); err != nil {
		return err
	}
	driver, err := scsi.NewTargetDriver("iscsi", scsi.NewSCSITargetService())
	if err != nil {
		return err
	}
	if err := driver.NewTarget(name, c); err != nil {
		return err
	}
	return driver.Run(port)
}
