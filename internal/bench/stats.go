package main

import (
	"math"
	"slices"
)

// stats sums up the runs of one figure.
type stats struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// summarize returns the statistics of at least one sample, NaN of none. The
// median of an even number is the mean of the middle two.
func summarize(samples []float64) stats {
	if len(samples) == 0 {
		return stats{Median: math.NaN(), Min: math.NaN(), Max: math.NaN()}
	}
	s := slices.Sorted(slices.Values(samples))
	n := len(s)
	return stats{Median: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1]}
}
