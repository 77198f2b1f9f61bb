package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/sixhost/sixhost/bridge/handover"
	"github.com/sixhost/sixhost/persist"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/plan/rollback"
)

// persist shows, writes or takes back the files of the next boot, and leaves
// alone what runs now.
func (a app) persist(ctx context.Context, args []string) error {
	var write, diff, undo bool
	c, _, err := a.hostCommand("persist", args, func(fs *flag.FlagSet) {
		fs.BoolVar(&write, "write", false, "write them; the network must be applied and confirmed")
		fs.BoolVar(&diff, "diff", false, "show what would change as a unified diff, which holds the files' secrets")
		fs.BoolVar(&undo, "undo", false, "take the files back to what they were before the first was written; with -diff only show it")
	})
	if err != nil {
		return err
	}
	if write && (diff || undo) {
		return usageError{"persist: -write goes with neither -diff nor -undo"}
	}
	if undo {
		return a.persistUndo(ctx, c, diff)
	}
	if write {
		return a.persistWrite(ctx, c)
	}
	h, err := newHost(ctx, c)
	if err != nil {
		return err
	}
	there, want, err := h.files(ctx)
	if err != nil {
		return err
	}
	return a.showFiles(there, want, diff)
}

// showFiles prints the way from one state of the files to another, as steps or
// as a difference.
func (a app) showFiles(there, want persist.State, diff bool) error {
	if diff {
		_, err := a.stdout.Write(persist.Diff(there, want))
		return err
	}
	p, err := persist.Plan(there, want)
	if err != nil {
		return err
	}
	return p.WriteText(a.stdout)
}

// files are those of the next boot, as they are and as they are wanted.
func (h host) files(ctx context.Context) (there, want persist.State, err error) {
	cfg, err := h.persistConfig()
	if err != nil {
		return there, want, err
	}
	if there, err = persist.Capture(ctx, cfg.Scope()); err != nil {
		return there, want, err
	}
	if want, err = cfg.State(there); err != nil {
		return there, want, fmt.Errorf("%s: %w", persist.Part, err)
	}
	return there, want, nil
}

// persistWrite writes the files of a network that runs and is confirmed, and
// tells the network manager, if one is in charge by them, to read them again.
func (a app) persistWrite(ctx context.Context, c config) error {
	if err := noneOpen("persist", c); err != nil {
		return err
	}
	ch, err := prepare(ctx, c)
	if err != nil {
		return err
	}
	if err := ch.applied("persist"); err != nil {
		return err
	}
	var files plan.Plan
	for _, s := range ch.plan.Phase(plan.Confirm).Steps {
		if s.Part != persist.Part && s.Part != handover.Part {
			return &plan.Refusal{Subject: "persist", Reason: fmt.Sprintf("the network is not confirmed (the next step would be: %s); run fullhost confirm, which writes the files too", s.Text)}
		}
		files.Steps = append(files.Steps, s)
	}
	return a.runFiles(ctx, files)
}

// persistUndo takes the files back. It asks for no network that is fit: that
// may be why somebody wants the old files back.
func (a app) persistUndo(ctx context.Context, c config, diff bool) error {
	if err := noneOpen("persist", c); err != nil {
		return err
	}
	there, err := persist.Capture(ctx, persist.Config{Root: c.Persist.Root}.Scope())
	if err != nil {
		return err
	}
	original, err := persist.Original(there)
	if err != nil {
		return fmt.Errorf("%s: %w", persist.Part, err)
	}
	if diff {
		return a.showFiles(there, original, true)
	}
	p, err := persist.Plan(there, original)
	if err != nil {
		return err
	}
	if p.Empty() {
		fmt.Fprintln(a.stdout, "Nothing to do: no file of the next boot is from here.")
		return nil
	}
	if err := a.runFiles(ctx, p); err != nil {
		return err
	}
	// networkd can't be told to keep off here: it would take what it has
	// configured on the bridge away.
	fmt.Fprintln(a.stdout, "The next boot has the network from before the first apply. What runs now is unchanged; reboot before a network manager is restarted, because it would read the old files.")
	return nil
}

// runFiles takes the steps of files, which all are of the confirm phase.
func (a app) runFiles(ctx context.Context, p plan.Plan) error {
	if p.Empty() {
		return p.WriteText(a.stdout)
	}
	return p.Run(ctx, plan.Confirm, func(n, of int, s plan.Step) {
		fmt.Fprintf(a.stdout, "[%d/%d] %s\n", n, of, s.Text)
	})
}

// noneOpen refuses while a change waits to be confirmed: it may still be taken
// back, and the files with it.
func noneOpen(subject string, c config) error {
	switch s, err := rollback.Status(c.StateDir); {
	case errors.Is(err, rollback.ErrNoChange):
		return nil
	case err != nil:
		return fmt.Errorf("%s: %w", subject, err)
	default:
		return &plan.Refusal{Subject: subject, Reason: fmt.Sprintf("a change is open (%s); run fullhost confirm or fullhost undo first", s.Phase)}
	}
}
