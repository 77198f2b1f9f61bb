package lab

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

const (
	securityTable   = "port_security"
	securityCounter = "foreign"
)

// portSecurity is a switch's port security on one interface: frames from any MAC
// but one are dropped and counted. It stands at the interface's ingress, behind
// the packet sockets, so that a judge sees what is dropped.
type portSecurity struct {
	table *nftables.Table
}

// securePort sets it up in the calling thread's network namespace.
func securePort(link string, allowed wire.MAC) (*portSecurity, error) {
	c, err := nftables.New()
	if err != nil {
		return nil, fmt.Errorf("set up port security: %w", err)
	}
	t := c.AddTable(&nftables.Table{Family: nftables.TableFamilyNetdev, Name: securityTable})
	c.AddObj(&nftables.CounterObj{Table: t, Name: securityCounter})
	ch := c.AddChain(&nftables.Chain{
		Name: "ingress", Table: t, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityFilter, Device: link,
	})
	c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: []expr.Any{
		// The source MAC is octets 6 to 11 of the Ethernet header.
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseLLHeader, Offset: 6, Len: 6},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: allowed[:]},
		&expr.Objref{Type: int(nftables.ObjTypeCounter), Name: securityCounter},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	if err := c.Flush(); err != nil {
		return nil, fmt.Errorf("set up port security on %s: %w", link, err)
	}
	return &portSecurity{table: t}, nil
}

// dropped reads the counter in the calling thread's network namespace.
func (p *portSecurity) dropped() (uint64, error) {
	c, err := nftables.New()
	if err != nil {
		return 0, fmt.Errorf("read port security's counter: %w", err)
	}
	objs, err := c.GetNamedObjects(p.table)
	if err != nil {
		return 0, fmt.Errorf("read port security's counter: %w", err)
	}
	for _, o := range objs {
		named, ok := o.(*nftables.NamedObj)
		if !ok || named.Name != securityCounter {
			continue
		}
		if counter, ok := named.Obj.(*expr.Counter); ok {
			return counter.Packets, nil
		}
	}
	return 0, fmt.Errorf("read port security's counter: it is gone")
}
