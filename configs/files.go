package configs

import "embed"

// Files are the *.yaml files of this directory.
//
//go:embed *.yaml
var Files embed.FS
