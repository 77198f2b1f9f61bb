package gatewayprom_test

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/nat64/gateway/gatewayprom"
	"github.com/sixhost/sixhost/nat64/siit"
)

// fixed is a source that has counted something everywhere.
type fixed struct{}

func (fixed) Stats() gateway.Stats {
	s := gateway.Stats{
		Path: gateway.PathFast, Answered: 5, Withheld: 6, Unknown: 7, Failed: 8, Fragments: 9, Mappings: 3, Capacity: 65533, Refused: 10,
		To4: gateway.Direction{Packets: 1, Octets: 100, FastPackets: 2, FastOctets: 200},
		To6: gateway.Direction{Packets: 3, Octets: 300, FastPackets: 4, FastOctets: 400},
	}
	for r := siit.Translated + 1; r < siit.Reasons; r++ {
		s.To4.Dropped[r], s.To6.Dropped[r] = uint64(r), uint64(100+r)
	}
	return s
}

func (fixed) PerPort() map[string]int { return map[string]int{"vnet0": 2, "": 1} }

func TestSeries(t *testing.T) {
	c := gatewayprom.New(fixed{})
	// The whole but the drops, which are counted below.
	const want = `
# HELP sixhost_nat64_bytes_total Octets of packets translated, as they arrived.
# TYPE sixhost_nat64_bytes_total counter
sixhost_nat64_bytes_total{direction="to_ipv4",path="fast"} 200
sixhost_nat64_bytes_total{direction="to_ipv4",path="portable"} 100
sixhost_nat64_bytes_total{direction="to_ipv6",path="fast"} 400
sixhost_nat64_bytes_total{direction="to_ipv6",path="portable"} 300
# HELP sixhost_nat64_fast_path 1 while the fast path is on.
# TYPE sixhost_nat64_fast_path gauge
sixhost_nat64_fast_path 1
# HELP sixhost_nat64_icmp_errors_total ICMP errors of the gateway's own.
# TYPE sixhost_nat64_icmp_errors_total counter
sixhost_nat64_icmp_errors_total{fate="answered"} 5
sixhost_nat64_icmp_errors_total{fate="withheld"} 6
# HELP sixhost_nat64_lost_total Packets that were nothing to translate, or could not be written.
# TYPE sixhost_nat64_lost_total counter
sixhost_nat64_lost_total{why="fragments"} 9
sixhost_nat64_lost_total{why="unknown"} 7
sixhost_nat64_lost_total{why="unwritable"} 8
# HELP sixhost_nat64_mappings Mappings in use.
# TYPE sixhost_nat64_mappings gauge
sixhost_nat64_mappings{port=""} 1
sixhost_nat64_mappings{port="vnet0"} 2
# HELP sixhost_nat64_mappings_capacity Mappings that the pool has room for.
# TYPE sixhost_nat64_mappings_capacity gauge
sixhost_nat64_mappings_capacity 65533
# HELP sixhost_nat64_mappings_refused_total How often a guest was refused a mapping.
# TYPE sixhost_nat64_mappings_refused_total counter
sixhost_nat64_mappings_refused_total 10
# HELP sixhost_nat64_packets_total Packets translated; one of many segments counts once.
# TYPE sixhost_nat64_packets_total counter
sixhost_nat64_packets_total{direction="to_ipv4",path="fast"} 2
sixhost_nat64_packets_total{direction="to_ipv4",path="portable"} 1
sixhost_nat64_packets_total{direction="to_ipv6",path="fast"} 4
sixhost_nat64_packets_total{direction="to_ipv6",path="portable"} 3
`
	names := []string{"bytes_total", "fast_path", "icmp_errors_total", "lost_total", "mappings", "mappings_capacity", "mappings_refused_total", "packets_total"}
	for i := range names {
		names[i] = "sixhost_nat64_" + names[i]
	}
	if err := testutil.CollectAndCompare(c, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	if got, want := testutil.CollectAndCount(c, "sixhost_nat64_dropped_total"), 2*int(siit.Reasons-1); got != want {
		t.Errorf("%d series of drops, want %d", got, want)
	}
	if problems, err := testutil.CollectAndLint(c); err != nil || len(problems) != 0 {
		t.Errorf("%v %v", problems, err)
	}
	if err := prometheus.NewRegistry().Register(c); err != nil {
		t.Error(err)
	}
}
