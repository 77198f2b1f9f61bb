package lab

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Reasons a Refusal can have.
var (
	// ErrForbidden is matched where the kernel, or what it was told, does not
	// let this user make namespaces.
	ErrForbidden = errors.New("namespaces are forbidden here")
	// ErrNoTun is matched where /dev/net/tun can't be opened.
	ErrNoTun = errors.New("no usable /dev/net/tun")
)

// Refusal says in one sentence why the lab can't be started and what to do
// about it. It matches ErrForbidden or ErrNoTun, and the kernel's error.
type Refusal struct {
	// Sentence is the whole message.
	Sentence string
	// Err is ErrForbidden or ErrNoTun.
	Err error
	// Cause is what the kernel answered.
	Cause error
}

// Error returns the sentence.
func (r *Refusal) Error() string { return r.Sentence }

// Unwrap returns the reason and the kernel's error.
func (r *Refusal) Unwrap() []error { return []error{r.Err, r.Cause} }

// EnterOptions say how Enter starts the inner program. The zero value runs the
// same command line again, silently.
type EnterOptions struct {
	// Keep lets the inner program ask, by Inner.Keep, to go on after Enter
	// has returned. Without it, Inner.Keep is refused.
	Keep bool
	// Args is the inner program's command line without its name; nil means
	// this program's own.
	Args []string
	// Env is added to this program's environment.
	Env []string
	// Stdout and Stderr of the inner program; nil discards. With Keep they
	// should be files, as nobody copies once Enter has returned.
	Stdout, Stderr io.Writer
	// Tun makes Enter refuse where /dev/net/tun can't be opened, before
	// anything is started.
	Tun bool
	// Grace is how long the inner program has to end after it was told to;
	// then it is killed. Default 5 s.
	Grace time.Duration
	// OnKeep is called before Enter returns and leaves the lab standing.
	OnKeep func(KeepInfo)
}

// KeepInfo tells how to reach a lab that was left standing.
type KeepInfo struct {
	// PID is the lab's first process as seen from outside. SIGTERM ends the
	// lab cleanly, SIGKILL at once; neither leaves anything.
	PID int
	// User tells that the lab has a user namespace of its own.
	User bool
}

// EnterLine is the command line that opens a shell in a node ("server",
// "provider", "guest1", ...) of the lab; an empty name means the namespace that
// the lab's own processes run in. It needs the same user, or root.
func (k KeepInfo) EnterLine(node string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "nsenter -t %d", k.PID)
	if k.User {
		b.WriteString(" -U --preserve-credentials")
	}
	b.WriteString(" -m -p -i -u ")
	if node == "" {
		b.WriteString("-n")
	} else {
		fmt.Fprintf(&b, "--net=/proc/%d/root%s/%s", k.PID, NamesDir, node)
	}
	return b.String()
}

// EndLine is the command line that ends the lab.
func (k KeepInfo) EndLine() string { return fmt.Sprintf("kill %d", k.PID) }

// NamesDir is the folder of the lab's own /run that holds a node's network
// namespace under the node's name: where `ip netns` looks too.
const NamesDir = "/run/netns"
