//go:build !race

package scsi

const raceDetector = false
