package bridge

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
)

// Hop is one of several next hops of a route.
type Hop struct {
	Link   string     `json:"link"`
	Via    netip.Addr `json:"via,omitzero"`
	OnLink bool       `json:"onlink,omitempty"`
	Weight int        `json:"weight"` // from 1
}

// Hops are the next hops of a route that has several, in the kernel's order.
// The zero value is none. Hops are comparable, as routes are compared, and
// marshal to a list.
type Hops struct {
	// text is the list as JSON, which has one form for each list.
	text string
}

// HopsOf makes Hops of a list.
func HopsOf(list ...Hop) Hops {
	if len(list) == 0 {
		return Hops{}
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic(fmt.Sprintf("marshal next hops: %v", err)) // the types leave no room for it
	}
	return Hops{string(b)}
}

// List returns the hops.
func (h Hops) List() []Hop {
	if h.text == "" {
		return nil
	}
	var list []Hop
	if err := json.Unmarshal([]byte(h.text), &list); err != nil {
		panic(fmt.Sprintf("unmarshal next hops: %v", err)) // it was made by HopsOf
	}
	return list
}

// IsZero reports whether there are none.
func (h Hops) IsZero() bool { return h.text == "" }

// Equal reports whether both are the same list.
func (h Hops) Equal(o Hops) bool { return h == o }

// MarshalJSON implements json.Marshaler with the list.
func (h Hops) MarshalJSON() ([]byte, error) { return json.Marshal(h.List()) }

// UnmarshalJSON implements json.Unmarshaler.
func (h *Hops) UnmarshalJSON(b []byte) error {
	var list []Hop
	if err := json.Unmarshal(b, &list); err != nil {
		return fmt.Errorf("next hops: %w", err)
	}
	*h = HopsOf(list...)
	return nil
}

// moved returns the hops with one link in the place of another.
func (h Hops) moved(from, to string) Hops {
	list := h.List()
	for i := range list {
		if list[i].Link == from {
			list[i].Link = to
		}
	}
	return HopsOf(list...)
}

// String lists the hops as ip-route(8) does.
func (h Hops) String() string {
	var b strings.Builder
	for i, hop := range h.List() {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString("nexthop")
		if hop.Via.IsValid() {
			fmt.Fprintf(&b, " via %s", hop.Via)
		}
		fmt.Fprintf(&b, " dev %s weight %d", hop.Link, hop.Weight)
		if hop.OnLink {
			b.WriteString(" onlink")
		}
	}
	return b.String()
}

// Gateways are the routers that a route leads to.
func (r Route) Gateways() []netip.Addr {
	var list []netip.Addr
	if r.Via.IsValid() {
		list = append(list, r.Via)
	}
	for _, hop := range r.Hops.List() {
		if hop.Via.IsValid() {
			list = append(list, hop.Via)
		}
	}
	return list
}
