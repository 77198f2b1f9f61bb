package nft

import (
	"errors"
	"fmt"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Events tells when something was done to a table by anybody, also by its own
// process.
type Events struct {
	conn   *netlink.Conn
	family Family
	name   string
}

// groupNFTables is NFNLGRP_NFTABLES.
const groupNFTables = 7

// eventsBuffer holds what comes while somebody loads large tables.
const eventsBuffer = 4 << 20

// NewEvents subscribes in the calling thread's network namespace. It hears from
// then on.
func NewEvents(family Family, name string) (*Events, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open netlink to nftables: %w", err)
	}
	// It is only there to lose less: losing is noticed.
	conn.SetReadBuffer(eventsBuffer)
	if err := conn.JoinGroup(groupNFTables); err != nil {
		return nil, errors.Join(fmt.Errorf("subscribe to nftables' events: %w", err), conn.Close())
	}
	return &Events{conn: conn, family: family, name: name}, nil
}

// Next returns when something was done to the table, or may have been because
// events were lost. After Stop it returns an error.
func (e *Events) Next() error {
	for {
		messages, err := e.conn.Receive()
		if errors.Is(err, unix.ENOBUFS) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("receive nftables' events: %w", err)
		}
		for _, m := range messages {
			if m.Header.Type>>8 != unix.NFNL_SUBSYS_NFTABLES || len(m.Data) < 4 || m.Data[0] != familyNumber(e.family) {
				continue
			}
			// The first attribute of all messages names the table, but for that about
			// a new generation, which has no family.
			d, err := decodeAttrs(m.Data[4:])
			if err != nil || d.str(unix.NFTA_TABLE_NAME) == e.name {
				return nil
			}
		}
	}
}

// Stop makes Next return, now and from now on.
func (e *Events) Stop() error { return e.conn.SetDeadline(time.Unix(1, 0)) }

// Close lets go of the socket. Nobody may be in Next.
func (e *Events) Close() error { return e.conn.Close() }
