package raprom

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/sixhost/sixhost/ra"
)

// Whole series, as they are scraped: names, labels and help are an interface.
func TestSeries(t *testing.T) {
	const server = `# HELP sixhost_ra_advertisements_total Rounds of router advertisements sent, by destination.
# TYPE sixhost_ra_advertisements_total counter
sixhost_ra_advertisements_total{destination="multicast",interface="br0"} 0
sixhost_ra_advertisements_total{destination="unicast",interface="br0"} 0
# HELP sixhost_ra_default_router 1 while the host advertises itself as a default router.
# TYPE sixhost_ra_default_router gauge
sixhost_ra_default_router{interface="br0"} 0
# HELP sixhost_ra_errors_total Failures, by what was tried.
# TYPE sixhost_ra_errors_total counter
sixhost_ra_errors_total{interface="br0",operation="receive"} 0
sixhost_ra_errors_total{interface="br0",operation="send"} 0
sixhost_ra_errors_total{interface="br0",operation="state_file"} 0
# HELP sixhost_ra_greetings_total Multicast rounds that came sooner for a host that had just come up.
# TYPE sixhost_ra_greetings_total counter
sixhost_ra_greetings_total{interface="br0"} 0
# HELP sixhost_ra_link_events_total Times that advertising began anew or ended because of the link.
# TYPE sixhost_ra_link_events_total counter
sixhost_ra_link_events_total{event="change",interface="br0"} 0
sixhost_ra_link_events_total{event="loss",interface="br0"} 0
# HELP sixhost_ra_solicitations_total Router solicitations received, by what became of them.
# TYPE sixhost_ra_solicitations_total counter
sixhost_ra_solicitations_total{interface="br0",result="accepted"} 0
sixhost_ra_solicitations_total{interface="br0",result="coalesced"} 0
sixhost_ra_solicitations_total{interface="br0",result="fragmented"} 0
sixhost_ra_solicitations_total{interface="br0",result="hop_limit"} 0
sixhost_ra_solicitations_total{interface="br0",result="malformed"} 0
sixhost_ra_solicitations_total{interface="br0",result="source"} 0
sixhost_ra_solicitations_total{interface="br0",result="unspecified_lladdr"} 0
# HELP sixhost_ra_updates_total Configurations that took another's place.
# TYPE sixhost_ra_updates_total counter
sixhost_ra_updates_total{interface="br0"} 0
# HELP sixhost_ra_withdrawn Prefixes, routes, servers and domains that are being taken back.
# TYPE sixhost_ra_withdrawn gauge
sixhost_ra_withdrawn{interface="br0"} 0
`
	if err := testutil.CollectAndCompare(New("br0", &ra.Server{}), strings.NewReader(server)); err != nil {
		t.Error(err)
	}
	// A server and a monitor of one interface go into one registry.
	r := prometheus.NewPedanticRegistry()
	for _, source := range []ra.Metrics{&ra.Server{}, &ra.Monitor{}} {
		if err := r.Register(New("br0", source)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Register(New("br1", &ra.Server{})); err != nil {
		t.Fatal(err)
	}
	if n, err := testutil.GatherAndCount(r); err != nil || n != 18+7+18 {
		t.Errorf("%d series, %v", n, err)
	}
}
