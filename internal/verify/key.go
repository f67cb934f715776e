package verify

// Reservation keys of a run: "nasv", 16 bits that differ from run to run, a
// number. Windows cuts nothing off a key, and neither does anybody else.
const keyPrefix = 0x6e617376

func ours(key uint64) bool { return key>>32 == keyPrefix }

func (r *runner) key(n int) uint64 {
	return keyPrefix<<32 | uint64(r.tag)<<16 | uint64(n)&0xffff
}

// Key is reservation key number n, from 1. 0 would be no key at all.
func (t *T) Key(n int) uint64 { return t.r.key(n) }
