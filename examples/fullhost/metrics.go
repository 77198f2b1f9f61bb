package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/nat64/gateway/gatewayprom"
	"github.com/sixhost/sixhost/ra/raprom"
)

// exporter serves the services' counters to Prometheus, at /metrics.
type exporter struct {
	listener net.Listener
	registry *prometheus.Registry
	log      *slog.Logger
}

// newExporter listens on the address that the file names.
func newExporter(listen netip.AddrPort, log *slog.Logger) (*exporter, error) {
	l, err := net.Listen("tcp", listen.String())
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	return &exporter{listener: l, registry: prometheus.NewRegistry(), log: log}, nil
}

// collect registers the collectors of the services that have one.
func (e *exporter) collect(h host, services []namedService) error {
	for _, s := range services {
		var c prometheus.Collector
		switch run := s.run.(type) {
		case *advertiser:
			c = raprom.New(h.bridgeName, run)
		case *gateway.Gateway:
			c = gatewayprom.New(run)
		default:
			continue
		}
		if err := e.registry.Register(c); err != nil {
			return fmt.Errorf("export the counters of %s: %w", s.name, err)
		}
	}
	return nil
}

// Run serves until ctx ends.
func (e *exporter) Run(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(e.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelError), MaxRequestsInFlight: 4, Timeout: 10 * time.Second,
	}))
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 20 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(e.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

func (e *exporter) close() error { return e.listener.Close() }
