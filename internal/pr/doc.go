// Package pr holds the rules of SCSI persistent reservations as values and
// functions: no CDB bytes, no file, no clock, no goroutine.
package pr
