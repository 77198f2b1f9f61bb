package bridge

import (
	"fmt"

	"github.com/sixhost/sixhost/plan"
)

// chooseUplink picks the link of the best default routes.
func chooseUplink(defaults []Route) (string, error) {
	best := make(map[int]Route)
	for _, r := range defaults {
		have, ok := best[r.Family]
		switch {
		case !ok || r.Metric < have.Metric:
			best[r.Family] = r
		case r.Metric == have.Metric && r.Link != have.Link:
			return "", &plan.Refusal{Subject: "uplink", Reason: fmt.Sprintf("the best IPv%d default routes leave through %s and %s; say which one is the uplink", r.Family, have.Link, r.Link), Err: ErrAmbiguousUplink}
		}
	}
	v4, has4 := best[4]
	v6, has6 := best[6]
	switch {
	case has4 && has6 && v4.Link != v6.Link:
		return "", &plan.Refusal{Subject: "uplink", Reason: fmt.Sprintf("the IPv4 default route leaves through %s, the IPv6 one through %s; say which one is the uplink", v4.Link, v6.Link), Err: ErrAmbiguousUplink}
	case has4:
		return v4.Link, nil
	case has6:
		return v6.Link, nil
	}
	return "", &plan.Refusal{Subject: "uplink", Reason: "there is no default route; say which interface leads to the provider", Err: ErrNoUplink}
}
