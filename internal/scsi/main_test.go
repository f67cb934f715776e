package scsi

import (
	"testing"

	"go.uber.org/goleak"
)

// Units, nexuses and copies leave no goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
