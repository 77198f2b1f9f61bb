package proxy

import (
	"fmt"
	"strings"
)

// routes finds the guest for a name.
type routes struct {
	exact map[string]Route
	below map[string]Route // "*.example.com" by "example.com"
	other *Route
}

func newRoutes(byName map[string]Route, other *Route) (routes, error) {
	t := routes{exact: make(map[string]Route), below: make(map[string]Route), other: other}
	for name, r := range byName {
		into, host := t.exact, name
		if parent, ok := strings.CutPrefix(name, "*."); ok {
			into, host = t.below, parent
		}
		canonical, ok := canonicalHost(host)
		if !ok {
			return routes{}, fmt.Errorf("%q is no host name, nor one behind \"*.\"", name)
		}
		if _, twice := into[canonical]; twice {
			return routes{}, fmt.Errorf("%q stands twice", name)
		}
		into[canonical] = r
	}
	return t, nil
}

// lookup finds the route for a canonical name; "" is a client that gave none.
func (t routes) lookup(name string) (Route, bool) {
	if r, ok := t.exact[name]; ok {
		return r, true
	}
	for rest := name; ; {
		_, parent, ok := strings.Cut(rest, ".")
		if !ok {
			break
		}
		if r, ok := t.below[parent]; ok {
			return r, true
		}
		rest = parent
	}
	if t.other != nil {
		return *t.other, true
	}
	return Route{}, false
}

// SetRoutes replaces Config.Routes and Config.Default, as a whole and at once.
// Connections, and requests, that were led before go on as they are. It may be
// called at any time. The error is a [*plan.Refusal], and the old routes stay
// then.
func (s *Server) SetRoutes(byName map[string]Route, other *Route) error {
	cfg := s.cfg
	cfg.Routes, cfg.Default = byName, other
	if err := cfg.Validate(); err != nil {
		return err
	}
	t, err := newRoutes(byName, other)
	if err != nil {
		return err
	}
	s.routes.Store(&t)
	return nil
}
