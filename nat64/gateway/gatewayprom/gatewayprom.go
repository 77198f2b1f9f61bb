// Package gatewayprom shows what a NAT64 gateway counts to Prometheus.
//
// [New] makes a collector, to be registered by the program that serves the
// gateway; it asks the gateway at each scrape and holds nothing itself. The
// package is apart from nat64/gateway so that an embedder who doesn't want
// Prometheus doesn't link it. It needs no privileges; what [Source] returns is
// all it knows.
package gatewayprom

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/nat64/siit"
)

// Source is what is asked at each scrape.
type Source interface {
	Stats() gateway.Stats
	// PerPort returns how many mappings each of the guests' ports has.
	PerPort() map[string]int
}

var _ Source = (*gateway.Gateway)(nil)

// collector implements prometheus.Collector.
type collector struct {
	source                                                Source
	packets, octets, dropped, errors, refused, lost, fast *prometheus.Desc
	mappings, capacity                                    *prometheus.Desc
}

// New returns a collector of these metrics:
//
//	sixhost_nat64_packets_total{direction,path}      translated; one of many segments counts once
//	sixhost_nat64_bytes_total{direction,path}        their octets, as they arrived
//	sixhost_nat64_dropped_total{direction,reason}    not translated, by siit.Reason
//	sixhost_nat64_icmp_errors_total{fate}            of the gateway's own: answered or withheld
//	sixhost_nat64_lost_total{why}                    unknown, unwritable, or fragments that fit no others
//	sixhost_nat64_mappings{port}                     in use, by the guests' ports; "" is not known
//	sixhost_nat64_mappings_capacity                  what the pool has room for
//	sixhost_nat64_mappings_refused_total             guests that got none
//	sixhost_nat64_fast_path                          1 while the fast path is on
//
// direction is "to_ipv4" for what guests send and "to_ipv6" for what they get.
func New(source Source) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("sixhost_nat64_"+name, help, labels, nil)
	}
	return &collector{
		source:   source,
		packets:  desc("packets_total", "Packets translated; one of many segments counts once.", "direction", "path"),
		octets:   desc("bytes_total", "Octets of packets translated, as they arrived.", "direction", "path"),
		dropped:  desc("dropped_total", "Packets that were not translated.", "direction", "reason"),
		errors:   desc("icmp_errors_total", "ICMP errors of the gateway's own.", "fate"),
		lost:     desc("lost_total", "Packets that were nothing to translate, or could not be written.", "why"),
		mappings: desc("mappings", "Mappings in use.", "port"),
		capacity: desc("mappings_capacity", "Mappings that the pool has room for."),
		refused:  desc("mappings_refused_total", "How often a guest was refused a mapping."),
		fast:     desc("fast_path", "1 while the fast path is on."),
	}
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.packets, c.octets, c.dropped, c.errors, c.lost, c.mappings, c.capacity, c.refused, c.fast} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.source.Stats()
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	for _, d := range []struct {
		name string
		gateway.Direction
	}{{"to_ipv4", s.To4}, {"to_ipv6", s.To6}} {
		count(c.packets, d.Packets, d.name, gateway.PathPortable)
		count(c.packets, d.FastPackets, d.name, gateway.PathFast)
		count(c.octets, d.Octets, d.name, gateway.PathPortable)
		count(c.octets, d.FastOctets, d.name, gateway.PathFast)
		for r := siit.Translated + 1; r < siit.Reasons; r++ {
			count(c.dropped, d.Dropped[r], d.name, strings.ReplaceAll(strings.ToLower(r.String()), " ", "_"))
		}
	}
	count(c.errors, s.Answered, "answered")
	count(c.errors, s.Withheld, "withheld")
	count(c.lost, s.Unknown, "unknown")
	count(c.lost, s.Failed, "unwritable")
	count(c.lost, s.Fragments, "fragments")
	for port, n := range c.source.PerPort() {
		gauge(c.mappings, n, port)
	}
	gauge(c.capacity, s.Capacity)
	count(c.refused, s.Refused)
	on := 0
	if s.Path == gateway.PathFast {
		on = 1
	}
	gauge(c.fast, on)
}
