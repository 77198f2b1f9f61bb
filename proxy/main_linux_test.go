package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// Addresses on the loopback interface of a test's namespace.
const (
	guest1 = "2001:db8:1:3::1001"
	guest2 = "2001:db8:1:3::1002"
	nobody = "2001:db8:1:3::dead"
)

func namespace(t testing.TB) *netns.NS {
	t.Helper()
	return nstest.NSWith(t, guest1, guest2, nobody)
}

// listen opens a listener of the test's own in the namespace.
func listen(t testing.TB, ns *netns.NS, at string) net.Listener {
	t.Helper()
	var l net.Listener
	nstest.Do(t, ns, func() (err error) {
		l, err = net.Listen("tcp", at)
		return err
	})
	t.Cleanup(func() { l.Close() })
	return l
}

// dial connects in the namespace.
func dial(t testing.TB, ns *netns.NS, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	var c net.Conn
	nstest.Do(t, ns, func() (err error) {
		c, err = net.Dial("tcp", to.String())
		return err
	})
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

// run starts a server on 127.0.0.1 and stops it when the test ends. stop may be
// called before.
func run(t testing.TB, ns *netns.NS, cfg Config) (s *Server, stop func()) {
	t.Helper()
	local := []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
	cfg.HTTP, cfg.TLS = local, local
	if cfg.Routes == nil {
		cfg.Routes = map[string]Route{
			"one.example":   {Addr: netip.MustParseAddr(guest1)},
			"two.example":   {Addr: netip.MustParseAddr(guest2)},
			"*.two.example": {Addr: netip.MustParseAddr(guest2)},
			"dead.example":  {Addr: netip.MustParseAddr(nobody)},
		}
	}
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	nstest.Do(t, ns, func() (err error) {
		s, err = New(cfg)
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(15 * time.Second):
			t.Error("Run does not end")
		}
	})
	t.Cleanup(stop)
	return s, stop
}

// certificate for a name, signed by itself.
func certificate(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTLS is a guest's server: it says its name, then echoes, and on the
// client's end of data says "bye".
func serveTLS(t testing.TB, ns *netns.NS, addr, name string) {
	t.Helper()
	l := tls.NewListener(listen(t, ns, "["+addr+"]:443"), &tls.Config{Certificates: []tls.Certificate{certificate(t, name)}})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				fmt.Fprintf(c, "%s\n", name)
				if _, err := io.Copy(c, c); err == nil {
					io.WriteString(c, "bye")
				}
			}()
		}
	}()
}

func TestTLSPassThrough(t *testing.T) {
	ns := namespace(t)
	serveTLS(t, ns, guest1, "one.example")
	serveTLS(t, ns, guest2, "two.example")
	s, _ := run(t, ns, Config{})
	for name, want := range map[string]string{
		"one.example": "one.example", "ONE.example": "one.example", "two.example": "two.example", "a.b.two.example": "two.example",
	} {
		c := tls.Client(dial(t, ns, s.TLSAddrs()[0]), &tls.Config{ServerName: name, InsecureSkipVerify: true})
		r := bufio.NewReader(c)
		line, err := r.ReadString('\n')
		if err != nil || strings.TrimSpace(line) != want {
			t.Fatalf("%s: read %q, %v, want %q", name, line, err, want)
		}
		if got := c.ConnectionState().PeerCertificates[0].DNSNames[0]; got != want {
			t.Errorf("%s: certificate of %s", name, got)
		}
		// Enough for splice; both ways at once.
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
		go func() {
			c.Write(sent)
			c.CloseWrite()
		}()
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, append(sent, "bye"...)) {
			t.Fatalf("%s: echo of %d bytes, then %q, %v", name, len(got), got[max(0, len(got)-3):], err)
		}
		c.Close()
	}
	eventually(t, "all connections to end", func() bool { return s.Stats().Active == 0 })
	if st := s.Stats(); st.TLSConns != 4 || st.BytesToGuests < 4<<20 || st.BytesToClients < 4<<20 {
		t.Errorf("counters: %+v", st)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestHelloTorture sends real hellos in the ways other proxies choke on.
func TestHelloTorture(t *testing.T) {
	ns := namespace(t)
	// A guest that echoes what arrives, so that the bytes can be compared.
	l := listen(t, ns, "["+guest1+"]:443")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	s, _ := run(t, ns, Config{})
	pad := extension(21, make([]byte, 43000))
	for name, b := range map[string][]byte{
		"one record":       records(helloWith(sni("one.example")), maxRecord),
		"records of bytes": records(helloWith(sni("one.example")), 1),
		"43 KB":            records(helloWith(pad, sni("one.example")), maxRecord),
	} {
		for _, segment := range []int{1 << 20, 1000, 7} {
			c := dial(t, ns, s.TLSAddrs()[0])
			b := append(bytes.Clone(b), "more"...)
			if segment < 100 && len(b) > 1000 {
				continue
			}
			go func() {
				for rest := b; len(rest) > 0; {
					n := min(segment, len(rest))
					c.Write(rest[:n])
					rest = rest[n:]
				}
				c.CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, b) {
				t.Errorf("%s in segments of %d: %d of %d bytes came through, %v", name, segment, len(got), len(b), err)
			}
		}
	}
}

func TestTLSRefusals(t *testing.T) {
	ns := namespace(t)
	s, _ := run(t, ns, Config{HelloTimeout: 300 * time.Millisecond})
	for _, tt := range []struct {
		name string
		send []byte
		want []byte
	}{
		{"unknown name", records(helloWith(sni("other.example")), maxRecord), alertRecord(alertUnrecognizedName)},
		{"no name", records(helloWith(), maxRecord), alertRecord(alertUnrecognizedName)},
		{"malformed", records(helloWith(sni("")), maxRecord), alertRecord(alertDecodeError)},
		{"guest without a server", records(helloWith(sni("dead.example")), maxRecord), alertRecord(alertInternalError)},
		{"plain HTTP", []byte("GET / HTTP/1.0\r\n\r\n"), nil},
		{"half a hello and silence", records(helloWith(sni("one.example")), maxRecord)[:30], nil},
		{"silence", nil, nil},
	} {
		c := dial(t, ns, s.TLSAddrs()[0])
		c.Write(tt.send)
		start := time.Now()
		got, err := io.ReadAll(c)
		if tt.want == nil && errors.Is(err, syscall.ECONNRESET) {
			err = nil // closed with bytes unread
		}
		if err != nil || !bytes.Equal(got, tt.want) || time.Since(start) > 3*time.Second {
			t.Errorf("%s: got % x, %v after %s, want % x", tt.name, got, err, time.Since(start), tt.want)
		}
	}
	c := tls.Client(dial(t, ns, s.TLSAddrs()[0]), &tls.Config{ServerName: "other.example"})
	if err := c.Handshake(); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("crypto/tls understands the alert as %v", err)
	}
	eventually(t, "memory to be given back", func() bool {
		return s.Stats().Active == 0 && s.helloMemory.left.Load() == int64(s.cfg.HelloMemory)
	})
	if st := s.Stats(); st.UnknownName != 3 || st.HelloTimeout != 2 || st.BadHello != 2 || st.Unreachable != 1 {
		t.Errorf("counters: %+v", st)
	}
}

// TestHalfClose checks that the end of data one way leaves the other way open,
// from either side, and that a reset is passed on as one.
func TestHalfClose(t *testing.T) {
	ns := namespace(t)
	l := listen(t, ns, "["+guest1+"]:443")
	s, _ := run(t, ns, Config{})
	hi := records(helloWith(sni("one.example")), maxRecord)
	pair := func() (client, guest *net.TCPConn) {
		client = dial(t, ns, s.TLSAddrs()[0])
		client.Write(hi)
		l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
		c, err := l.Accept()
		if err != nil {
			t.Fatalf("no connection at the guest: %v; %+v", err, s.Stats())
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadFull(c, make([]byte, len(hi))); err != nil {
			t.Fatal(err)
		}
		return client, c.(*net.TCPConn)
	}
	for _, first := range []string{"client", "guest"} {
		a, b := pair()
		if first == "guest" {
			a, b = b, a
		}
		a.CloseWrite()
		if got, err := io.ReadAll(b); err != nil || len(got) != 0 {
			t.Fatalf("%s closed: other side read %q, %v", first, got, err)
		}
		io.WriteString(b, "still here")
		b.CloseWrite()
		if got, err := io.ReadAll(a); err != nil || string(got) != "still here" {
			t.Fatalf("%s closed: it read %q, %v", first, got, err)
		}
	}
	a, b := pair()
	a.SetLinger(0)
	a.Close()
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a reset the other side read %v", err)
	}
	eventually(t, "all connections to end", func() bool { return s.Stats().Active == 0 })
}

func TestIdleAndLimits(t *testing.T) {
	ns := namespace(t)
	l := listen(t, ns, "["+guest1+"]:443")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	s, _ := run(t, ns, Config{IdleTimeout: 500 * time.Millisecond, MaxConnsPerClient: 2})
	hi := records(helloWith(sni("one.example")), maxRecord)
	var conns []*net.TCPConn
	for range 2 {
		c := dial(t, ns, s.TLSAddrs()[0])
		c.Write(hi)
		conns = append(conns, c)
	}
	eventually(t, "two connections", func() bool { return s.Stats().Active == 2 })
	third := dial(t, ns, s.TLSAddrs()[0])
	if _, err := third.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("third connection of a client: %v", err)
	}
	for _, c := range conns {
		if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("idle connection: %d, %v", n, err)
		}
	}
	eventually(t, "all connections to end", func() bool { return s.Stats().Active == 0 })
	if st := s.Stats(); st.TooMany != 1 {
		t.Errorf("counters: %+v", st)
	}
}

// TestDrain ends Run while a connection is in use: it may finish.
func TestDrain(t *testing.T) {
	ns := namespace(t)
	serveTLS(t, ns, guest1, "one.example")
	for _, finishes := range []bool{true, false} {
		s, stop := run(t, ns, Config{DrainTimeout: time.Second})
		c := tls.Client(dial(t, ns, s.TLSAddrs()[0]), &tls.Config{ServerName: "one.example", InsecureSkipVerify: true})
		r := bufio.NewReader(c)
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			stop()
		}()
		eventually(t, "the listener to close", func() bool {
			refused := false
			ns.Do(func() error {
				c, err := net.Dial("tcp", s.TLSAddrs()[0].String())
				if refused = err != nil; !refused {
					c.Close()
				}
				return nil
			})
			return refused
		})
		if finishes {
			io.WriteString(c, "last words")
			c.CloseWrite()
			if got, err := io.ReadAll(r); err != nil || string(got) != "last wordsbye" {
				t.Errorf("while draining: %q, %v", got, err)
			}
		}
		<-done
		if !finishes {
			if _, err := r.ReadByte(); err == nil {
				t.Error("connection outlived Run")
			}
		}
	}
}

func TestManyConnections(t *testing.T) {
	ns := namespace(t)
	serveTLS(t, ns, guest1, "one.example")
	s, _ := run(t, ns, Config{})
	const many = 100
	var wg sync.WaitGroup
	errs := make(chan error, many)
	for range many {
		raw := dial(t, ns, s.TLSAddrs()[0])
		wg.Go(func() {
			c := tls.Client(raw, &tls.Config{ServerName: "one.example", InsecureSkipVerify: true})
			r := bufio.NewReader(c)
			if line, err := r.ReadString('\n'); err != nil || line != "one.example\n" {
				errs <- fmt.Errorf("%q, %w", line, err)
			}
			c.Close()
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	eventually(t, "all connections to end", func() bool { return s.Stats().Active == 0 })
}

// serveHTTP is a guest's web server; the handler is given the guest's name.
func serveHTTP(t testing.TB, ns *netns.NS, addr, name string, more map[string]http.HandlerFunc) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s|%s|%s|%s|%s", name, r.Method, r.RequestURI, r.Host,
			r.Header.Get("X-Forwarded-For"), r.Header.Get("X-Forwarded-Proto"), r.Header.Get("Forwarded"))
	})
	for path, h := range more {
		mux.HandleFunc(path, h)
	}
	server := &http.Server{Handler: mux}
	go server.Serve(listen(t, ns, "["+addr+"]:80"))
	t.Cleanup(func() { server.Close() })
}

// exchange writes a raw request and reads one response.
func exchange(t testing.TB, c net.Conn, r *bufio.Reader, raw string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("%.40q: %v", raw, err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestHTTPByHost(t *testing.T) {
	ns := namespace(t)
	serveHTTP(t, ns, guest1, "guest1", nil)
	serveHTTP(t, ns, guest2, "guest2", nil)
	s, _ := run(t, ns, Config{})
	c := dial(t, ns, s.HTTPAddrs()[0])
	r := bufio.NewReader(c)
	// All on one connection: each request finds its own guest.
	for _, tt := range []struct {
		request string
		status  int
		want    string
	}{
		{"GET /a?x=1;y=%zz HTTP/1.1\r\nHost: one.example\r\n\r\n", 200,
			"guest1 GET /a?x=1;y=%zz|one.example|127.0.0.1|http|for=127.0.0.1;host=one.example;proto=http"},
		{"GET /b%2Fc HTTP/1.1\r\nHost: TWO.example:8080\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\r\n", 200,
			`guest2 GET /b%2Fc|TWO.example:8080|127.0.0.1|http|for=127.0.0.1;host="two.example:8080";proto=http`},
		{"GET http://x.two.example/d HTTP/1.1\r\nHost: one.example\r\n\r\n", 200,
			"guest2 GET /d|x.two.example|127.0.0.1|http|for=127.0.0.1;host=x.two.example;proto=http"},
		{"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n", 421, "No server of this name is served here.\n"},
		{"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 421, "No server of this name is served here.\n"},
		{"GET / HTTP/1.1\r\nHost: dead.example\r\n\r\n", 502, "The server behind this name does not answer.\n"},
		{"POST /e HTTP/1.1\r\nHost: one.example\r\nContent-Length: 3\r\n\r\nabc", 200,
			"guest1 POST /e|one.example|127.0.0.1|http|for=127.0.0.1;host=one.example;proto=http"},
		{"GET / HTTP/1.1\r\nHost: one.example\r\nCDN-Loop: foo, " + s.id + "\r\n\r\n", 508, "This request has been here before.\n"},
		{"GET /f HTTP/1.1\r\nHost: one.example\r\n\r\n", 200,
			"guest1 GET /f|one.example|127.0.0.1|http|for=127.0.0.1;host=one.example;proto=http"},
	} {
		resp, got := exchange(t, c, r, tt.request)
		if resp.StatusCode != tt.status || got != tt.want {
			t.Errorf("%.60q: status %d, body\n%s\nwant %d\n%s", tt.request, resp.StatusCode, got, tt.status, tt.want)
		}
	}
	for request, status := range map[string]int{
		"CONNECT one.example:443 HTTP/1.1\r\nHost: one.example:443\r\n\r\n": 405,
		"GET / HTTP/1.0\r\n\r\n": 421,
		"GET / HTTP/1.1\r\n\r\n": 400,
		"GET / HTTP/1.1\r\nHost: one.example\r\nHost: two.example\r\n\r\n":                      400,
		"GET / HTTP/1.1\r\nHost: one.example\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n": 400,
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":                                                      505,
	} {
		c := dial(t, ns, s.HTTPAddrs()[0])
		if resp, _ := exchange(t, c, bufio.NewReader(c), request); resp.StatusCode != status {
			t.Errorf("%.60q: status %d, want %d", request, resp.StatusCode, status)
		}
	}
}

// TestHTTPStreams checks that parts of a body arrive as they are written, both
// ways, and that an upgrade gives a plain connection.
func TestHTTPStreams(t *testing.T) {
	ns := namespace(t)
	serveHTTP(t, ns, guest1, "guest1", map[string]http.HandlerFunc{
		"/echo": func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).EnableFullDuplex()
			w.WriteHeader(200)
			http.NewResponseController(w).Flush()
			b := make([]byte, 100)
			for {
				n, err := r.Body.Read(b)
				w.Write(b[:n])
				http.NewResponseController(w).Flush()
				if err != nil {
					return
				}
			}
		},
		"/upgrade": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "Upgrade" {
				http.Error(w, "no upgrade asked for", 400)
				return
			}
			c, rw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			rw.Flush()
			io.Copy(c, rw)
		},
	})
	s, stop := run(t, ns, Config{DrainTimeout: 300 * time.Millisecond})

	c := dial(t, ns, s.HTTPAddrs()[0])
	r := bufio.NewReader(c)
	io.WriteString(c, "GET /upgrade HTTP/1.1\r\nHost: one.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 {
		t.Fatalf("upgrade: %v, %v", resp, err)
	}
	for i := range 3 {
		fmt.Fprintf(c, "message %d\n", i)
		if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintf("message %d\n", i) {
			t.Fatalf("upgraded connection: %q, %v", line, err)
		}
	}

	d := dial(t, ns, s.HTTPAddrs()[0])
	dr := bufio.NewReader(d)
	io.WriteString(d, "POST /echo HTTP/1.1\r\nHost: one.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
	resp, err = http.ReadResponse(dr, nil)
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, part); err != nil || string(part) != "hello" {
		t.Fatalf("first part before the second was sent: %q, %v", part, err)
	}
	io.WriteString(d, "3\r\nbye\r\n0\r\n\r\n")
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "bye" {
		t.Errorf("rest: %q, %v", rest, err)
	}
	stop() // with the upgraded connection open: it is cut
	if _, err := r.ReadByte(); err == nil {
		t.Error("upgraded connection outlived Run")
	}
}

// TestSlowHTTP sends a header, and a body, too slowly.
func TestSlowHTTP(t *testing.T) {
	ns := namespace(t)
	serveHTTP(t, ns, guest1, "guest1", map[string]http.HandlerFunc{
		"/read": func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) },
	})
	s, _ := run(t, ns, Config{HelloTimeout: 200 * time.Millisecond, KeepAlive: 200 * time.Millisecond})
	for _, half := range []string{"GET / HTTP/1.1\r\nHost: one.exa", "POST /read HTTP/1.1\r\nHost: one.example\r\nContent-Length: 9\r\n\r\n1"} {
		c := dial(t, ns, s.HTTPAddrs()[0])
		io.WriteString(c, half)
		start := time.Now()
		io.Copy(io.Discard, c)
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%.20q: open for %s", half, d)
		}
	}
	eventually(t, "all connections to end", func() bool { return s.Stats().Active == 0 })
}
