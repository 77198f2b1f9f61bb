package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/plan"
)

// labOptions are the flags of fullhost lab, read by both halves of it.
type labOptions struct {
	guests int
	keep   bool
	json   bool
	recipe string
	// provider is how the /64 comes to the server.
	provider lab.ProviderKind
	// attack lets a guest and the provider's side attack in place of the checks;
	// seed is that of the random frames.
	attack bool
	seed   uint64
	// attacks is a part of the names of those that run; empty: all.
	attacks string
	// only is the recipe that was asked for by name, "" where none was.
	only string
}

// The recipes of fullhost lab.
const (
	recipeFullhost = "fullhost"
	recipeArticle  = "article"
)

// maxLabGuests is what a Linux bridge has room for beside the uplink.
const maxLabGuests = 1022

func (a app) labOptions(args []string) (labOptions, error) {
	var o labOptions
	var kind string
	var set *flag.FlagSet
	if err := a.flags("lab", args, func(fs *flag.FlagSet) {
		fs.IntVar(&o.guests, "guests", 3, "how many guests, 1 to 1022")
		fs.BoolVar(&o.keep, "keep", false, "leave the lab standing and print how to look inside")
		fs.BoolVar(&o.json, "json", false, "print the table as JSON on standard output, the steps on standard error")
		fs.StringVar(&o.recipe, "recipe", recipeFullhost, "how the server is set up: fullhost, or article (Debian's ebtables and radvd in naive order, which fails)")
		fs.StringVar(&kind, "provider", lab.Routed.String(), "what the provider does with the /64: routed (to the server) or on-link (its router asks for each address)")
		fs.BoolVar(&o.attack, "attack", false, "let a hostile guest and the provider's side attack; without -recipe under both recipes, beside each other")
		fs.Uint64Var(&o.seed, "seed", 1, "what the attacks' random frames are made from")
		fs.StringVar(&o.attacks, "attacks", "", "with -attack: only those whose name holds `this`")
		set = fs
	}); err != nil {
		return labOptions{}, err
	}
	set.Visit(func(f *flag.Flag) {
		if f.Name == "recipe" {
			o.only = o.recipe
		}
	})
	var err error
	if o.provider, err = lab.ParseProviderKind(kind); err != nil {
		return labOptions{}, usageError{fmt.Sprintf("lab: -provider: %v", err)}
	}
	if o.guests < 1 || o.guests > maxLabGuests {
		return labOptions{}, usageError{fmt.Sprintf("lab: -guests: want 1 to %d, not %d", maxLabGuests, o.guests)}
	}
	if o.recipe != recipeFullhost && o.recipe != recipeArticle {
		return labOptions{}, usageError{fmt.Sprintf("lab: -recipe: want %s or %s, not %q", recipeFullhost, recipeArticle, o.recipe)}
	}
	if o.attack && o.guests < 3 {
		return labOptions{}, usageError{fmt.Sprintf("lab: -attack: wants three guests at least, not %d", o.guests)}
	}
	if o.attack && o.keep {
		return labOptions{}, usageError{"lab: -attack: its labs can't be kept"}
	}
	return o, nil
}

// lab is the outer half: it starts this program again inside new namespaces
// and waits. Signals go through to the inner half, so ctx is not needed.
func (a app) lab(_ context.Context, args []string) error {
	o, err := a.labOptions(args)
	if err != nil {
		return err
	}
	report := a.stdout
	if o.json {
		report = a.stderr
	}
	exit, err := lab.Enter(context.Background(), lab.EnterOptions{
		Keep:   o.keep,
		Stdout: a.stdout,
		Stderr: a.stderr,
		Tun:    o.recipe == recipeFullhost || o.attack && o.only == "",
		OnKeep: func(k lab.KeepInfo) {
			fmt.Fprintf(report, "\nThe lab stands. Look inside, as the same user or root, with\n\n")
			for _, node := range []string{lab.Server, lab.Provider, "guest1"} {
				fmt.Fprintf(report, "  %s\n", k.EnterLine(node))
			}
			fmt.Fprintf(report, "\nand end it with\n\n  %s\n", k.EndLine())
		},
	})
	if err != nil {
		return refuseLab(err)
	}
	if exit != 0 {
		return statusError(exit)
	}
	return nil
}

// refuseLab turns the lab's own refusals into the program's.
func refuseLab(err error) error {
	if sentence, ok := labRefusal(err); ok {
		return &plan.Refusal{Subject: "lab", Reason: sentence, Err: err}
	}
	return err
}
