// Package natcases is what a NAT64 gateway is tried on, whichever it is and
// whichever way its packets take: a guest, a host, a router of the provider's
// and a web server in the IPv4 Internet, each a network namespace, and a table
// of cases that return an error where the gateway fails them.
//
// A test makes a [Site], starts what is to be judged in Site.Host, and runs
// [Cases]. The package knows nothing of any gateway, ours included.
//
//	guest (2001:db8:1:3::10)
//	  | vnet0
//	 host br0 (2001:db8:1:3::1), enp2s0 (203.0.115.10)
//	  | isp0
//	 isp (203.0.115.1, 203.0.114.1)
//	  | isp1
//	 web (203.0.114.9)
package natcases
