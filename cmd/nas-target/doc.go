// Command nas-target serves disks over iSCSI with complete SCSI-3 persistent
// reservations. This package is flags, signals and exit codes, a short file
// per subcommand; the work is done in internal/daemon and beside it.
package main
