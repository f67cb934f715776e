package config

import "fmt"

// Held tells what hosts know a LUN by unless the configuration says otherwise:
// nothing, as long as it has never been served.
type Held func(lun string) (naa []byte, serial string)

// validateIdentities keeps two disks from having one name: hosts would take
// them for two ways to one disk, and mix their contents.
func validateIdentities(c *Config, held Held, report func(path, reason string)) {
	naas, serials := map[string]string{}, map[string]string{}
	each := func(do func(l *LUN, path string)) {
		for i := range c.Targets {
			for j := range c.Targets[i].LUNs {
				do(&c.Targets[i].LUNs[j], fmt.Sprintf("targets[%d].luns[%d]", i, j))
			}
		}
	}
	if held != nil {
		each(func(l *LUN, _ string) {
			naa, serial := held(l.Name)
			if l.NAA == "" && naa != nil {
				naas[string(naa)] = "the LUN " + l.Name + ", which was given it"
			}
			if l.Serial == "" && serial != "" {
				serials[serial] = "the LUN " + l.Name + ", which was given it"
			}
		})
	}
	take := func(seen map[string]string, id, written, path string) {
		if first, twice := seen[id]; twice {
			report(path, fmt.Sprintf("%s is taken by %s, and hosts would take the two for one disk: give each its own, or leave the key out and it gets one", written, first))
			return
		}
		seen[id] = path
	}
	each(func(l *LUN, path string) {
		if naa, err := ParseNAA(l.NAA); err == nil {
			take(naas, string(naa), l.NAA, path+".naa")
		}
		if l.Serial != "" {
			take(serials, l.Serial, l.Serial, path+".serial")
		}
	})
}
