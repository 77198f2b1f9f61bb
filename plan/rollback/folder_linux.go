package rollback

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	recordName = "change.json"
	socketName = "control"
	logName    = "watchdog.log"
)

// thisHost identifies the calling thread's network namespace.
func thisHost() (hostID, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var id hostID
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return hostID{}, fmt.Errorf("identify this boot: %w", err)
	}
	id.Boot = strings.TrimSpace(string(boot))
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return hostID{}, fmt.Errorf("stat network namespace: %w", err)
	}
	id.Inode = st.Ino
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return hostID{}, fmt.Errorf("open socket to identify network namespace: %w", err)
	}
	defer unix.Close(fd)
	switch id.Cookie, err = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE); {
	case errors.Is(err, unix.ENOPROTOOPT):
		id.Cookie = 0 // before Linux 5.14
	case err != nil:
		return hostID{}, fmt.Errorf("get cookie of network namespace: %w", err)
	}
	return id, nil
}

// folder is the open folder of one network namespace below the state directory.
type folder struct {
	path string
	f    *os.File
}

func folderPath(stateDir string, id hostID) string {
	return filepath.Join(stateDir, strconv.FormatUint(id.Inode, 10))
}

// makeFolder opens the folder of a namespace and makes it if need be.
func makeFolder(stateDir string, id hostID) (*folder, error) {
	path := folderPath(stateDir, id)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	return openFolder(stateDir, id)
}

// openFolder opens the folder of a namespace. The error matches fs.ErrNotExist
// if there is none.
func openFolder(stateDir string, id hostID) (*folder, error) {
	path := folderPath(stateDir, id)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open state folder: %w", &fs.PathError{Op: "open", Path: path, Err: err})
	}
	// What is in it is run as root.
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("stat state folder %s: %w", path, err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		unix.Close(fd)
		return nil, fmt.Errorf("state folder %s: must belong to user %d alone, but belongs to %d with mode %04o", path, os.Geteuid(), st.Uid, st.Mode&0o7777)
	}
	return &folder{path: path, f: os.NewFile(uintptr(fd), path)}, nil
}

func (d *folder) close() { d.f.Close() }

func (d *folder) log() string { return filepath.Join(d.path, logName) }

// lock takes the folder's lock, or returns a [*BusyError]. The lock belongs to
// the open file: a child that inherits it keeps it.
func (d *folder) lock(ctx context.Context) error {
	for deadline := time.Now().Add(time.Second); ; {
		err := unix.Flock(int(d.f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("lock %s: %w", d.path, err)
		}
		// Its holder may not have written its record yet, or just be ending.
		r, err := d.read()
		if err == nil && r != nil && (alive(r.PID) || alive(r.Watchdog)) {
			return &BusyError{PID: r.PID, Watchdog: r.Watchdog}
		}
		if time.Now().After(deadline) {
			if r != nil {
				return &BusyError{PID: r.PID, Watchdog: r.Watchdog}
			}
			return &BusyError{}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// unlock lets go of the lock, for all who inherited it.
func (d *folder) unlock() error { return unix.Flock(int(d.f.Fd()), unix.LOCK_UN) }

// alive reports whether a process runs. One that is dead and not yet waited for
// doesn't: not every machine's first process is quick at that.
func alive(pid int) bool {
	if pid <= 0 {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The name, in parentheses, may itself contain any (proc(5)).
	state := b[bytes.LastIndexByte(b, ')')+1:]
	return !bytes.HasPrefix(state, []byte(" Z")) && !bytes.HasPrefix(state, []byte(" X"))
}

// read returns the record, or nil if no change is open.
func (d *folder) read() (*record, error) {
	b, err := os.ReadFile(filepath.Join(d.path, recordName))
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) == 0 {
		return nil, nil // empty: see remove
	}
	if err != nil {
		return nil, fmt.Errorf("read captured state: %w", err)
	}
	r := &record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("parse captured state %s: %w", filepath.Join(d.path, recordName), err)
	}
	return r, nil
}

// readOwn is read, but a record of an earlier boot or of a namespace that is no
// more is dropped. The caller holds the lock.
func (d *folder) readOwn(id hostID) (*record, error) {
	r, err := d.read()
	if r == nil || err != nil || r.Host == id {
		return r, err
	}
	return nil, d.remove()
}

// write replaces the record, so that after a crash or power cut either the old
// or the new one is there. The caller holds the lock.
func (d *folder) write(r *record) error {
	if err := d.replace(r); err != nil {
		return fmt.Errorf("write captured state: %w", err)
	}
	return nil
}

func (d *folder) replace(r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	// Only the lock's holder writes, so the name needn't be unique, and a crash
	// leaves no more than one such file.
	next := filepath.Join(d.path, recordName+".new")
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(next, filepath.Join(d.path, recordName))
	}
	if err != nil {
		os.Remove(next)
		return err
	}
	return d.f.Sync()
}

// remove drops the record. The caller holds the lock.
func (d *folder) remove() error {
	path := filepath.Join(d.path, recordName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		// A record that stays would take a confirmed change back; an empty one
		// counts as none.
		if terr := os.Truncate(path, 0); terr != nil {
			return fmt.Errorf("remove captured state: %w", err)
		}
	}
	if err := d.f.Sync(); err != nil {
		return fmt.Errorf("sync state folder: %w", err)
	}
	return nil
}

// socket is the path of the control socket by the folder's descriptor, as socket
// paths must be shorter than 108 octets.
func (d *folder) socket() string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.f.Fd(), socketName)
}

// listen opens the control socket. The caller holds the lock.
func (d *folder) listen() (*net.UnixListener, error) {
	if err := os.Remove(filepath.Join(d.path, socketName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove old control socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.socket(), Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open control socket: %w", err)
	}
	if err := os.Chmod(filepath.Join(d.path, socketName), 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("protect control socket: %w", err)
	}
	return l, nil
}

// dial connects to a live watchdog. The error matches fs.ErrNotExist or
// ECONNREFUSED if there is none.
func (d *folder) dial(ctx context.Context) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, "unix", d.socket())
}
