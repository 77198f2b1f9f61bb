package rollback

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Watchdog and clients talk in lines of JSON: the applying process over a
// socket pair, other logins over the socket in the state directory.

// op is what a client asks for.
type op string

const (
	opApplied op = "applied"
	opStopped op = "stopped" // no answer
	opConfirm op = "confirm"
	opUndo    op = "undo" // answered when it is done
	opStatus  op = "status"
)

// request is a line from a client.
type request struct {
	// ID comes back in the reply.
	ID int `json:"id"`
	Op op  `json:"op"`
}

// reply is a line from the watchdog: the answer to a request or, with ID 0, news
// for the applying process.
type reply struct {
	ID   int  `json:"id,omitempty"`
	News news `json:"news,omitempty"`
	// Code names the sentinel that the error matches, Err is its text.
	Code code   `json:"code,omitempty"`
	Err  string `json:"error,omitempty"`
	// Outcome of a change that has ended.
	Outcome Outcome `json:"outcome,omitempty"`
	// Status answers opStatus.
	Status *ChangeStatus `json:"status,omitempty"`
}

// news is what the applying process is told unasked.
type news string

const (
	newsReady     news = "ready"
	newsRestoring news = "restoring"
	newsEnd       news = "end"
)

// code names an error on the wire.
type code string

const (
	codeNone       code = ""
	codeOther      code = "other"
	codeNotApplied code = "not applied"
	codeRestoring  code = "restoring"
	codeFailed     code = "failed"
)

func codeOf(err error) code {
	switch {
	case err == nil:
		return codeNone
	case errors.Is(err, ErrNotApplied):
		return codeNotApplied
	case errors.Is(err, ErrRestoring):
		return codeRestoring
	case errors.Is(err, ErrRestoreFailed):
		return codeFailed
	}
	return codeOther
}

// err turns a reply's error into one that matches the sentinel.
func (r reply) err() error {
	switch r.Code {
	case codeNone:
		return nil
	case codeNotApplied:
		return ErrNotApplied
	case codeRestoring:
		return ErrRestoring
	case codeFailed:
		return fmt.Errorf("%w: %s", ErrRestoreFailed, r.Err)
	}
	return errors.New(r.Err)
}

// send writes one line. The other side must not be able to hold us up.
func send(c net.Conn, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("marshal message: %w", err)
	}
	if err := c.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	if _, err := c.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("send message: %w", err)
	}
	return nil
}

// receive reads one line. io.EOF means that the other side has hung up.
func receive(r *bufio.Scanner, v any) error {
	if !r.Scan() {
		if err := r.Err(); err != nil {
			return fmt.Errorf("receive message: %w", err)
		}
		return io.EOF
	}
	if err := json.Unmarshal(r.Bytes(), v); err != nil {
		return fmt.Errorf("unmarshal message: %w", err)
	}
	return nil
}

// ask sends one request and waits for its answer. io.EOF means that the
// watchdog hung up instead.
func ask(ctx context.Context, c net.Conn, o op) (reply, error) {
	// A read is cancelled by a deadline in the past.
	defer context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	if err := send(c, request{ID: 1, Op: o}); err != nil {
		return reply{}, io.EOF
	}
	var r reply
	if err := receive(bufio.NewScanner(c), &r); err != nil {
		if ctx.Err() != nil {
			return reply{}, ctx.Err()
		}
		return reply{}, io.EOF
	}
	return r, nil
}
