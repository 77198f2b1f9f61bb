package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"os"
	"strings"
	"time"
)

// newHTTP builds the server for HTTP/1.x and the transport it reaches guests
// with. base ends when connections are to be cut.
func (s *Server) newHTTP(base context.Context) (*http.Server, *http.Transport) {
	transport := &http.Transport{
		// Not from the environment: only configured guests are dialled.
		Proxy: nil,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to, err := netip.ParseAddrPort(addr)
			if err != nil {
				return nil, fmt.Errorf("dial guest: %w", err)
			}
			return s.dial(ctx, to)
		},
		DisableCompression:     true, // bodies pass as they are
		MaxIdleConnsPerHost:    16,
		MaxIdleConns:           256,
		IdleConnTimeout:        s.cfg.KeepAlive,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: int64(s.cfg.MaxHeaderBytes),
	}
	forward := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1, // streams are passed on as they come
		BufferPool:    &s.buffers,
		ErrorLog:      slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
		Rewrite:       s.rewrite,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // the client is gone
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				sentence(w, http.StatusRequestTimeout, "The body of the request took too long.")
				return
			}
			s.stats.unreachable.Add(1)
			s.cfg.Logger.Warn("guest can't be reached", "name", r.Host, "error", err)
			sentence(w, http.StatusBadGateway, "The server behind this name does not answer.")
		},
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !s.requests.enter() {
				sentence(w, http.StatusServiceUnavailable, "This server is about to stop.")
				return
			}
			defer s.requests.leave()
			s.serveHTTP(w, r, forward)
		}),
		ReadHeaderTimeout: s.cfg.HelloTimeout,
		IdleTimeout:       s.cfg.KeepAlive,
		MaxHeaderBytes:    s.cfg.MaxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	transport.Protocols = server.Protocols
	return server, transport
}

// routeKey carries the route from serveHTTP to rewrite.
type routeKey struct{}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request, forward http.Handler) {
	s.stats.httpRequests.Add(1)
	if r.ProtoMajor != 1 {
		sentence(w, http.StatusHTTPVersionNotSupported, "Only HTTP/1 is spoken here.")
		return
	}
	if r.Method == http.MethodConnect {
		sentence(w, http.StatusMethodNotAllowed, "This server is not an open proxy.")
		return
	}
	if r.URL.IsAbs() && r.URL.Scheme != "http" {
		sentence(w, http.StatusMisdirectedRequest, "Only http addresses are served here.")
		return
	}
	if loops(r.Header, s.id) {
		s.stats.loops.Add(1)
		sentence(w, http.StatusLoopDetected, "This request has been here before.")
		return
	}
	name, _ := canonicalHost(hostOnly(r.Host))
	route, ok := s.routes.Load().lookup(name)
	if !ok {
		s.stats.unknownName.Add(1)
		sentence(w, http.StatusMisdirectedRequest, "No server of this name is served here.")
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), routeKey{}, route))
	control := http.NewResponseController(w)
	if r.ContentLength != 0 {
		r.Body = &body{r.Body, control, s.cfg.KeepAlive}
		// Without this the server reads the body to its end before it lets the
		// response begin.
		control.EnableFullDuplex()
	}
	forward.ServeHTTP(&writer{w, control, s.cfg.IdleTimeout}, r)
}

// body bounds how long each part of a request's body may take, so that one that
// trickles in holds its connections no longer than one that doesn't.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	each    time.Duration
}

func (b *body) Read(p []byte) (int, error) {
	b.control.SetReadDeadline(time.Now().Add(b.each))
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		// From here on the server listens for the client's going away. After
		// any other error it has only to get rid of the rest.
		b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// writer bounds how long a client may let the response wait.
type writer struct {
	http.ResponseWriter
	control *http.ResponseController
	each    time.Duration
}

func (w *writer) Write(p []byte) (int, error) {
	w.control.SetWriteDeadline(time.Now().Add(w.each))
	return w.ResponseWriter.Write(p)
}

// Unwrap gives http.ResponseController what it needs to flush and to upgrade.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// hostOnly takes the port off a Host field.
func hostOnly(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") {
		return host[:i]
	}
	return host
}

// loopHeader is made for this (RFC 8586); unlike Via it does not make servers
// change what they send.
const loopHeader = "CDN-Loop"

// loops reports whether the request came through here before.
func loops(h http.Header, id string) bool {
	for _, v := range h.Values(loopHeader) {
		for member := range strings.SplitSeq(v, ",") {
			member, _, _ = strings.Cut(member, ";")
			if strings.TrimSpace(member) == id {
				return true
			}
		}
	}
	return false
}

func (s *Server) rewrite(p *httputil.ProxyRequest) {
	route := p.In.Context().Value(routeKey{}).(Route)
	p.Out.URL.Scheme = "http"
	p.Out.URL.Host = route.http().String()
	p.Out.Host = p.In.Host
	// As the client sent it: what a query means is for the guest to say.
	p.Out.URL.RawQuery = p.In.URL.RawQuery
	p.SetXForwarded() // those of the client are gone by now
	p.Out.Header.Set("Forwarded", forwarded(p.In.RemoteAddr, p.In.Host))
	p.Out.Header.Add(loopHeader, s.id)
}

// forwarded is the value of RFC 7239, 4.
func forwarded(remote, host string) string {
	var parts []string
	if a, err := netip.ParseAddrPort(remote); err == nil {
		if client := a.Addr().Unmap().WithZone(""); client.Is4() {
			parts = append(parts, "for="+client.String())
		} else {
			parts = append(parts, `for="[`+client.String()+`]"`)
		}
	}
	bare := hostOnly(host)
	if name, ok := canonicalHost(bare); ok {
		if port := strings.TrimPrefix(host[len(bare):], ":"); port != "" && strings.Trim(port, "0123456789") == "" {
			name = `"` + name + ":" + port + `"` // a colon needs quotes
		}
		parts = append(parts, "host="+name)
	}
	return strings.Join(append(parts, "proto=http"), ";")
}

// sentence answers with one, for people.
func sentence(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
}
