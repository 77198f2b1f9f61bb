// Command bench measures the whole program, examples/fullhost, in the practice
// provider of internal/lab, and prints one table.
//
//	go run ./internal/bench [flags] [lab|plan|apply|memory|guests|move|ra|ra-ports|edge|attack ...]
//
// Without a name all are measured. It builds fullhost into a temporary folder
// first, unless -fullhost names one that is built.
//
//	lab     fullhost lab with three guests, from start to table, and how much
//	        of that is the kernel's own duplicate address detection
//	plan    fullhost plan, on an untouched server and on a finished host
//	apply   fullhost apply until its apply phase is complete, and what becomes
//	        of open TCP sessions and of pings at 1 kHz meanwhile
//	memory  resident memory of fullhost run: idle, with guests, after a load
//	guests  many guests at once: time to their addresses, what serving them costs in
//	        CPU time and memory (-sizes 1,10,100,500 for the whole series)
//	move    ways to move the NIC's addresses onto a bridge, beside each other:
//	        fullhost, the same order by ip -batch, the manuals' order, and
//	        systemd-networkd by netplan's files
//	ra      senders of router advertisements beside each other: package ra with and
//	        without RFC 4861's delay, radvd, and CoreRAD where -corerad names one;
//	        and the memory of a Go process that does nothing
//	ra-ports the same on a bridge with 1,023 ports, all guests of which solicit
//	        at once
//	edge    what the edge's rules cost a guest's traffic to the Internet: none,
//	        chains without rules, fullhost's and the article's ebtables rule in
//	        turns, at each of -sizes guests
//	attack  what a guest's TCP and look-ups have of a neighbour that sends all
//	        attacks of internal/lab/hostile, beside one that sends as many frames
//	        that it may send
//
// A figure is the median of several runs (-runs), with the least and the
// greatest. Where a figure has a peer (the same window without a move, another
// program at the same task, the smallest size of a series) the table shows the
// peer's median and the ratio to it. JSON (-json) has every run's value.
//
// # Privileges
//
// Root, or a user who may make user namespaces and open /dev/net/tun. All
// traffic stays inside network namespaces that end with the program. One thing
// is the machine's own: the neighbour table's limits, which all namespaces share.
// Where the number of guests asks for more than they allow, root raises them
// and puts them back at the end; others leave those sizes out and say so.
//
// # Exit status
//
// 0 when all was measured, whether goals were met or not: a busy machine is no
// failure. 1 when something could not be measured, 2 for a wrong command line
// or a machine that is not fit for it, 128 and the signal's number after a
// signal. On other systems than Linux it says that it can't.
package main
