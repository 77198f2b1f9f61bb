package probe

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

// startWeb serves pages in a namespace, by TLS with a certificate for name
// where name is not empty.
func startWeb(t *testing.T, ns *netns.NS, at netip.Addr, name string) (netip.AddrPort, *x509.Certificate) {
	t.Helper()
	var l net.Listener
	nstest.Do(t, ns, func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(at, 0).String())
		return err
	})
	addr := addrPort(l.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s to %s", r.RemoteAddr, r.Host)
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) { w.Write(bytes.Repeat([]byte("sixhost!"), 1<<15)) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/page", http.StatusFound) })
	srv := &http.Server{Handler: mux}
	var cert *x509.Certificate
	if name != "" {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if cert, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	t.Cleanup(func() { srv.Close(); <-done })
	return addr, cert
}

func TestFetch(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	for _, ends := range [][2]netip.Addr{{near4, far4}, {near6, far6}} {
		at, _ := startWeb(t, far, ends[1], "")
		r, err := Fetch(context.Background(), near, fmt.Sprintf("http://www.example:%d/page", at.Port()), FetchOptions{Addr: netip.AddrPortFrom(at.Addr(), 0)})
		if err != nil {
			t.Fatal(err)
		}
		// Only a socket made in near has near's address.
		if r.Local.Addr() != ends[0] || r.Remote != at || r.Certificate != "" || r.Took <= 0 {
			t.Errorf("%+v", r)
		}
		if want := fmt.Sprintf("%v to www.example:%d", r.Local, at.Port()); r.Status != 200 || string(r.Body) != want {
			t.Errorf("status %d, body %q, want %q", r.Status, r.Body, want)
		}
		if r, err := Fetch(context.Background(), near, fmt.Sprintf("http://%v/big", at), FetchOptions{}); err != nil || len(r.Body) != 8<<15 {
			t.Errorf("big: %v", err)
		}
		if _, err := Fetch(context.Background(), near, fmt.Sprintf("http://%v/big", at), FetchOptions{Limit: 100}); err == nil {
			t.Error("big beyond the limit: no error")
		}
		if r, err := Fetch(context.Background(), near, fmt.Sprintf("http://%v/moved", at), FetchOptions{}); err != nil || r.Status != 302 {
			t.Errorf("moved: %+v, %v", r, err)
		}
	}
}

func TestFetchTLS(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	at, cert := startWeb(t, far, far6, "www.example")
	page := fmt.Sprintf("https://www.example:%d/page", at.Port())
	sum := sha256.Sum256(cert.Raw)
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	for _, pool := range []*x509.CertPool{nil, roots} {
		r, err := Fetch(context.Background(), near, page, FetchOptions{Addr: at, Roots: pool})
		if err != nil {
			t.Fatal(err)
		}
		if r.Certificate != hex.EncodeToString(sum[:]) || r.Status != 200 {
			t.Errorf("%+v", r)
		}
	}
	var unknown x509.UnknownAuthorityError
	if _, err := Fetch(context.Background(), near, page, FetchOptions{Addr: at, Roots: x509.NewCertPool()}); !errors.As(err, &unknown) {
		t.Errorf("empty pool: %v", err)
	}
	var wrongName x509.HostnameError
	other := fmt.Sprintf("https://other.example:%d/page", at.Port())
	if _, err := Fetch(context.Background(), near, other, FetchOptions{Addr: at, Roots: roots}); !errors.As(err, &wrongName) {
		t.Errorf("other name: %v", err)
	}
}

func TestFetchFails(t *testing.T) {
	t.Parallel()
	near, far := pair(t)
	if _, err := Fetch(context.Background(), near, fmt.Sprintf("http://[%v]:9/", far6), FetchOptions{}); !errors.Is(err, ErrRefused) {
		t.Errorf("closed port: %v", err)
	}
	nstest.Output(t, far, "nft", "add table inet t; add chain inet t in { type filter hook input priority 0; }; add rule inet t in meta l4proto tcp drop")
	if _, err := Fetch(within(t, 200*time.Millisecond), near, fmt.Sprintf("http://[%v]:9/", far6), FetchOptions{}); !errors.Is(err, ErrNoAnswer) {
		t.Errorf("dropped: %v", err)
	}
	for _, u := range []string{"http://www.example/", "http://[::1/", "http://[::1]:70000/"} {
		if _, err := Fetch(context.Background(), near, u, FetchOptions{}); err == nil {
			t.Errorf("%s: no error", u)
		}
	}
}
