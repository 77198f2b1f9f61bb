// Package raprom exports the counters of package ra to Prometheus. It is apart
// so that who embeds the advertiser need not link a metrics library.
package raprom

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sixhost/sixhost/ra"
)

// namespace begins every metric's name.
const namespace = "sixhost_ra"

// Collector reads the counters of one source whenever it is scraped.
type Collector struct {
	iface  string
	source ra.Metrics
}

var _ prometheus.Collector = &Collector{}

// New returns a collector of a server's or monitor's counters, with the
// interface's name as a label. Counters are named sixhost_ra_NAME_total, gauges
// sixhost_ra_NAME.
func New(iface string, source ra.Metrics) *Collector {
	return &Collector{iface: iface, source: source}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for counter := range c.source.Counters() {
		ch <- c.desc(counter)
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	for counter, value := range c.source.Counters() {
		kind := prometheus.CounterValue
		if counter.Gauge {
			kind = prometheus.GaugeValue
		}
		var labels []string
		if counter.Label != "" {
			labels = append(labels, counter.Value)
		}
		ch <- prometheus.MustNewConstMetric(c.desc(counter), kind, float64(value), labels...)
	}
}

func (c *Collector) desc(counter ra.Counter) *prometheus.Desc {
	name := namespace + "_" + counter.Name
	if !counter.Gauge {
		name += "_total"
	}
	var labels []string
	if counter.Label != "" {
		labels = append(labels, counter.Label)
	}
	return prometheus.NewDesc(name, counter.Help, labels, prometheus.Labels{"interface": c.iface})
}
