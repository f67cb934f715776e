package backstore

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const sysDevBlock = "/sys/dev/block"

// sysDevice is what sysfs tells about a block device.
type sysDevice struct {
	Geometry
	writeZeroes int64 // longest request that writes zeros without data; 0: none
}

// deviceGeometry reads what the kernel publishes about the block device with
// number dev. What is not published, as for file systems that are not on one
// device, stays zero.
func deviceGeometry(dev uint64) sysDevice {
	return readGeometry(fmt.Sprintf("%s/%d:%d", sysDevBlock, unix.Major(dev), unix.Minor(dev)))
}

func readGeometry(dir string) sysDevice {
	queue := dir + "/queue/"
	if _, err := os.Stat(queue); err != nil {
		// A partition: its disk is the directory around it. Not filepath.Join,
		// which would cut "x/.." although x is a symbolic link.
		queue = dir + "/../queue/"
	}
	return sysDevice{Geometry{
		LogicalBlock:       int(sysInt(queue + "logical_block_size")),
		PhysicalBlock:      int(sysInt(queue + "physical_block_size")),
		Alignment:          sysInt(dir + "/alignment_offset"),
		MinIO:              int(sysInt(queue + "minimum_io_size")),
		OptimalIO:          int(sysInt(queue + "optimal_io_size")),
		DiscardGranularity: sysInt(queue + "discard_granularity"),
		DiscardAlignment:   sysInt(dir + "/discard_alignment"),
		MaxDiscard:         sysInt(queue + "discard_max_bytes"),
		Rotational:         sysInt(queue+"rotational") == 1,
		WriteCache:         sysText(queue+"write_cache") == "write back",
	}, sysInt(queue + "write_zeroes_max_bytes")}
}

func sysText(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// sysInt reads a number; what is missing or negative (the kernel's "misaligned")
// is zero.
func sysInt(path string) int64 {
	n, err := strconv.ParseInt(sysText(path), 10, 64)
	if err != nil {
		return 0
	}
	return max(n, 0)
}
