package conformance

// cannotApply names every test that the tool skips with our daemon, and why it
// says nothing about it. A test of something that the daemon does is not here.
var cannotApply = map[string]string{
	"NoMedia.NoMediaSBC":       notRemovable,
	"PreventAllow.Simple":      notRemovable,
	"PreventAllow.Eject":       notRemovable,
	"PreventAllow.ITNexusLoss": notRemovable,
	"PreventAllow.Logout":      notRemovable,
	"PreventAllow.WarmReset":   notRemovable,
	"PreventAllow.ColdReset":   notRemovable,
	"PreventAllow.LUNReset":    notRemovable,
	"PreventAllow.2ITNexuses":  notRemovable,
	"StartStopUnit.Simple":     notRemovable,
	"StartStopUnit.PwrCnd":     notRemovable,
	"StartStopUnit.NoLoej":     notRemovable,
	"Sanitize.CryptoErase":     noCrypto,
	"Sanitize.Readonly":        "overwrite and block erase are tested and pass; " + noCrypto,
	"Sanitize.Reservations":    "overwrite and block erase are tested and pass; " + noCrypto,
	"WriteAtomic16.VPD":        "the fields of page B0h are tested and pass; memory has no alignment or granularity to violate",
	"WriteSame10.ZeroBlocks":   zeroRefused,
	"WriteSame16.ZeroBlocks":   zeroRefused,
}

const (
	notRemovable = "the medium is not removable (INQUIRY RMB=0)"
	noCrypto     = "there is no key to destroy: what is stored is not encrypted here, so SANITIZE CRYPTOGRAPHIC ERASE is refused and not listed"
	zeroRefused  = "WSNZ=1: a length of zero, which would mean up to the end of the medium, is refused; the tool sees that and skips the rest"
)
