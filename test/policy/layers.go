package policy

// module is the import path every package of ours begins with.
const module = "nas-target"

// layers lists, for each package, the packages of ours it may import directly.
// What is not listed is forbidden, and a package that is not listed fails: the
// direction of every edge is decided here, before it exists. Every I/O flows
// iscsi ▸ scsi ▸ pr and backstore, and no import points against the flow.
// Packages whose tests need more may import it in _test files.
var layers = map[string][]string{
	// Leaves: read, tested and fuzzed alone.
	"internal/pool":                   nil,
	"internal/iscsi/pdu":              nil,
	"internal/pr":                     nil,
	"internal/backstore":              nil,
	"internal/initiator":              nil,
	"internal/isns":                   nil,
	"internal/plain":                  nil,
	"internal/socket":                 nil,
	"internal/service":                nil,
	"internal/pr/prstore":             {"internal/pr"},
	"internal/audit":                  {"internal/plain", "internal/pr"},
	"internal/admin":                  {"internal/plain"},
	"internal/load":                   {"internal/initiator", "internal/socket"},
	"internal/verify":                 {"internal/initiator"},
	"internal/scsi":                   {"internal/pr", "internal/pool"},
	"internal/iscsi":                  {"internal/iscsi/pdu", "internal/scsi", "internal/pool", "internal/socket"},
	"configs":                         nil,
	"internal/config":                 {"configs", "internal/backstore", "internal/pr/prstore"},
	"internal/config/importer":        {"internal/config", "internal/config/importer/nohome", "internal/plain"},
	"internal/config/importer/nohome": nil,
	"internal/metrics":                {"internal/iscsi", "internal/scsi", "internal/pr", "internal/plain"},
	"cmd/nas-target":                  {"internal/daemon", "internal/config", "internal/config/importer", "internal/decode", "internal/admin", "internal/plain", "internal/initiator", "internal/load", "internal/service", "internal/verify"},
	"internal/decode":                 {"internal/initiator", "internal/iscsi/pdu", "internal/plain", "internal/pr", "internal/scsi"},
	"internal/daemon":                 {"internal/admin", "internal/audit", "internal/backstore", "internal/config", "internal/iscsi", "internal/iscsi/pdu", "internal/isns", "internal/metrics", "internal/plain", "internal/pool", "internal/pr", "internal/pr/prstore", "internal/scsi"},
}

// isHelper recognises packages that only tests import; they may import what they test.
// Their name ends in "test", and nothing outside _test files, other helpers
// and test/ may import them.
func isHelper(rel string) bool {
	return len(rel) > 4 && rel[len(rel)-4:] == "test" || rel == "test" || len(rel) > 5 && rel[:5] == "test/"
}

// A fence keeps one library, or a family of them, behind the packages that
// may import it.
type fence struct {
	prefix string   // import path prefix
	only   []string // packages of ours; nil means test code alone
	why    string
}

// fences lists every import from outside the standard library. The first row
// that matches decides; what matches no row is forbidden.
var fences = []fence{
	{"github.com/spf13/viper", []string{"internal/config"},
		"one place reads configuration and knows viper's habits with key case and dots; everybody else gets a plain struct"},
	{"github.com/go-viper/mapstructure", []string{"internal/config"},
		"decoding belongs to reading configuration"},
	{"go.yaml.in/yaml", []string{"internal/config", "internal/config/importer", "cmd/nas-target"},
		"the YAML tree gives errors their line; the command line prints -o yaml"},
	{"github.com/prometheus", []string{"internal/metrics"},
		"the data path tells events and does not know who counts them"},
	{"go.uber.org/zap", []string{"internal/daemon", "cmd/nas-target"},
		"the data path tells events and does not know who writes them down"},
	{"github.com/spf13/cobra", []string{"cmd/nas-target"},
		"flags and exit codes are the command line's"},
	{"github.com/spf13/pflag", []string{"cmd/nas-target"},
		"flags and exit codes are the command line's"},
	{"github.com/coreos/go-systemd", []string{"internal/service"},
		"the daemon is told its sockets and asked whether it lives; who started it is the command's affair"},
	{"github.com/danielgtaylor/huma", []string{"internal/admin"},
		"HTTP stays in the admin API"},
	{"github.com/gopacket/gopacket", []string{"internal/decode"},
		"captures of networks are the decoder's; what serves disks never reads one"},
	{"github.com/gostor/gotgt/pkg/config", []string{"internal/config/importer"},
		"the importer reads gotgt's file through gotgt's own parser"},
	{"golang.org/x/sys", []string{"internal/backstore", "internal/daemon", "internal/iscsi", "internal/pr/prstore", "internal/load", "internal/initiator", "internal/service", "internal/socket", "cmd/nas-target"},
		"system calls belong to those who own a file, a socket or a terminal; pure cores have none"},
	{"github.com/stretchr/testify", nil, "testing library"},
	{"pgregory.net/rapid", nil, "testing library"},
	{"github.com/anishathalye/porcupine", nil, "testing library"},
	{"go.uber.org/goleak", nil, "testing library"},
}

// stdFences does the same for parts of the standard library.
var stdFences = []fence{
	{"testing", nil, "a binary that links testing grew a test into the product"},
	{"net/http/pprof", []string{"internal/admin", "cmd/nas-target"},
		"importing it opens a debug endpoint on the default mux"},
	{"unsafe", []string{"internal/backstore", "internal/socket"},
		"raw system calls alone need it, each with its reason beside it"},
}

// pure packages have no clock, no I/O and no goroutine: functions of values.
var pure = map[string][]string{
	"internal/pr":        {"os", "net", "time", "context", "syscall", "math/rand", "math/rand/v2", "log"},
	"internal/iscsi/pdu": {"os", "net/http", "time", "context", "syscall", "log"},
}
