package initiator

import "fmt"

// Words puts an additional sense code into words. SPC-4 r36f annex D; codes that
// disks and disk servers send.
func (a ASC) Words() string {
	if w, ok := ascWords[a]; ok {
		return w
	}
	return fmt.Sprintf("additional sense %02xh/%02xh", uint8(a>>8), uint8(a))
}

var ascWords = map[ASC]string{
	0x0000: "no additional sense", 0x0016: "operation in progress",
	0x0401: "becoming ready", 0x0402: "initializing command required", 0x0403: "manual intervention required",
	0x0404: "format in progress", 0x040a: "access state transition", 0x040b: "standby", 0x040c: "unavailable", 0x041b: "sanitize in progress",
	0x0800: "logical unit communication failure", 0x0c00: "write error", 0x0c0c: "unexpected unsolicited data",
	0x0c0d: "not enough unsolicited data", 0x0d00: "error detected by third party temporary initiator", 0x0d04: "copy target device data underrun",
	0x0e03: "invalid field in command information unit", 0x1100: "unrecovered read error", 0x1a00: "parameter list length error",
	0x1d00: "miscompare during verify", 0x2000: "invalid command operation code", 0x2100: "LBA out of range",
	0x2300: "invalid token operation", 0x2400: "invalid field in CDB", 0x2500: "logical unit not supported",
	0x2600: "invalid field in parameter list", 0x2602: "parameter value invalid", 0x2604: "invalid release of persistent reservation",
	0x2606: "too many target descriptors", 0x2608: "too many segment descriptors", 0x2609: "unsupported segment descriptor type",
	0x2700: "write protected", 0x2707: "space allocation failed", 0x2900: "power on, reset, or bus device reset",
	0x2901: "power on", 0x2902: "bus reset", 0x2903: "bus device reset function", 0x2904: "device internal reset", 0x2907: "I_T nexus loss",
	0x2a01: "mode parameters changed", 0x2a02: "log parameters changed", 0x2a03: "reservations preempted", 0x2a04: "reservations released",
	0x2a05: "registrations preempted", 0x2a06: "asymmetric access state changed", 0x2a09: "capacity data has changed",
	0x2c00: "command sequence error", 0x2c09: "previous reservation conflict status", 0x2f00: "commands cleared by another initiator",
	0x3100: "medium format corrupted", 0x3807: "thin provisioning soft threshold reached", 0x3900: "saving parameters not supported",
	0x3f03: "INQUIRY data has changed", 0x3f0e: "reported LUNs data has changed", 0x4400: "internal target failure",
	0x4401: "persistent reservation information lost", 0x4705: "protocol service CRC error", 0x477f: "some commands cleared by iSCSI protocol event",
	0x4900: "invalid message error", 0x5504: "insufficient registration resources", 0x550c: "insufficient resources to create ROD",
}
