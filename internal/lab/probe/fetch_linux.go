package probe

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/sixhost/sixhost/internal/netns"
)

// FetchOptions says how to fetch. The zero value fetches URLs whose host is an
// address, and accepts any certificate.
type FetchOptions struct {
	// Addr is dialled whatever the URL's host is. Port 0 means the URL's port.
	Addr netip.AddrPort
	// Resolver finds the host's address where Addr is not set.
	Resolver *Resolver
	// Roots verifies the server's certificate for the URL's host. nil accepts
	// any; Response.Certificate then tells which it was.
	Roots *x509.CertPool
	// Header is added to the request.
	Header http.Header
	// Limit is how many bytes of a body are read at most. Default 64 MiB.
	Limit int64
}

// Response is what came back.
type Response struct {
	Status      int
	Header      http.Header
	Body        []byte
	Local       netip.AddrPort // our end
	Remote      netip.AddrPort // the address dialled
	Certificate string         // SHA-256 of the peer's certificate in hex; "" over plain HTTP
	Took        time.Duration  // from before the look-up to the body's end
}

// Fetch gets an http or https URL from a namespace, over a connection of its
// own. The server name of TLS and the Host header are the URL's host; redirects
// are returned, not followed. Any status is a Response, not an error. Errors
// match ErrNoAnswer or ErrRefused where no connection came about. Without a
// deadline in ctx it takes 10 seconds at most.
func Fetch(ctx context.Context, ns *netns.NS, rawURL string, opts FetchOptions) (*Response, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
	}
	r, err := fetch(ctx, ns, rawURL, opts)
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", rawURL, classify(err))
	}
	return r, nil
}

func fetch(ctx context.Context, ns *netns.NS, rawURL string, opts FetchOptions) (*Response, error) {
	start := time.Now()
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	to, err := destination(ctx, ns, u, opts)
	if err != nil {
		return nil, err
	}
	res := &Response{}
	transport := &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := dial(ctx, ns, "tcp", netip.Addr{}, to)
			if err != nil {
				return nil, err
			}
			res.Local, res.Remote = addrPort(c.LocalAddr()), addrPort(c.RemoteAddr())
			return c, nil
		},
		TLSClientConfig: &tls.Config{
			ServerName:         u.Hostname(),
			RootCAs:            opts.Roots,
			InsecureSkipVerify: opts.Roots == nil,
		},
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range opts.Header {
		req.Header[k] = v
	}
	answer, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	limit := opts.Limit
	if limit <= 0 {
		limit = 64 << 20
	}
	res.Body, err = io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	if int64(len(res.Body)) > limit {
		return nil, fmt.Errorf("body is longer than %d bytes", limit)
	}
	res.Status, res.Header, res.Took = answer.StatusCode, answer.Header, time.Since(start)
	if answer.TLS != nil && len(answer.TLS.PeerCertificates) > 0 {
		sum := sha256.Sum256(answer.TLS.PeerCertificates[0].Raw)
		res.Certificate = hex.EncodeToString(sum[:])
	}
	return res, nil
}

// destination finds out what to dial.
func destination(ctx context.Context, ns *netns.NS, u *url.URL, opts FetchOptions) (netip.AddrPort, error) {
	port := uint64(80)
	if u.Scheme == "https" {
		port = 443
	}
	if s := u.Port(); s != "" {
		var err error
		if port, err = strconv.ParseUint(s, 10, 16); err != nil {
			return netip.AddrPort{}, fmt.Errorf("port: %w", err)
		}
	}
	if a := opts.Addr; a.Addr().IsValid() {
		if a.Port() == 0 {
			a = netip.AddrPortFrom(a.Addr(), uint16(port))
		}
		return a, nil
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		return netip.AddrPortFrom(a, uint16(port)), nil
	}
	if opts.Resolver == nil {
		return netip.AddrPort{}, fmt.Errorf("no address for %q: neither Addr nor Resolver is set", u.Hostname())
	}
	addrs, err := opts.Resolver.Lookup(ctx, ns, u.Hostname())
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(addrs[0], uint16(port)), nil
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
