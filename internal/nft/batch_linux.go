package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Replace makes the table what t says, in one transaction: at every moment the
// kernel has either the old table or the new one, and counters begin at zero.
// Nothing has changed when it fails; it fails with a [*KernelError] where the
// kernel refuses a part.
func Replace(ctx context.Context, t *Table) error {
	if err := t.Check(); err != nil {
		return err
	}
	b := batch{family: t.Family}
	b.removeTable(t.Name)
	if err := b.addTable(t); err != nil {
		return fmt.Errorf("encode table %s %s: %w", t.Family, t.Name, err)
	}
	if err := b.commit(ctx); err != nil {
		return fmt.Errorf("replace table %s %s: %w", t.Family, t.Name, err)
	}
	return nil
}

// Update leads from one table to another that differs from it in elements alone,
// as [SameRules] says, in one transaction: what passes meanwhile meets the old
// elements or the new ones, and counters go on. It fails, and changes nothing,
// where the kernel has not the table it starts from.
func Update(ctx context.Context, from, to *Table) error {
	if err := to.Check(); err != nil {
		return err
	}
	if !SameRules(from, to) {
		return fmt.Errorf("update table %s %s: it differs in more than elements", to.Family, to.Name)
	}
	b := batch{family: to.Family}
	x, y := from.canonical(), to.canonical()
	for i, s := range y.Sets {
		gone, more := s, s
		gone.Elements = without(x.Sets[i].Elements, s.Elements)
		more.Elements = without(s.Elements, x.Sets[i].Elements)
		for _, c := range []struct {
			Set
			msg   uint16
			flags netlink.HeaderFlags
		}{{gone, unix.NFT_MSG_DELSETELEM, 0}, {more, unix.NFT_MSG_NEWSETELEM, netlink.Create | netlink.Excl}} {
			keys, err := c.keys()
			if err != nil {
				return fmt.Errorf("encode set %s: %w", s.Name, err)
			}
			b.elements(c.msg, c.flags, to, s, 0, keys)
		}
	}
	if len(b.parts) == 0 {
		return nil
	}
	if err := b.commit(ctx); err != nil {
		return fmt.Errorf("update table %s %s: %w", to.Family, to.Name, err)
	}
	return nil
}

// Delete takes the table away; it is no error if there is none.
func Delete(ctx context.Context, family Family, name string) error {
	b := batch{family: family}
	b.removeTable(name)
	if err := b.commit(ctx); err != nil {
		return fmt.Errorf("delete table %s %s: %w", family, name, err)
	}
	return nil
}

// batch collects the messages of one transaction.
type batch struct {
	family Family
	parts  []part
}

// part is one message and what an error about it is about.
type part struct {
	what string
	msg  netlink.Message
}

// removeTable adds the table, which does nothing where it exists, and deletes
// it: the way to delete it whether it exists or not.
func (b *batch) removeTable(name string) {
	what := fmt.Sprintf("table %s %s", b.family, name)
	attrs := attributes(attr(unix.NFTA_TABLE_NAME, cstring(name)))
	b.add(what, unix.NFT_MSG_NEWTABLE, netlink.Create, attrs)
	b.add(what, unix.NFT_MSG_DELTABLE, 0, attrs)
}

func (b *batch) addTable(t *Table) error {
	attrs := []netlink.Attribute{attr(unix.NFTA_TABLE_NAME, cstring(t.Name))}
	if t.Comment != "" {
		attrs = append(attrs, attr(nftaTableUserdata, commentData(t.Comment)))
	}
	b.add(fmt.Sprintf("table %s %s", t.Family, t.Name), unix.NFT_MSG_NEWTABLE, netlink.Create, attributes(attrs...))
	for _, c := range t.Counters {
		b.add("counter "+c, unix.NFT_MSG_NEWOBJ, netlink.Create, attributes(
			attr(unix.NFTA_OBJ_TABLE, cstring(t.Name)),
			attr(unix.NFTA_OBJ_NAME, cstring(c)),
			attr(unix.NFTA_OBJ_TYPE, be32(objCounter)),
			nested(unix.NFTA_OBJ_DATA, attr(unix.NFTA_COUNTER_BYTES, be64(0)), attr(unix.NFTA_COUNTER_PACKETS, be64(0))),
		))
	}
	for i, s := range t.Sets {
		if err := b.addSet(t, s, uint32(i+1)); err != nil {
			return fmt.Errorf("set %s: %w", s.Name, err)
		}
	}
	for _, c := range t.Chains {
		if err := b.addChain(t, c); err != nil {
			return fmt.Errorf("chain %s: %w", c.Name, err)
		}
	}
	for _, c := range t.Chains {
		for i, r := range c.Rules {
			if err := b.addRule(t, c.Name, r); err != nil {
				return fmt.Errorf("chain %s: rule %d: %w", c.Name, i+1, err)
			}
		}
	}
	return nil
}

// elementsPerMessage keeps a message's list of elements below the 64 KiB an
// attribute can have.
const elementsPerMessage = 500

func (b *batch) addSet(t *Table, s Set, id uint32) error {
	keys, err := s.keys()
	if err != nil {
		return err
	}
	var flags uint32
	if s.Interval {
		flags |= unix.NFT_SET_INTERVAL
	}
	if s.Dynamic {
		flags |= unix.NFT_SET_EVAL
	}
	if s.Timeout != 0 {
		flags |= unix.NFT_SET_TIMEOUT
	}
	attrs := []netlink.Attribute{
		attr(unix.NFTA_SET_TABLE, cstring(t.Name)),
		attr(unix.NFTA_SET_NAME, cstring(s.Name)),
		attr(unix.NFTA_SET_FLAGS, be32(flags)),
		attr(unix.NFTA_SET_KEY_TYPE, be32(s.Type.number())),
		attr(unix.NFTA_SET_KEY_LEN, be32(uint32(s.Type.keyLen()))),
		attr(unix.NFTA_SET_ID, be32(id)),
	}
	if s.Dynamic {
		attrs = append(attrs, nested(unix.NFTA_SET_DESC, attr(unix.NFTA_SET_DESC_SIZE, be32(s.Size))))
	}
	if s.Timeout != 0 {
		attrs = append(attrs, attr(unix.NFTA_SET_TIMEOUT, be64(uint64(s.Timeout.Milliseconds()))))
	}
	attrs = append(attrs, attr(unix.NFTA_SET_USERDATA, s.Type.userData()))
	b.add("set "+s.Name, unix.NFT_MSG_NEWSET, netlink.Create, attributes(attrs...))
	b.elements(unix.NFT_MSG_NEWSETELEM, netlink.Create, t, s, id, keys)
	return nil
}

// elements adds messages that put elements into a set, or take them away. A set
// of the same transaction has an id, another 0.
func (b *batch) elements(msg uint16, flags netlink.HeaderFlags, t *Table, s Set, id uint32, keys []element) {
	for len(keys) > 0 {
		n := min(len(keys), elementsPerMessage)
		var list []netlink.Attribute
		for _, k := range keys[:n] {
			e := []netlink.Attribute{nested(unix.NFTA_SET_ELEM_KEY, attr(unix.NFTA_DATA_VALUE, k.key))}
			if k.end {
				e = append(e, attr(unix.NFTA_SET_ELEM_FLAGS, be32(unix.NFT_SET_ELEM_INTERVAL_END)))
			}
			list = append(list, nested(unix.NFTA_LIST_ELEM, e...))
		}
		attrs := []netlink.Attribute{
			attr(unix.NFTA_SET_ELEM_LIST_TABLE, cstring(t.Name)),
			attr(unix.NFTA_SET_ELEM_LIST_SET, cstring(s.Name)),
		}
		if id != 0 {
			attrs = append(attrs, attr(unix.NFTA_SET_ELEM_LIST_SET_ID, be32(id)))
		}
		b.add("elements of set "+s.Name, msg, flags, attributes(append(attrs, nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, list...))...))
		keys = keys[n:]
	}
}

func (b *batch) addChain(t *Table, c Chain) error {
	attrs := []netlink.Attribute{
		attr(unix.NFTA_CHAIN_TABLE, cstring(t.Name)),
		attr(unix.NFTA_CHAIN_NAME, cstring(c.Name)),
	}
	if c.Hook != "" {
		num, ok := hookNumber(t.Family, c.Hook)
		if !ok {
			return fmt.Errorf("hook %q: unknown", c.Hook)
		}
		hook := []netlink.Attribute{attr(unix.NFTA_HOOK_HOOKNUM, be32(num)), attr(unix.NFTA_HOOK_PRIORITY, be32(uint32(c.Priority)))}
		if c.Device != "" {
			hook = append(hook, attr(unix.NFTA_HOOK_DEV, cstring(c.Device)))
		}
		policy := uint32(nfAccept)
		if c.Policy == "drop" {
			policy = nfDrop
		}
		attrs = append(attrs, nested(unix.NFTA_CHAIN_HOOK, hook...), attr(unix.NFTA_CHAIN_POLICY, be32(policy)), attr(unix.NFTA_CHAIN_TYPE, cstring(c.Type)))
	}
	b.add("chain "+c.Name, unix.NFT_MSG_NEWCHAIN, netlink.Create, attributes(attrs...))
	return nil
}

func (b *batch) addRule(t *Table, chain string, r Rule) error {
	exprs, err := encode(t.Family, r.Exprs)
	if err != nil {
		return err
	}
	var list []netlink.Attribute
	for _, e := range exprs {
		data, err := expr.Marshal(familyNumber(t.Family), e)
		if err != nil {
			return fmt.Errorf("marshal %T: %w", e, err)
		}
		list = append(list, netlink.Attribute{Type: unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM, Data: data})
	}
	attrs := []netlink.Attribute{
		attr(unix.NFTA_RULE_TABLE, cstring(t.Name)),
		attr(unix.NFTA_RULE_CHAIN, cstring(chain)),
		nested(unix.NFTA_RULE_EXPRESSIONS, list...),
	}
	if r.Comment != "" {
		attrs = append(attrs, attr(unix.NFTA_RULE_USERDATA, commentData(r.Comment)))
	}
	b.add(fmt.Sprintf("rule of chain %s: %s", chain, r.text(t.Family)), unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, attributes(attrs...))
	return nil
}

// commentData is nft's user data of a table or a rule, a list of type, length,
// value; the comment is type 0 of both, with its terminating zero.
func commentData(comment string) []byte { return tlv(0, cstring(comment)) }

func (b *batch) add(what string, msg uint16, flags netlink.HeaderFlags, attrs []byte) {
	b.parts = append(b.parts, part{what: what, msg: netlink.Message{
		Header: netlink.Header{Type: nftType(msg), Flags: netlink.Request | flags},
		Data:   append(nfgenmsg(familyNumber(b.family), 0), attrs...),
	}})
}

// commit sends the transaction and waits for the kernel's word on it.
func (b *batch) commit(ctx context.Context) error {
	conn, closeConn, err := dial(ctx)
	if err != nil {
		return err
	}
	defer closeConn()

	// One sequence number each, so that errors name their part. Only the last
	// part asks to be acknowledged: errors come anyway, and acknowledgements of
	// a large table would overflow the socket's buffer.
	msgs := []netlink.Message{{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_BEGIN, Flags: netlink.Request}, Data: nfgenmsg(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)}}
	size := 0
	for _, p := range b.parts {
		msgs = append(msgs, p.msg)
		size += len(p.msg.Data) + 32
	}
	msgs[len(msgs)-1].Header.Flags |= netlink.Acknowledge
	msgs = append(msgs, netlink.Message{Header: netlink.Header{Type: unix.NFNL_MSG_BATCH_END, Flags: netlink.Request}, Data: nfgenmsg(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)})
	if size > 64<<10 {
		if err := conn.SetWriteBuffer(2 * size); err != nil {
			return fmt.Errorf("enlarge netlink buffer to %d octets: %w", 2*size, err)
		}
	}
	sent, err := conn.SendMessages(msgs)
	if err != nil {
		return fmt.Errorf("send %d nftables messages: %w", len(msgs), err)
	}
	what := map[uint32]string{sent[0].Header.Sequence: "the transaction"}
	for i, p := range b.parts {
		what[sent[i+1].Header.Sequence] = p.what
	}
	last := sent[len(sent)-2].Header.Sequence
	for {
		seq, errno, err := receiveAck(conn)
		if err != nil {
			return fmt.Errorf("wait for the kernel's answer: %w", err)
		}
		if w, ours := what[seq]; ours && errno != 0 {
			return &KernelError{What: w, Err: meaning(errno)}
		}
		if seq == last {
			return nil
		}
	}
}

// meaning adds errors.ErrUnsupported to the answers that mean it: everything a
// checked table refers to exists, so what the kernel can't find is a feature.
func meaning(errno unix.Errno) error {
	switch errno {
	case unix.ENOENT, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT:
		return fmt.Errorf("%w (%w)", errno, errors.ErrUnsupported)
	}
	return errno
}

// receiveAck reads one netlink acknowledgement. netlink.Conn.Receive would do
// but for the sequence number, which it leaves out of errors.
func receiveAck(conn *netlink.Conn) (seq uint32, errno unix.Errno, err error) {
	rc, err := conn.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	buf := make([]byte, 64<<10)
	var n int
	var rerr error
	if err := rc.Read(func(fd uintptr) bool {
		n, _, rerr = unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
		return rerr != unix.EAGAIN && rerr != unix.EINTR
	}); err != nil {
		return 0, 0, err
	}
	if rerr != nil {
		return 0, 0, rerr
	}
	// struct nlmsghdr: length 4, type 2, flags 2, sequence 4, port 4; then
	// struct nlmsgerr: error 4, the header that it is about.
	if n < 20 || binary.NativeEndian.Uint16(buf[4:]) != unix.NLMSG_ERROR {
		return 0, 0, fmt.Errorf("answer of %d octets is no acknowledgement", n)
	}
	return binary.NativeEndian.Uint32(buf[8:]), unix.Errno(-int32(binary.NativeEndian.Uint32(buf[16:]))), nil
}

// answerWithin is how long the kernel may take. The first rule of a kind has it
// load modules, which a slow or busy machine needs many seconds for.
const answerWithin = time.Minute

// dial opens a netlink socket in the calling thread's network namespace that
// gives up when ctx ends or after answerWithin.
func dial(ctx context.Context) (*netlink.Conn, func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("open netlink to nftables: %w", err)
	}
	if err := conn.SetDeadline(time.Now().Add(answerWithin)); err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("set netlink deadline: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return conn, func() { stop(); conn.Close() }, nil
}

func nftType(msg uint16) netlink.HeaderType {
	return netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | msg)
}

// nfgenmsg is the header below the netlink header: family, version 0, a
// resource number in network order.
func nfgenmsg(family uint8, resource uint16) []byte {
	return []byte{family, unix.NFNETLINK_V0, byte(resource >> 8), byte(resource)}
}

func familyNumber(f Family) uint8 {
	switch f {
	case Bridge:
		return unix.NFPROTO_BRIDGE
	case INet:
		return unix.NFPROTO_INET
	case IP:
		return unix.NFPROTO_IPV4
	case IP6:
		return unix.NFPROTO_IPV6
	case NetDev:
		return unix.NFPROTO_NETDEV
	}
	return unix.NFPROTO_UNSPEC
}

func attr(typ uint16, data []byte) netlink.Attribute { return netlink.Attribute{Type: typ, Data: data} }

func nested(typ uint16, attrs ...netlink.Attribute) netlink.Attribute {
	return netlink.Attribute{Type: unix.NLA_F_NESTED | typ, Data: attributes(attrs...)}
}

// attributes lays attributes out; each is at most 64 KiB, which the callers
// see to.
func attributes(attrs ...netlink.Attribute) []byte {
	b, err := netlink.MarshalAttributes(attrs)
	if err != nil {
		panic(fmt.Sprintf("nft: %v", err))
	}
	return b
}

func cstring(s string) []byte { return append([]byte(s), 0) }
func be32(v uint32) []byte    { return binary.BigEndian.AppendUint32(nil, v) }
func be64(v uint64) []byte    { return binary.BigEndian.AppendUint64(nil, v) }
