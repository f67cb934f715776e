package config

import "reflect"

// What a configuration that does not mention a key gets. Lists have none: who
// names no portal listens nowhere.
var defaults = map[string]any{
	"data_dir":     "/var/lib/nas-target",
	"log::level":   "info",
	"log::format":  "console",
	"page::listen": "127.0.0.1:3280",

	"chap::secrets_file": SecretsName,
	"chap::algorithms":   Algorithms(),

	"limits::ping_interval": "5s",
	"limits::ping_timeout":  "5s",
}

// environment variables that stand over the file.
var environment = map[string]string{
	"data_dir":    "NAS_TARGET_DATA_DIR",
	"log::level":  "NAS_TARGET_LOG_LEVEL",
	"log::format": "NAS_TARGET_LOG_FORMAT",
}

const (
	defaultBackstore = "file"
	defaultBlockSize = 512
)

// withDefaults fills in what a LUN or target does not mention.
func withDefaults(_, to reflect.Type, value any) (any, error) {
	m, ok := value.(map[string]any)
	if !ok {
		return value, nil
	}
	set := func(key string, v any) {
		if _, there := m[key]; !there {
			m[key] = v
		}
	}
	switch to {
	case reflect.TypeFor[LUN]():
		set("backstore", defaultBackstore)
		if m["backstore"] == nil {
			m["backstore"] = "null" // which YAML reads as no value at all
		}
		set("block_size", defaultBlockSize)
		set("write_cache", true)
	case reflect.TypeFor[Target]():
		set("access", string(AccessListed))
		set("header_digest", string(DigestOffered))
		set("data_digest", string(DigestOffered))
	}
	return m, nil
}
