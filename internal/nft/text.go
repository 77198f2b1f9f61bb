package nft

import (
	"fmt"
	"strings"
)

// Script returns the text that, given to `nft -f`, replaces the table in one
// transaction, whether it is there or not.
func (t *Table) Script() string {
	return fmt.Sprintf("table %s %s\ndelete table %s %s\n%s", t.Family, t.Name, t.Family, t.Name, t)
}

// String returns the table in nft's language, every implied match written out.
// `nft -f` adds it to what is there; see [Table.Script]. What nft can't take is
// printed as a comment, so text of a table with unknown parts does not make
// the same table.
func (t *Table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s %s {\n", t.Family, t.Name)
	gap := ""
	if t.Comment != "" {
		fmt.Fprintf(&b, "\tcomment \"%s\"\n", t.Comment)
		gap = "\n"
	}
	for _, u := range t.Unknown {
		fmt.Fprintf(&b, "\t# unknown: %s\n", u)
		gap = "\n"
	}
	for _, c := range t.Counters {
		fmt.Fprintf(&b, "%s\tcounter %s {\n\t}\n", gap, c)
		gap = ""
	}
	if len(t.Counters) > 0 {
		gap = "\n"
	}
	for _, s := range t.Sets {
		fmt.Fprintf(&b, "%s\tset %s {\n\t\t%s\n", gap, s.Name, s.Type.definition())
		if s.Interval {
			b.WriteString("\t\tflags interval\n")
		}
		if s.Dynamic {
			fmt.Fprintf(&b, "\t\tsize %d\n\t\tflags dynamic", s.Size)
			if s.Timeout != 0 {
				fmt.Fprintf(&b, ",timeout\n\t\ttimeout %ds", int64(s.Timeout.Seconds()))
			}
			b.WriteString("\n")
		}
		if len(s.Elements) > 0 {
			b.WriteString("\t\telements = {")
			for i, e := range s.Elements {
				if i > 0 {
					b.WriteByte(',')
				}
				if !s.Interval {
					e = s.Type.nftText(e)
				}
				b.WriteString("\n\t\t\t" + e)
			}
			b.WriteString(" }\n")
		}
		b.WriteString("\t}\n")
		gap = "\n"
	}
	for _, c := range t.Chains {
		fmt.Fprintf(&b, "%s\tchain %s {\n", gap, c.Name)
		if c.Hook != "" {
			device := ""
			if c.Device != "" {
				device = ` device "` + c.Device + `"`
			}
			fmt.Fprintf(&b, "\t\ttype %s hook %s%s priority %d; policy %s;\n", c.Type, c.Hook, device, c.Priority, c.Policy)
		}
		for _, r := range c.Rules {
			fmt.Fprintf(&b, "\t\t%s\n", r.text(t.Family))
		}
		b.WriteString("\t}\n")
		gap = "\n"
	}
	b.WriteString("}\n")
	return b.String()
}

// definition is the line that says what is in a set.
func (t SetType) definition() string {
	if !t.unnamed() {
		return "type " + string(t)
	}
	var words []string
	for _, p := range t.parts() {
		words = append(words, string(p.typeof()))
	}
	return "typeof " + strings.Join(words, between)
}

// typeof is a field whose type this is.
func (t SetType) typeof() Kind {
	switch t {
	case EtherAddr:
		return KindEtherSaddr
	case IPv4Addr:
		return KindIPSaddr
	case IPv6Addr:
		return KindIP6Saddr
	case IfName:
		return KindIIFName
	case INetProto:
		return KindIP6Nexthdr
	case INetService:
		return KindTHDport
	case ICMPv6Types:
		return KindICMPv6Type
	}
	return Kind(t)
}

// text returns the rule in nft's language.
func (r Rule) text(f Family) string {
	exprs, err := expand(f, r.Exprs)
	if err != nil {
		exprs = r.Exprs
	}
	var words []string
	for _, e := range exprs {
		if e.Kind == KindUnknown {
			return "# unknown: " + e.Name
		}
		if e.Kind == KindStampIIF {
			return fmt.Sprintf("# the interface's number to @%s,%d,16: %s", e.Base, e.Offset*8, r.Comment)
		}
		words = append(words, e.text(f))
	}
	if r.Comment != "" {
		words = append(words, `comment "`+r.Comment+`"`)
	}
	return strings.Join(words, " ")
}

func (e Expr) text(f Family) string {
	switch e.Kind {
	case KindCounter:
		return `counter name "` + e.Name + `"`
	case KindSetMark:
		return fmt.Sprintf("meta mark set %#010x", e.Number)
	case KindDNAT:
		to := e.Prefix.Addr().String()
		if e.Number != 0 {
			to = fmt.Sprintf("%s:%d", to, e.Number)
		}
		if f != INet {
			return "dnat to " + to
		}
		return string(e.Kind) + " " + to
	case KindDup:
		return fmt.Sprintf("%s %d", e.Kind, e.Number)
	case KindJump, KindGoto:
		return string(e.Kind) + " " + e.Name
	case KindReject:
		switch f {
		case IP:
			return "reject with icmp admin-prohibited"
		case IP6:
			return "reject with icmpv6 admin-prohibited"
		}
		return "reject with icmpx admin-prohibited"
	case KindAccept, KindDrop, KindReturn, KindMasquerade:
		return string(e.Kind)
	case KindLimit:
		over := ""
		if e.Not {
			over = "over "
		}
		return fmt.Sprintf("limit rate %s%d/%s burst %d packets", over, e.Rate, e.Unit, e.Burst)
	}
	if e.Op != "" {
		rate := ""
		if e.Rate != 0 {
			over := ""
			if e.Not {
				over = "over "
			}
			rate = fmt.Sprintf(" limit rate %s%d/%s burst %d packets", over, e.Rate, e.Unit, e.Burst)
		}
		return fmt.Sprintf("%s @%s { %s%s }", e.Op, e.Set, e.Kind, rate)
	}
	left, right := e.sides(f)
	if e.Set != "" {
		right = "@" + e.Set
	}
	switch {
	case e.Not && e.Kind == KindCTState:
		// "!=" would compare all states at once.
		left += " !"
	case e.Not:
		left += " !="
	case strings.Contains(left, "&"):
		left += " =="
	}
	return left + " " + right
}

// sides returns a comparison's field and value.
func (e Expr) sides(f Family) (left, right string) {
	left = string(e.Kind)
	switch e.Kind {
	case KindIIFName, KindOIFName:
		return left, `"` + e.Name + `"`
	case KindEtherSaddr, KindEtherDaddr:
		return left, e.MAC.String()
	case KindEtherType:
		return left, fmt.Sprintf("%#04x", e.Number)
	case KindProtocol:
		if f == INet {
			left = "meta nfproto"
			switch uint16(e.Number) {
			case EthIPv4:
				return left, "ipv4"
			case EthIPv6:
				return left, "ipv6"
			}
		}
		switch uint16(e.Number) {
		case EthIPv4:
			return left, "ip"
		case EthIPv6:
			return left, "ip6"
		case EthARP:
			return left, "arp"
		}
		return left, fmt.Sprintf("%#04x", e.Number)
	case kindIIFType:
		return left, "ether"
	case KindL4Proto, KindIP6Nexthdr:
		switch uint8(e.Number) {
		case ICMP:
			return left, "icmp"
		case TCP:
			return left, "tcp"
		case UDP:
			return left, "udp"
		case ICMPv6:
			return left, "ipv6-icmp"
		}
	case KindIPSaddr, KindIPDaddr, KindIP6Saddr, KindIP6Daddr:
		if e.Prefix.IsSingleIP() {
			return left, e.Prefix.Addr().String()
		}
		return left, e.Prefix.String()
	case KindICMPv6Type:
		switch uint8(e.Number) {
		case RouterSolicit:
			return left, "nd-router-solicit"
		case RouterAdvert:
			return left, "nd-router-advert"
		case NeighbrSolicit:
			return left, "nd-neighbor-solicit"
		case NeighbrAdvert:
			return left, "nd-neighbor-advert"
		case Redirect6:
			return left, "nd-redirect"
		}
	case KindPayload:
		left = fmt.Sprintf("@%s,%d,%d", e.Base, e.Offset*8, len(e.Data)/2*8)
		if e.DataMask != "" {
			left += " & 0x" + e.DataMask
		}
		return left, "0x" + e.Data
	case KindFibDaddr:
		return left, e.Name
	case KindCTState:
		var states []string
		for i, s := range []string{"invalid", "established", "related", "new"} {
			if e.Number&(1<<i) != 0 {
				states = append(states, s)
			}
		}
		return left, strings.Join(states, ",")
	case KindCTStatus:
		return left, "dnat"
	case KindMark:
		if e.Mask != 0 {
			left += fmt.Sprintf(" & %#010x", e.Mask)
		}
		return left, fmt.Sprintf("%#010x", e.Number)
	}
	return left, fmt.Sprint(e.Number)
}
