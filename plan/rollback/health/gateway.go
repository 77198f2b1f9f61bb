package health

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// Gateway checks that a gateway answers an ARP request or a neighbour
// solicitation, sent past the kernel's neighbour table, so that no old entry
// answers in its place. It is asked on the first of the links that there is: a
// bridge that is to be made, then the NIC it will take over from.
func Gateway(gateway netip.Addr, links ...string) Check {
	gateway = gateway.Unmap().WithZone("")
	return Check{
		Name: fmt.Sprintf("gateway %s answers", gateway),
		Run: func(ctx context.Context) error {
			if len(links) == 0 {
				return fmt.Errorf("no link given to ask %s on", gateway)
			}
			return askNeighbor(ctx, gateway, links)
		},
	}
}

func noLink(links []string) error {
	return fmt.Errorf("there is no %s", strings.Join(links, " and no "))
}
