package ra

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"

	"github.com/mdlayher/ndp"
)

// MarshalJSON writes what was received, every option included: times in whole
// seconds but for the two timers in milliseconds, as they are on the wire, and
// 4294967295 for infinity. What is not understood is there in hexadecimal.
func (r Received) MarshalJSON() ([]byte, error) {
	out := struct {
		At        time.Time    `json:"at"`
		Interface string       `json:"interface"`
		From      netip.Addr   `json:"from"`
		HopLimit  int          `json:"hop_limit"`
		Octets    int          `json:"octets"`
		Invalid   string       `json:"invalid,omitempty"`
		Raw       string       `json:"raw,omitempty"`
		Message   *jsonMessage `json:"advertisement,omitempty"`
	}{At: r.At, Interface: r.Interface, From: r.From, HopLimit: r.HopLimit, Octets: len(r.Raw)}
	if r.Err != nil {
		out.Invalid = r.Err.Error()
	}
	if r.Message == nil {
		out.Raw = fmt.Sprintf("%x", r.Raw)
	} else {
		out.Message = messageJSON(r.Message)
	}
	return json.Marshal(out)
}

type jsonMessage struct {
	HopLimit       uint8        `json:"cur_hop_limit"`
	Managed        bool         `json:"managed"`
	Other          bool         `json:"other"`
	HomeAgent      bool         `json:"home_agent"`
	Proxy          bool         `json:"nd_proxy"`
	Preference     string       `json:"preference"`
	RouterLifetime int64        `json:"router_lifetime"`
	ReachableTime  int64        `json:"reachable_time_ms"`
	RetransTimer   int64        `json:"retrans_timer_ms"`
	Options        []jsonOption `json:"options"`
}

// jsonOption has the fields of its type.
type jsonOption struct {
	Type       uint8        `json:"type"`
	Name       string       `json:"name"`
	Address    string       `json:"address,omitempty"`
	MTU        uint32       `json:"mtu,omitempty"`
	Prefix     string       `json:"prefix,omitempty"`
	OnLink     *bool        `json:"on_link,omitempty"`
	Autonomous *bool        `json:"autonomous,omitempty"`
	Preference string       `json:"preference,omitempty"`
	Valid      *int64       `json:"valid,omitempty"`
	Preferred  *int64       `json:"preferred,omitempty"`
	Lifetime   *int64       `json:"lifetime,omitempty"`
	Servers    []netip.Addr `json:"servers,omitempty"`
	Domains    []string     `json:"domains,omitempty"`
	URI        string       `json:"uri,omitempty"`
	Value      string       `json:"value,omitempty"`
}

func messageJSON(m *ndp.RouterAdvertisement) *jsonMessage {
	out := &jsonMessage{
		HopLimit: m.CurrentHopLimit, Managed: m.ManagedConfiguration, Other: m.OtherConfiguration,
		HomeAgent: m.MobileIPv6HomeAgent, Proxy: m.NeighborDiscoveryProxy,
		Preference: radvdPreference(m.RouterSelectionPreference), RouterLifetime: int64(m.RouterLifetime / time.Second),
		ReachableTime: m.ReachableTime.Milliseconds(), RetransTimer: m.RetransmitTimer.Milliseconds(),
		Options: []jsonOption{},
	}
	secs := func(d time.Duration) *int64 {
		n := int64(d / time.Second)
		return &n
	}
	for _, option := range m.Options {
		j := jsonOption{Type: option.Code()}
		switch o := option.(type) {
		case *ndp.LinkLayerAddress:
			j.Name, j.Address = "source_link_layer_address", o.Addr.String()
			if o.Direction == ndp.Target {
				j.Name = "target_link_layer_address"
			}
		case *ndp.MTU:
			j.Name, j.MTU = "mtu", o.MTU
		case *ndp.PrefixInformation:
			j.Name, j.Prefix = "prefix", netip.PrefixFrom(o.Prefix, int(o.PrefixLength)).String()
			j.OnLink, j.Autonomous = &o.OnLink, &o.AutonomousAddressConfiguration
			j.Valid, j.Preferred = secs(o.ValidLifetime), secs(o.PreferredLifetime)
		case *ndp.RouteInformation:
			j.Name, j.Prefix = "route", netip.PrefixFrom(o.Prefix, int(o.PrefixLength)).String()
			j.Preference, j.Lifetime = radvdPreference(o.Preference), secs(o.RouteLifetime)
		case *ndp.RecursiveDNSServer:
			j.Name, j.Servers, j.Lifetime = "rdnss", o.Servers, secs(o.Lifetime)
		case *ndp.DNSSearchList:
			j.Name, j.Domains, j.Lifetime = "dnssl", o.DomainNames, secs(o.Lifetime)
		case *ndp.PREF64:
			j.Name, j.Prefix, j.Lifetime = "pref64", o.Prefix.String(), secs(o.Lifetime)
		case *ndp.CaptivePortal:
			j.Name, j.URI = "captive_portal", o.URI
		case *ndp.RAFlagsExtension:
			j.Name, j.Value = "flags_extension", fmt.Sprintf("%x", []byte(o.Flags))
		case *ndp.Nonce:
			j.Name, j.Value = "nonce", o.String()
		case *ndp.RawOption:
			j.Name, j.Value = "unknown", fmt.Sprintf("%x", o.Value)
		default:
			j.Name, j.Value = "other", fmt.Sprintf("%+v", o)
		}
		out.Options = append(out.Options, j)
	}
	return out
}
