// Package lab is the practice provider: a rented server's surroundings in
// network namespaces. A provider's router with port security and a judge at
// the server's port; behind it an IPv4-only and an IPv6-only web server, a
// name server and clients; the server, configured the provider's way, with an
// open service on it; and guests, each a namespace on a bridge port of its own.
//
// Config.Provider chooses between the two kinds of provider: one that routes the
// /64 to the server, and one whose router, with an address inside the /64, asks on
// the segment for each address of it. The second has another customer's host on
// the same segment.
//
// # The two halves
//
// Enter is called by the program that the user started. It runs the same
// program again as first process of new namespaces and waits for it. That
// inner program finds out by Inside, calls Init, builds a Lab with New and does
// its work. Nothing of it can outlive the outer program, not even when that is
// killed with SIGKILL, unless Keep was asked for.
//
// New needs CAP_NET_ADMIN and CAP_SYS_ADMIN over the namespaces it runs in,
// which Enter gives to everybody whom the kernel lets make user namespaces;
// tests may call it without Enter where they have these. Only the ledger of
// addresses in addresses.go is fixed: everything the product may choose (br0, the
// prefix for NAT64, guests' addresses) is not known here.
//
// The package judges the product and therefore imports nothing of it.
//
// # Errors
//
// Where namespaces are forbidden or a device is missing, Enter and Init return
// a *Refusal: one sentence that tells what to do. A program that a recipe needs
// and that is not installed is a *MissingProgramError. Outside Linux Enter and
// Init return errors matching errors.ErrUnsupported, and New does not exist.
package lab
