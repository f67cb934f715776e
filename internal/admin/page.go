package admin

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// The page is plain files: no build step, nothing loaded from elsewhere.
//
//go:embed page
var pageFiles embed.FS

var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// isPage reports whether a path belongs to the page and not to the API.
func isPage(p string) bool { return p == "/" || strings.HasPrefix(p, "/page/") }

// pageHandler serves the page's files. They change only with the daemon, so a
// browser asks again and is mostly told that nothing did.
func pageHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			refuse(w, http.StatusMethodNotAllowed, "the page can only be read")
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/")
		if name == "" {
			name = "page/index.html"
		}
		b, err := fs.ReadFile(pageFiles, name)
		if err != nil {
			refuse(w, http.StatusNotFound, "the page has no such file")
			return
		}
		sum := sha256.Sum256(b)
		tag := etag(hex.EncodeToString(sum[:8]))
		h := w.Header()
		h.Set("ETag", tag)
		h.Set("Cache-Control", "no-cache")
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		h.Set("Content-Type", pageTypes[path.Ext(name)])
		_, _ = w.Write(b)
	})
}
