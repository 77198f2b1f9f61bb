package ra

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/ndp"
)

func TestReceivedJSON(t *testing.T) {
	r := from(t, "fe80::1", 0, fullConfig())
	r.Raw = make([]byte, 224)
	r.Message.Options = append(r.Message.Options, &ndp.RawOption{Type: 253, Length: 1, Value: []byte("secret")})
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
 "at": "2030-01-01T00:00:00Z",
 "interface": "br0",
 "from": "fe80::1",
 "hop_limit": 255,
 "octets": 224,
 "advertisement": {
  "cur_hop_limit": 64,
  "managed": false,
  "other": true,
  "home_agent": false,
  "nd_proxy": false,
  "preference": "high",
  "router_lifetime": 1800,
  "reachable_time_ms": 30000,
  "retrans_timer_ms": 1000,
  "options": [
   {
    "type": 1,
    "name": "source_link_layer_address",
    "address": "90:1b:0e:12:34:56"
   },
   {
    "type": 5,
    "name": "mtu",
    "mtu": 1500
   },
   {
    "type": 3,
    "name": "prefix",
    "prefix": "2001:db8:1:3::/64",
    "on_link": true,
    "autonomous": true,
    "valid": 5400,
    "preferred": 2700
   },
   {
    "type": 3,
    "name": "prefix",
    "prefix": "2001:db8:4::/56",
    "on_link": false,
    "autonomous": false,
    "valid": 3600,
    "preferred": 0
   },
   {
    "type": 24,
    "name": "route",
    "prefix": "2001:db8:ff0::/44",
    "preference": "high",
    "lifetime": 1800
   },
   {
    "type": 24,
    "name": "route",
    "prefix": "::/0",
    "preference": "low",
    "lifetime": 60
   },
   {
    "type": 25,
    "name": "rdnss",
    "lifetime": 1800,
    "servers": [
     "2001:db8:1:3::2",
     "fe80::1"
    ]
   },
   {
    "type": 31,
    "name": "dnssl",
    "lifetime": 1800,
    "domains": [
     "example.com",
     "lab.example.net"
    ]
   },
   {
    "type": 38,
    "name": "pref64",
    "prefix": "64:ff9b::/96",
    "lifetime": 1800
   },
   {
    "type": 37,
    "name": "captive_portal",
    "uri": "urn:ietf:params:capport:unrestricted"
   },
   {
    "type": 253,
    "name": "unknown",
    "value": "736563726574"
   }
  ]
 }
}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	b, err = json.Marshal(Received{At: clockStart(), Interface: "br0", From: r.From, HopLimit: 64, Raw: []byte{134, 0}, Err: ErrHopLimit})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(b); got != `{"at":"2030-01-01T00:00:00Z","interface":"br0","from":"fe80::1","hop_limit":64,"octets":2,"invalid":"hop limit is not 255","raw":"8600"}` {
		t.Errorf("invalid: %s", got)
	}
}
