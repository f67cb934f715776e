// Package configs carries the ready configurations of this directory, so that
// the lab default is one file that people read and the program runs.
package configs
