package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Attributes newer than golang.org/x/sys has them (linux/netfilter/nf_tables.h).
const (
	nftaTableUserdata  = 6
	nftaChainFlags     = 10
	nftaFlowtableTable = 1
	nftaFlowtableName  = 2
	nftaSetElemKeyEnd  = 10
	// nftChainBase is the one chain flag every chain with a hook has.
	nftChainBase = 1
	// The verdicts of netfilter (linux/netfilter.h), as a chain's policy.
	nfDrop   = 0
	nfAccept = 1
)

// readAttempts is how often Read starts anew when somebody changes nftables
// while it reads.
const readAttempts = 20

// Read returns the table as it is in the kernel, or nil if there is none. What
// the model can't hold becomes an unknown expression or an entry in
// Table.Unknown.
func Read(ctx context.Context, family Family, name string) (*Table, error) {
	conn, closeConn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	defer closeConn()
	r := reader{conn: conn, family: family, name: name}
	for range readAttempts {
		before, err := r.generation()
		if err != nil {
			return nil, fmt.Errorf("read nftables generation: %w", err)
		}
		t, rerr := r.table()
		after, err := r.generation()
		if err != nil {
			return nil, fmt.Errorf("read nftables generation: %w", err)
		}
		// Several dumps are one picture only if nothing changed in between.
		if before != after {
			continue
		}
		if rerr != nil {
			return nil, fmt.Errorf("read table %s %s: %w", family, name, rerr)
		}
		return t, nil
	}
	return nil, fmt.Errorf("read table %s %s: nftables changed during each of %d attempts", family, name, readAttempts)
}

// Counters reads the table's named counters, sorted by name. A table that does
// not exist gives an error matching fs.ErrNotExist.
func Counters(ctx context.Context, family Family, name string) ([]Counter, error) {
	conn, closeConn, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	defer closeConn()
	r := reader{conn: conn, family: family, name: name}
	if _, err := r.get(unix.NFT_MSG_GETTABLE, 0, attr(unix.NFTA_TABLE_NAME, cstring(name))); err != nil {
		return nil, fmt.Errorf("read counters of table %s %s: %w", family, name, err)
	}
	objs, err := r.objects()
	if err != nil {
		return nil, fmt.Errorf("read counters of table %s %s: %w", family, name, err)
	}
	var out []Counter
	for _, o := range objs {
		if o.typ == objCounter {
			out = append(out, o.Counter)
		}
	}
	slices.SortFunc(out, func(a, b Counter) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Contains reports whether an element is in a set of the table now, also of a
// dynamic one. A table or set that does not exist contains nothing.
func Contains(ctx context.Context, family Family, table string, set Set, elem string) (bool, error) {
	conn, closeConn, err := dial(ctx)
	if err != nil {
		return false, err
	}
	defer closeConn()
	one := Set{Name: set.Name, Type: set.Type, Elements: []string{elem}}
	keys, err := one.keys()
	if err != nil {
		return false, fmt.Errorf("look into set %s: %w", set.Name, err)
	}
	r := reader{conn: conn, family: family, name: table}
	_, err = r.get(unix.NFT_MSG_GETSETELEM, 0,
		attr(unix.NFTA_SET_ELEM_LIST_TABLE, cstring(table)), attr(unix.NFTA_SET_ELEM_LIST_SET, cstring(set.Name)),
		nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, nested(unix.NFTA_LIST_ELEM, nested(unix.NFTA_SET_ELEM_KEY, attr(unix.NFTA_DATA_VALUE, keys[0].key)))))
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look into set %s of table %s %s: %w", set.Name, family, table, err)
	}
	return true, nil
}

type reader struct {
	conn   *netlink.Conn
	family Family
	name   string
}

// get sends one request and returns the messages' attributes.
func (r *reader) get(msg uint16, flags netlink.HeaderFlags, attrs ...netlink.Attribute) ([]decoded, error) {
	replies, err := r.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: nftType(msg), Flags: netlink.Request | flags},
		Data:   append(nfgenmsg(familyNumber(r.family), 0), attributes(attrs...)...),
	})
	if err != nil {
		return nil, err
	}
	var out []decoded
	for _, m := range replies {
		if len(m.Data) < 4 || m.Header.Type&0xff00 != unix.NFNL_SUBSYS_NFTABLES<<8 || m.Data[0] != familyNumber(r.family) && msg != unix.NFT_MSG_GETGEN {
			continue
		}
		d, err := decodeAttrs(m.Data[4:])
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func (r *reader) dump(msg uint16, attrs ...netlink.Attribute) ([]decoded, error) {
	return r.get(msg, netlink.Dump, attrs...)
}

func (r *reader) generation() (uint32, error) {
	d, err := r.get(unix.NFT_MSG_GETGEN, 0)
	if err != nil {
		return 0, err
	}
	if len(d) != 1 {
		return 0, fmt.Errorf("%d answers", len(d))
	}
	return d[0].u32(unix.NFTA_GEN_ID), nil
}

func (r *reader) table() (*Table, error) {
	found, err := r.get(unix.NFT_MSG_GETTABLE, 0, attr(unix.NFTA_TABLE_NAME, cstring(r.name)))
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t := &Table{Family: r.family, Name: r.name}
	unknown := func(format string, args ...any) { t.Unknown = append(t.Unknown, fmt.Sprintf(format, args...)) }
	for _, d := range found {
		t.Comment = comment(d.raw(nftaTableUserdata))
		if flags := d.u32(unix.NFTA_TABLE_FLAGS); flags != 0 {
			unknown("table flags %#x", flags)
		}
	}

	objs, err := r.objects()
	if err != nil {
		return nil, fmt.Errorf("counters: %w", err)
	}
	for _, o := range objs {
		if o.typ == objCounter {
			t.Counters = append(t.Counters, o.Name)
		} else {
			unknown("object %s of type %d", o.Name, o.typ)
		}
	}

	sets, err := r.dump(unix.NFT_MSG_GETSET, attr(unix.NFTA_SET_TABLE, cstring(r.name)))
	if err != nil {
		return nil, fmt.Errorf("sets: %w", err)
	}
	for _, d := range sets {
		s, why, err := r.set(d)
		switch {
		case err != nil:
			return nil, err
		case why != "":
			unknown("set %s: %s", d.str(unix.NFTA_SET_NAME), why)
		default:
			t.Sets = append(t.Sets, s)
		}
	}

	flows, err := r.dump(unix.NFT_MSG_GETFLOWTABLE, attr(nftaFlowtableTable, cstring(r.name)))
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
		return nil, fmt.Errorf("flowtables: %w", err)
	}
	for _, d := range flows {
		if d.str(nftaFlowtableTable) == r.name {
			unknown("flowtable %s", d.str(nftaFlowtableName))
		}
	}

	chains, err := r.dump(unix.NFT_MSG_GETCHAIN, attr(unix.NFTA_CHAIN_TABLE, cstring(r.name)))
	if err != nil {
		return nil, fmt.Errorf("chains: %w", err)
	}
	for _, d := range chains {
		if d.str(unix.NFTA_CHAIN_TABLE) != r.name {
			continue
		}
		c, why, err := r.chain(d)
		switch {
		case err != nil:
			return nil, fmt.Errorf("chain %s: %w", c.Name, err)
		case why != "":
			unknown("chain %s: %s", c.Name, why)
		}
		t.Chains = append(t.Chains, c)
	}
	return t, nil
}

// object is a stateful object; only counters are ours.
type object struct {
	Counter
	typ uint32
}

func (r *reader) objects() ([]object, error) {
	found, err := r.dump(unix.NFT_MSG_GETOBJ, attr(unix.NFTA_OBJ_TABLE, cstring(r.name)))
	if err != nil {
		return nil, err
	}
	var out []object
	for _, d := range found {
		if d.str(unix.NFTA_OBJ_TABLE) != r.name {
			continue
		}
		o := object{Counter: Counter{Name: d.str(unix.NFTA_OBJ_NAME)}, typ: d.u32(unix.NFTA_OBJ_TYPE)}
		if o.typ == objCounter {
			c, err := decodeAttrs(d.raw(unix.NFTA_OBJ_DATA))
			if err != nil {
				return nil, fmt.Errorf("counter %s: %w", o.Name, err)
			}
			o.Packets, o.Bytes = c.u64(unix.NFTA_COUNTER_PACKETS), c.u64(unix.NFTA_COUNTER_BYTES)
		}
		out = append(out, o)
	}
	return out, nil
}

// set reads one set, or says why the model can't hold it.
func (r *reader) set(d decoded) (s Set, why string, err error) {
	s.Name = d.str(unix.NFTA_SET_NAME)
	flags := d.u32(unix.NFTA_SET_FLAGS)
	if flags&^(unix.NFT_SET_INTERVAL|unix.NFT_SET_EVAL|unix.NFT_SET_TIMEOUT) != 0 {
		return s, fmt.Sprintf("flags %#x", flags), nil
	}
	s.Interval, s.Dynamic = flags&unix.NFT_SET_INTERVAL != 0, flags&unix.NFT_SET_EVAL != 0
	if !s.Dynamic && flags&unix.NFT_SET_TIMEOUT != 0 {
		return s, fmt.Sprintf("flags %#x", flags), nil
	}
	if s.Dynamic {
		desc, err := decodeAttrs(d.raw(unix.NFTA_SET_DESC))
		if err != nil {
			return s, "", fmt.Errorf("set %s: %w", s.Name, err)
		}
		s.Size = desc.u32(unix.NFTA_SET_DESC_SIZE)
		s.Timeout = time.Duration(d.u64(unix.NFTA_SET_TIMEOUT)) * time.Millisecond
	}
	s.Type = typeOfKey(d.u32(unix.NFTA_SET_KEY_TYPE), int(d.u32(unix.NFTA_SET_KEY_LEN)), d.raw(unix.NFTA_SET_USERDATA))
	if s.Type == "" {
		return s, fmt.Sprintf("key type %#x of %d octets", d.u32(unix.NFTA_SET_KEY_TYPE), d.u32(unix.NFTA_SET_KEY_LEN)), nil
	}
	if s.Dynamic {
		return s, "", nil // what rules put there is nobody's wish
	}
	lists, err := r.dump(unix.NFT_MSG_GETSETELEM, attr(unix.NFTA_SET_ELEM_LIST_TABLE, cstring(r.name)), attr(unix.NFTA_SET_ELEM_LIST_SET, cstring(s.Name)))
	if err != nil {
		return s, "", fmt.Errorf("elements of set %s: %w", s.Name, err)
	}
	var keys []element
	for _, l := range lists {
		elems, err := netlink.UnmarshalAttributes(l.raw(unix.NFTA_SET_ELEM_LIST_ELEMENTS))
		if err != nil {
			return s, "", fmt.Errorf("elements of set %s: %w", s.Name, err)
		}
		for _, raw := range elems {
			e, err := decodeAttrs(raw.Data)
			if err != nil {
				return s, "", fmt.Errorf("element of set %s: %w", s.Name, err)
			}
			for _, extra := range []uint16{unix.NFTA_SET_ELEM_DATA, unix.NFTA_SET_ELEM_TIMEOUT, unix.NFTA_SET_ELEM_EXPR, unix.NFTA_SET_ELEM_OBJREF, nftaSetElemKeyEnd} {
				if e.has(extra) {
					return s, fmt.Sprintf("element with attribute %d", extra), nil
				}
			}
			k, err := decodeAttrs(e.raw(unix.NFTA_SET_ELEM_KEY))
			if err != nil {
				return s, "", fmt.Errorf("key in set %s: %w", s.Name, err)
			}
			keys = append(keys, element{key: k.raw(unix.NFTA_DATA_VALUE), end: e.u32(unix.NFTA_SET_ELEM_FLAGS)&unix.NFT_SET_ELEM_INTERVAL_END != 0})
		}
	}
	if s.Elements, err = elementsOf(s.Type, s.Interval, keys); err != nil {
		return s, err.Error(), nil
	}
	return s, "", nil
}

// chain reads one chain with its rules, and says what the model can't hold.
func (r *reader) chain(d decoded) (c Chain, why string, err error) {
	c = Chain{Name: d.str(unix.NFTA_CHAIN_NAME), Type: d.str(unix.NFTA_CHAIN_TYPE)}
	if flags := d.u32(nftaChainFlags); flags&^nftChainBase != 0 {
		why = fmt.Sprintf("flags %#x", flags)
	}
	if d.has(unix.NFTA_CHAIN_HOOK) {
		h, err := decodeAttrs(d.raw(unix.NFTA_CHAIN_HOOK))
		if err != nil {
			return c, "", err
		}
		var ok bool
		if c.Hook, ok = hookName(r.family, h.u32(unix.NFTA_HOOK_HOOKNUM)); !ok {
			why = fmt.Sprintf("hook %d", h.u32(unix.NFTA_HOOK_HOOKNUM))
		}
		c.Priority = int32(h.u32(unix.NFTA_HOOK_PRIORITY))
		c.Device = h.str(unix.NFTA_HOOK_DEV)
		if r.family == NetDev && c.Device == "" {
			why = "not on one device"
		}
		c.Policy = "accept"
		if d.u32(unix.NFTA_CHAIN_POLICY) == nfDrop {
			c.Policy = "drop"
		}
	}
	rules, err := r.dump(unix.NFT_MSG_GETRULE, attr(unix.NFTA_RULE_TABLE, cstring(r.name)), attr(unix.NFTA_RULE_CHAIN, cstring(c.Name)))
	if err != nil {
		return c, "", fmt.Errorf("rules: %w", err)
	}
	for _, rd := range rules {
		if rd.str(unix.NFTA_RULE_TABLE) != r.name || rd.str(unix.NFTA_RULE_CHAIN) != c.Name {
			continue
		}
		rule, err := r.rule(rd)
		if err != nil {
			return c, "", fmt.Errorf("rule: %w", err)
		}
		c.Rules = append(c.Rules, rule)
	}
	return c, why, nil
}

// rule reads one rule. The names of its expressions are looked at here, because
// the library's own reader skips those it does not know.
func (r *reader) rule(d decoded) (Rule, error) {
	rule := Rule{Comment: comment(d.raw(unix.NFTA_RULE_USERDATA))}
	list, err := netlink.UnmarshalAttributes(d.raw(unix.NFTA_RULE_EXPRESSIONS))
	if err != nil {
		return rule, err
	}
	var exprs []expr.Any
	var names []string
	understood := true
	for _, raw := range list {
		e, err := decodeAttrs(raw.Data)
		if err != nil {
			return rule, err
		}
		name, data := e.str(unix.NFTA_EXPR_NAME), e.raw(unix.NFTA_EXPR_DATA)
		names = append(names, fmt.Sprintf("%s %x", name, data))
		x, err := unmarshalExpr(familyNumber(r.family), name, data)
		if err != nil {
			understood = false
			continue
		}
		exprs = append(exprs, x)
	}
	if understood {
		if rule.Exprs, understood = decode(r.family, exprs); understood {
			return rule, nil
		}
	}
	rule.Exprs = []Expr{{Kind: KindUnknown, Name: strings.Join(names, "; ")}}
	return rule, nil
}

// unmarshalExpr decodes one expression of the kinds we use.
func unmarshalExpr(family uint8, name string, data []byte) (expr.Any, error) {
	var e expr.Any
	switch name {
	case "nat":
		e = &expr.NAT{}
	case "meta":
		e = &expr.Meta{}
	case "cmp":
		e = &expr.Cmp{}
	case "payload":
		e = &expr.Payload{}
	case "bitwise":
		e = &expr.Bitwise{}
	case "lookup":
		e = &expr.Lookup{}
	case "objref":
		e = &expr.Objref{}
	case "limit":
		e = &expr.Limit{}
	case "fib":
		e = &expr.Fib{}
	case "ct":
		e = &expr.Ct{}
	case "reject":
		e = &expr.Reject{}
	case "masq":
		e = &expr.Masq{}
	case "dynset":
		e = &expr.Dynset{}
	case "dup":
		dup := &expr.Dup{}
		if err := expr.Unmarshal(family, data, dup); err != nil {
			return nil, err
		}
		dup.IsRegDevSet = dup.RegDev != 0 // the library forgets
		return dup, nil
	case "immediate":
		imm := &expr.Immediate{}
		if err := expr.Unmarshal(family, data, imm); err != nil {
			return nil, err
		}
		if imm.Register != unix.NFT_REG_VERDICT {
			return imm, nil
		}
		e = &expr.Verdict{}
	default:
		return nil, fmt.Errorf("expression %s: %w", name, errors.ErrUnsupported)
	}
	if err := expr.Unmarshal(family, data, e); err != nil {
		return nil, err
	}
	return e, nil
}

// comment finds nft's comment in a rule's user data: type 0 of a list of type,
// length, value.
func comment(b []byte) string {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		if b[0] == 0 {
			return strings.TrimRight(string(b[2:2+int(b[1])]), "\x00")
		}
		b = b[2+int(b[1]):]
	}
	return ""
}

// decoded is a list of attributes, the last of each type.
type decoded map[uint16][]byte

func decodeAttrs(b []byte) (decoded, error) {
	list, err := netlink.UnmarshalAttributes(b)
	if err != nil {
		return nil, fmt.Errorf("decode netlink attributes: %w", err)
	}
	d := decoded{}
	for _, a := range list {
		// UnmarshalAttributes leaves the nesting flags in place.
		d[a.Type&^uint16(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER)] = a.Data
	}
	return d, nil
}

func (d decoded) has(typ uint16) bool   { _, ok := d[typ]; return ok }
func (d decoded) raw(typ uint16) []byte { return d[typ] }
func (d decoded) str(typ uint16) string { return strings.TrimRight(string(d[typ]), "\x00") }

func (d decoded) u32(typ uint16) uint32 {
	if b := d[typ]; len(b) == 4 {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d decoded) u64(typ uint16) uint64 {
	if b := d[typ]; len(b) == 8 {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
