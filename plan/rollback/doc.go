// Package rollback makes a change of the host's network that takes itself back
// unless somebody confirms it, as routers do ("commit confirmed").
//
// Before the first step the states of everything that will be touched are
// handed to [Guard.Begin], which writes them to disk and starts a watchdog: the
// same binary once more, in a session of its own, without a terminal, outside
// the caller's cgroup where it may leave it. Then the steps run, [Change.Applied]
// starts the countdown, and somebody, best from a new login, which proves that
// the host is still reachable, calls [Confirm].
//
// # When the change is taken back
//
//   - The process that began it ends before Applied, in whatever way: at once.
//   - The apply phase takes longer than Options.ApplyTimeout (a step hangs).
//   - The countdown, Options.Timeout from Applied on, ends without a confirm. After
//     Applied the end of the process that began the change, of its terminal, session
//     or cgroup changes nothing: the countdown goes on, and a new login can confirm.
//   - [Change.Undo] or [Undo] asks for it.
//   - The watchdog gets SIGTERM: a system that stops shall not keep half a change.
//     SIGHUP, SIGINT and SIGQUIT do nothing to it.
//   - All processes died, the watchdog too: [Guard.Recover], which programs call
//     when they start.
//
// The context of [Change.Context] ends when restoring starts, so that no further
// step runs. Where one is running at that moment the watchdog waits a second for
// it, restores, and restores once more when the step or its process has ended.
//
// Restoring is [plan.Restore]. If it fails it is tried again, Options.Attempts
// times with Options.Pause between; after the last the capture stays on disk,
// [Status] tells Failed and the error, and Guard.Recover may try again.
//
// # Health checks
//
// The subpackage health asks before and after the steps whether gateways, name
// servers and the operator's session answer, for a program that wants to take a
// change back sooner than by its countdown. It knows nothing of changes, and this
// package nothing of it.
//
// # Embedding
//
// The program's main begins with [Main], which returns at once unless this
// process is the watchdog. Without that call Begin returns [ErrNoMain].
//
// The restorers work in the network namespace that the watchdog inherits from
// the thread that calls Begin. A program whose threads are in different
// namespaces locks its goroutine to the thread (runtime.LockOSThread) around
// Begin, Recover, Confirm, Undo and Status.
//
// # Files
//
// Below Options.StateDir every network namespace has a folder named by its inode
// number. In it are change.json (the capture, while a change is open), control (a
// socket on which other logins ask the watchdog) and watchdog.log (of the last
// change). The watchdog holds a lock on the folder, so that one change is open
// in a namespace at a time. A capture of an earlier boot, or of a namespace
// that is gone and whose number was used again, is recognised and dropped.
// Folder and files are accessible to their owner only.
//
// # Privileges
//
// Those that the steps need, usually CAP_NET_ADMIN; the state directory must be
// writable and /proc mounted. Whether the watchdog could leave its cgroup is told
// by Status; on cgroup version 1 alone it stays. The package works on Linux; on
// other systems its functions return an error that matches errors.ErrUnsupported.
//
// # Errors
//
// [ErrNoMain], [ErrNoChange], [ErrNotApplied], [ErrRestoring], [ErrUnfinished],
// [ErrRestoreFailed] and [ErrWatchdogLost] are matched with errors.Is,
// [*BusyError] with errors.As.
package rollback
