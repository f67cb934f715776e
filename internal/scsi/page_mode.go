package scsi

import "slices"

// modePage is one row of mode parameters, common to all nexuses. SPC-4 r36f 7.5.
type modePage struct {
	Page, Sub uint8
	Name      string
	// Enabled tells whether a unit so configured has the page; nil: always.
	Enabled func(f *conf) bool
	// Bytes builds the whole page, header included, as of one configuration.
	Bytes func(f *conf) []byte
	// Mask has a one for each bit that MODE SELECT may change, header included.
	// Bytes beyond its end are fixed.
	Mask []byte
	// Apply takes the changeable bits of a page into a configuration; nil if
	// there are none.
	Apply func(f *conf, page []byte)
}

// modeParams are the parameters that MODE SELECT can change, part of a unit's
// configuration.
type modeParams struct {
	writeCache      bool // WCE: GOOD before the data are durable
	descriptorSense bool // D_SENSE
	swp             bool // software write protect
	nuar            bool // no unit attention on release
	tas             bool // TASK ABORTED status instead of silence
	thresholds      [thresholdCount]threshold
}

var modePages []*modePage // by ascending page and subpage

func registerMode(p modePage) {
	modePages = append(modePages, &p)
	slices.SortFunc(modePages, func(a, b *modePage) int {
		return int(a.Page)<<8 + int(a.Sub) - int(b.Page)<<8 - int(b.Sub)
	})
}

func (p *modePage) of(f *conf) bool { return p.Enabled == nil || p.Enabled(f) }

const (
	allModePages = 0x3f
	allSubpages  = 0xff
	bitSPF       = 0x40 // the page has the subpage format
)

// pageHeader starts a page whose body has n bytes.
func pageHeader(page, sub uint8, n int) []byte {
	if sub == 0 {
		return append(make([]byte, 0, 2+n), page, byte(n))
	}
	return append(make([]byte, 0, 4+n), page|bitSPF, sub, byte(n>>8), byte(n))
}

// headerLen is the length of a page's header.
func (p *modePage) headerLen() int {
	if p.Sub == 0 {
		return 2
	}
	return 4
}

// mask returns the changeable bits of a page that looks like page.
func (p *modePage) mask(page []byte) []byte {
	m := make([]byte, len(page))
	copy(m, p.Mask)
	copy(m, page[:p.headerLen()])
	return m
}

// selectModePages lists the pages that a MODE SENSE asks for, nil if there is
// no such page. known tells whether at least the page code exists.
func (f *conf) selectModePages(page, sub uint8) (list []*modePage, known bool) {
	for _, p := range modePages {
		if page != allModePages && page != p.Page || !p.of(f) {
			continue
		}
		known = true
		if sub == allSubpages || sub == p.Sub {
			list = append(list, p)
		}
	}
	return list, known
}

func (f *conf) findModePage(page, sub uint8) *modePage {
	for _, p := range modePages {
		if p.Page == page && p.Sub == sub && p.of(f) {
			return p
		}
	}
	return nil
}
