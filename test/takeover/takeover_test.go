package takeover

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"nas-target/internal/config"
	"nas-target/internal/config/importer"
	"nas-target/internal/daemon"
	"nas-target/internal/initiator"
	"nas-target/test/peers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is what an initiator knows a LUN by.
type disk struct {
	LUN       uint16
	Bytes     uint64
	BlockSize uint32
	Serial    string // without the blanks around it, which tgt and gotgt add
	NAA       []string
	Inquiry   string // vendor, product, revision
	Data      string // that stands in its first block
}

// look logs in and asks every LUN that is a disk.
func look(t *testing.T, c initiator.Config) []disk {
	t.Helper()
	c.LoginTimeout, c.Tolerant = 30*time.Second, true // other targets' lapses are not the point here
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := initiator.Dial(ctx, c)
	require.NoError(t, err)
	defer s.Close()
	list, err := s.ReportLUNs(ctx)
	require.NoError(t, err)
	var all []disk
	for _, l := range list {
		n, ok := l.Number()
		require.True(t, ok)
		u := s.Unit(n)
		_, err := u.DrainUA(ctx)
		require.NoError(t, err)
		about, err := u.Inquiry(ctx)
		require.NoError(t, err)
		if about.DeviceType != 0 {
			continue // tgt's controller
		}
		d := disk{LUN: n, Inquiry: fmt.Sprintf("%s/%s/%s", about.Vendor, about.Product, about.Revision)}
		capacity, err := u.ReadCapacity16(ctx)
		require.NoError(t, err)
		d.Bytes, d.BlockSize = capacity.Blocks*uint64(capacity.BlockSize), capacity.BlockSize
		d.Serial = strings.Trim(string(page(t, u, initiator.VPDSerial)), " \x00")
		designators, err := initiator.DecodeDesignators(page(t, u, initiator.VPDIdentification))
		require.NoError(t, err)
		for _, x := range designators {
			if x.Type == initiator.DesignatorNAA && x.Association == initiator.AssociationUnit {
				d.NAA = append(d.NAA, hex.EncodeToString(x.ID))
			}
		}
		_, err = u.LoadCapacity(ctx)
		require.NoError(t, err)
		block, err := u.Read(ctx, 0, 1)
		require.NoError(t, err)
		d.Data = strings.TrimRight(string(block), "\x00")
		all = append(all, d)
	}
	return all
}

// page reads a VPD page. gotgt fills the answer up behind the page, which
// Unit.VPD would not take.
func page(t *testing.T, u *initiator.Unit, code uint8) []byte {
	t.Helper()
	r, err := u.Run(t.Context(), initiator.InquiryVPD(code, 255))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(r.Data), 4)
	length := int(r.Data[2])<<8 | int(r.Data[3])
	require.LessOrEqual(t, 4+length, len(r.Data))
	return r.Data[4 : 4+length]
}

// medium makes a file with a mark in its first block.
func medium(t *testing.T, dir, name string, size int64) {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(path, []byte(name), 0o600))
	require.NoError(t, os.Truncate(path, size))
}

// serve imports a configuration and serves it.
func serve(t *testing.T, format, text string) netip.AddrPort {
	t.Helper()
	secrets := filepath.Join(t.TempDir(), "chap-secrets")
	r, err := importer.Import(format, importer.File{Name: format, Data: []byte(text)}, importer.Options{
		Portals: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}, SecretsFile: secrets,
	})
	require.NoError(t, err)
	for _, n := range r.Report {
		t.Log(n)
	}
	if !r.Secrets.Empty() {
		require.NoError(t, os.WriteFile(secrets, r.Secrets.Reveal(), 0o600))
	}
	c, err := config.Parse("imported.yaml", r.Text)
	require.NoError(t, err)
	c.DataDir, c.Page.Listen = t.TempDir(), ""
	c.Portals[0].Listen[0] = netip.MustParseAddrPort("127.0.0.1:0") // a port of the kernel's choice
	d, err := daemon.Start(t.Context(), c, daemon.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		require.NoError(t, d.Stop(ctx))
	})
	return d.Portals()[0]
}

const node = "iqn.2026-11.test.takeover:node"

// tgt-admin and tgtd against the import of their own file: counted LUNs and
// target ids, given ones, serial numbers and SCSI ids, CHAP in both directions.
func TestTGT(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int64{"a.img": 5 << 20, "b.img": 6 << 20, "c.img": 7 << 20, "d.img": 8 << 20, "e.img": 9 << 20} {
		medium(t, dir, name, size)
	}
	text := strings.ReplaceAll(`
<target iqn.2026-11.test.takeover:z-last>
    <backing-store DIR/d.img>
        scsi_id IET_QUORUM_01
        scsi_sn QUORUM0001
        vendor_id ACME
        product_id "QUORUM DISK"
        product_rev 7
        block-size 4096
    </backing-store>
    <backing-store DIR/b.img>
        lun 2
        write-cache off
    </backing-store>
    <backing-store DIR/a.img>
    </backing-store>
    initiator-address 127.0.0.1
</target>
<target iqn.2026-11.test.takeover:chap>
    backing-store DIR/c.img
    incominguser joe joes-own-secret
    outgoinguser san secret-of-san
    controller_tid 21
</target>
<target iqn.2026-11.test.takeover:direct>
    backing-store DIR/e.img
    block-size 4096
    scsi_sn DIRECT-1
</target>
`, "DIR", dir)
	chap := &initiator.CHAP{User: "joe", Secret: "joes-own-secret", MutualUser: "san", MutualSecret: "secret-of-san", Algorithms: []int{5}}
	targets := []struct {
		name string
		chap *initiator.CHAP
	}{{"z-last", nil}, {"chap", chap}, {"direct", nil}}

	before := map[string][]disk{}
	func() {
		addr, stop := startTGT(t, text)
		defer stop()
		for _, x := range targets {
			before[x.name] = look(t, initiator.Config{Addr: addr, Target: "iqn.2026-11.test.takeover:" + x.name, InitiatorName: node, CHAP: x.chap})
			require.NotEmpty(t, before[x.name])
			for i := range before[x.name] {
				// tgt shows two NAA identifiers; the one of type 6 goes over.
				d := &before[x.name][i]
				require.Len(t, d.NAA, 2)
				d.NAA = d.NAA[1:]
			}
		}
	}()
	addr := serve(t, "tgt", text)
	for _, x := range targets {
		c := initiator.Config{Addr: addr.String(), Target: "iqn.2026-11.test.takeover:" + x.name, InitiatorName: node, CHAP: x.chap}
		require.Equal(t, before[x.name], look(t, c), x.name)
	}
	_, err := initiator.Dial(t.Context(), initiator.Config{Addr: addr.String(), Target: "iqn.2026-11.test.takeover:chap", InitiatorName: node, Tolerant: true})
	require.Error(t, err, "who had to prove itself still has to")
}

// gotgt against the import of its file.
func TestGOTGT(t *testing.T) {
	dir := t.TempDir()
	medium(t, dir, "disk.img", 12<<20)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	peer, err := peers.GOTGT.Start(ctx, dir, peers.Disk{Path: filepath.Join(dir, "disk.img")})
	require.NoError(t, err)
	before := look(t, initiator.Config{Addr: peer.Addr, Target: peer.IQN, InitiatorName: node})
	_ = peer.Stop() // it may have crashed by now; that is another test's concern
	var disks []disk
	for _, d := range before {
		if d.LUN == uint16(peer.LUN) {
			disks = append(disks, d)
		}
	}
	require.Len(t, disks, 1)

	addr := serve(t, "gotgt", fmt.Sprintf(`{
		"storages": [{"deviceID": 1000, "path": "file:%s", "online": true, "blockShift": 9}],
		"iscsiportals": [{"id": 0, "portal": "127.0.0.1:3260"}],
		"iscsitargets": {"%s": {"tpgts": {"1": [0]}, "luns": {"%d": 1000}}}}`, filepath.Join(dir, "disk.img"), peer.IQN, peer.LUN))
	require.Equal(t, disks, look(t, initiator.Config{Addr: addr.String(), Target: peer.IQN, InitiatorName: node}))
}

// LIO's file: what the kernel would have shown stands here as its source builds
// it (drivers/target/target_core_spc.c): 6001405 and the first 25 hexadecimal
// digits of the unit serial.
func TestLIO(t *testing.T) {
	dir := t.TempDir()
	medium(t, dir, "witness.img", 16<<20)
	medium(t, dir, "csv.img", 32<<20)
	const name = "iqn.2003-01.org.linux-iscsi.nas1.x8664:sn.5fd36a1f2c5b"
	addr := serve(t, "lio", strings.ReplaceAll(`{
  "storage_objects": [
    {"name": "witness", "plugin": "fileio", "dev": "DIR/witness.img", "size": 16777216, "write_back": true,
     "wwn": "a53bd5cc-85d7-47dc-a4d2-9682e9a7b82a", "attributes": {"block_size": 512, "emulate_write_cache": 1, "emulate_model_alias": 1}},
    {"name": "csv", "plugin": "fileio", "dev": "DIR/csv.img", "size": 33554432, "write_back": false,
     "wwn": "E884AB8F-f4b4-4fdb-a690-1099c072c86d", "attributes": {"block_size": 4096, "emulate_write_cache": 0}}
  ],
  "targets": [{"fabric": "iscsi", "wwn": "`+name+`", "tpgs": [{
    "tag": 1, "enable": true, "attributes": {"authentication": 1, "generate_node_acls": 0},
    "luns": [{"index": 0, "storage_object": "/backstores/fileio/witness"}, {"index": 7, "storage_object": "/backstores/fileio/csv"}],
    "node_acls": [
      {"node_wwn": "`+node+`", "chap_userid": "node", "chap_password": "secret-of-node", "chap_mutual_userid": "nas", "chap_mutual_password": "secret-of-nas",
       "mapped_luns": [{"index": 0, "tpg_lun": 0, "write_protect": false}, {"index": 7, "tpg_lun": 7, "write_protect": false}]},
      {"node_wwn": "`+node+`2", "chap_userid": "node2", "chap_password": "secret-of-node2",
       "mapped_luns": [{"index": 7, "tpg_lun": 7, "write_protect": false}]}],
    "portals": [{"ip_address": "192.0.2.5", "port": 3260}]
  }]}]
}`, "DIR", dir))
	csv := disk{7, 32 << 20, 4096, "E884AB8F-f4b4-4fdb-a690-1099c072c86d", []string{"6001405e884ab8ff4b44fdba6901099c"}, "LIO-ORG/FILEIO/4.0", "csv.img"}
	require.Equal(t, []disk{
		{0, 16 << 20, 512, "a53bd5cc-85d7-47dc-a4d2-9682e9a7b82a", []string{"6001405a53bd5cc85d747dca4d29682e"}, "LIO-ORG/witness/4.0", "witness.img"}, csv,
	}, look(t, initiator.Config{Addr: addr.String(), Target: name, InitiatorName: node,
		CHAP: &initiator.CHAP{User: "node", Secret: "secret-of-node", MutualUser: "nas", MutualSecret: "secret-of-nas"}}))
	require.Equal(t, []disk{csv}, look(t, initiator.Config{Addr: addr.String(), Target: name, InitiatorName: node + "2",
		CHAP: &initiator.CHAP{User: "node2", Secret: "secret-of-node2"}}))
}
