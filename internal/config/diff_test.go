package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDiff(t *testing.T) {
	a, err := Parse("a.yaml", []byte(operators))
	require.NoError(t, err)
	require.Empty(t, Diff(a, a))
	b, err := Parse("b.yaml", []byte(`data_dir: /data
log: {level: debug}
portals: [{group: 2, listen: ["10.1.0.5:3260"]}, {group: 1, listen: ["10.0.0.5:3260"]}]
targets:
  - name: iqn.2026-11.com.example:b
    initiators: [{name: "*", networks: [10.0.0.0/8], chap: {user: x}}]
    luns: [{lun: 5, name: fast, backstore: ram, size: 1MiB}]
  - name: iqn.2026-11.com.example:a
    alias: disks
    luns: [{lun: 1, name: witness, size: 2GiB, write_cache: false}]
`))
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(`
- initiator iqn.2026-11.com.example:i at iqn.2026-11.com.example:a
~ configuration: log.level info → debug
+ portal 10.1.0.5:3260: group 2
+ target iqn.2026-11.com.example:b: access listed, header_digest offered, data_digest offered
+ initiator * from 10.0.0.0/8 at iqn.2026-11.com.example:b: chap.user x
+ LUN fast: target iqn.2026-11.com.example:b, lun 5, backstore ram, block_size 512, physical_block_size 0, write_cache true, read_only false, erase_speed 0, size 1MiB
~ target iqn.2026-11.com.example:a: alias none → disks
~ LUN witness: lun 0 → 1
~ LUN witness: write_cache true → false
~ LUN witness: size 1GiB → 2GiB
`), strings.Join(Diff(a, b), "\n"))
}
