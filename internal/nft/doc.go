// Package nft holds nftables tables of our own as plain values: it writes a
// table in one transaction, reads it back as the same value, and prints it as
// text that `nft -f` accepts.
//
// It knows the few expressions the project's rules are made of, and only
// tables whose every rule is ours: [Replace] takes the whole table away and
// puts the new one in its place in one atomic step, so there is no moment
// without rules and no packet sees half of them. What it finds in the kernel
// and can't hold (a foreign expression, a map, a dormant table) is kept as an
// unknown value, so that a table somebody changed never equals the one wanted.
//
// Sets hold single values or tuples, so that what belongs together (a port, its
// MAC, its address) is one lookup however many there are. [Update] changes
// elements alone and leaves counters and dynamic sets as they are. Dynamic sets
// are filled by rules; what is in them is no part of a table's value.
//
// The model and the text are pure and build everywhere. [Read], [Replace],
// [Delete] and [Counters] talk to the kernel of Linux, in the calling thread's
// network namespace; all of them need CAP_NET_ADMIN there. Elsewhere they
// return an error matching errors.ErrUnsupported. What the kernel refuses is a
// [*KernelError] naming the rule.
package nft
