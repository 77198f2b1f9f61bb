package main

import (
	"fmt"

	"github.com/sixhost/sixhost/macrewrite"
)

// providerKind is how the provider's router reaches the guests.
type providerKind struct{ macrewrite.Kind }

// UnmarshalText accepts routed and on-link.
func (k *providerKind) UnmarshalText(b []byte) error {
	switch kind := macrewrite.Kind(b); kind {
	case macrewrite.Routed, macrewrite.OnLink:
		k.Kind = kind
		return nil
	}
	return fmt.Errorf("want %s or %s, not %q", macrewrite.Routed, macrewrite.OnLink, b)
}

// edgeGuests are the guests as the edge holds them to what they are: by the port
// that their domains name.
func (h host) edgeGuests() []macrewrite.Guest {
	var list []macrewrite.Guest
	for _, g := range h.guests {
		list = append(list, macrewrite.Guest{Name: g.Name, Port: g.Port(), MAC: g.LinkAddr()})
	}
	return list
}
