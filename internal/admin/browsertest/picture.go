package browsertest

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"slices"

	"github.com/stretchr/testify/require"
)

// Picture returns the page as PNG, its first height pixels at most, in no more
// than 256 colors: small enough for a repository.
func (b *Browser) Picture(height int) []byte {
	b.t.Helper()
	var shot struct{ Data []byte }
	b.call("POST", "/goog/cdp/execute", map[string]any{"cmd": "Page.captureScreenshot", "params": map[string]any{"captureBeyondViewport": true}}, &shot)
	full, err := png.Decode(bytes.NewReader(shot.Data))
	require.NoError(b.t, err)
	at := full.Bounds()
	at.Max.Y = min(at.Max.Y, at.Min.Y+height)
	small := image.NewPaletted(at, frequent(full, at))
	draw.Draw(small, at, full, at.Min, draw.Src)
	var out bytes.Buffer
	require.NoError(b.t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small))
	return out.Bytes()
}

// frequent are the colors that a part of m has most of, one for each sort of
// color: shades of text do not crowd out a small green dot.
func frequent(m image.Image, at image.Rectangle) color.Palette {
	type sort [3]uint8
	n := map[color.RGBA]int{}
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			n[color.RGBAModel.Convert(m.At(x, y)).(color.RGBA)]++
		}
	}
	var p color.Palette
	seen := map[sort]bool{}
	for _, c := range slices.SortedFunc(maps.Keys(n), func(a, b color.RGBA) int { return cmp.Compare(n[b], n[a]) }) {
		s := sort{c.R >> 3, c.G >> 3, c.B >> 3}
		if n[c] < 1000 && seen[s] {
			continue
		}
		seen[s] = true
		if p = append(p, c); len(p) == 256 {
			break
		}
	}
	return p
}
