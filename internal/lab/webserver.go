package lab

import (
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Paths of the pages that every web server of the lab has.
const (
	PathSmall = "/small"
	PathLarge = "/large"
	// PathWho answers with the address and port of the client that the server
	// sees, and the name it was asked by: "203.0.113.10:40001 web4.example".
	PathWho = "/who"
)

const (
	smallPage = 1 << 10
	largePage = 1 << 20
)

// Page returns what the web server of a node has under PathSmall or PathLarge:
// random bytes that depend on nothing but the two. Other paths have none.
func Page(node, path string) []byte {
	size := 0
	switch path {
	case PathSmall:
		size = smallPage
	case PathLarge:
		size = largePage
	}
	b := make([]byte, size)
	rand.NewChaCha8(sha256.Sum256([]byte("practice provider: " + node + path))).Read(b)
	return b
}

// webServer serves a node's pages.
func webServer(node string) *http.Server {
	mux := http.NewServeMux()
	for _, path := range []string{PathSmall, PathLarge} {
		page := Page(node, path)
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("Content-Length", strconv.Itoa(len(page)))
			w.Write(page)
		})
	}
	mux.HandleFunc("GET "+PathWho, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte(r.RemoteAddr + " " + r.Host))
	})
	return &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
}

// serveHTTP hides the server's ordinary end.
func serveHTTP(serve func() error) error {
	if err := serve(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
