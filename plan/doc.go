// Package plan is the shared vocabulary of every package that changes a host:
// states, steps, phases, refusals.
//
// A state is a plain value that marshals to JSON: what is wanted, what is
// there, or what was captured before a change. A package that changes the host
// offers
//
//	Capture(ctx, scope) (State, error)          what is there
//	(Config).State(there State) (State, error)  what is wanted, pure
//	Plan(from, to State) (plan.Plan, error)     the steps that lead there, pure
//
// and nothing else: a dry run prints the plan, applying runs it, a second plan
// that is empty is idempotence, one that is not is drift, and going back is the
// plan to the captured state.
//
// A [Plan] has two phases. After the [Apply] phase the host does its job and
// can still be taken back in full; the [Confirm] phase does what can't or
// should not be undone: it removes the address a session may still use and
// writes the files the next boot reads.
//
// Making a plan needs no privileges beyond reading; running one needs what its
// steps need, usually CAP_NET_ADMIN in the network namespace. The package
// itself is pure and builds on every system.
package plan
