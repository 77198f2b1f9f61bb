package persist

import (
	"fmt"
	"path"
	"strings"

	"github.com/sixhost/sixhost/plan"
)

// Original decides what the files were before any of them was touched, going
// by the copies that were kept and by what the files of ours say. Plan leads
// there as it leads to any other state, and whatever a crash leaves in between
// has the same original.
//
// A file that somebody changed since it was written is not given up: that is a
// *plan.Refusal that names it and matches ErrEdited.
func Original(there State) (State, error) {
	o := originals{State: there.clone(), copies: make(map[string][]File)}
	for _, f := range there.Files {
		if name, _, ok := strings.Cut(f.Path, savedSuffix); ok {
			o.copies[name] = append(o.copies[name], f)
		}
	}
	for _, f := range there.Files {
		if strings.Contains(f.Path, savedSuffix) || !f.own() && !f.edited() {
			continue
		}
		if err := o.takeBack(f); err != nil {
			return State{}, err
		}
	}
	// What is left are copies of files that are not ours, because the change
	// didn't get that far or taking it back did.
	for _, f := range there.Files {
		name, _, ok := strings.Cut(f.Path, savedSuffix)
		if _, still := o.File(f.Path); !ok || !still {
			continue
		}
		now, exists := o.File(name)
		if exists && !alike(now, f) {
			return State{}, edited(name, "is not what was put there, nor what it was; /%s is what it was, so take one of the two away by hand", f.Path)
		}
		o.restore(f, name)
	}
	for _, f := range there.Files {
		if !f.own() {
			continue
		}
		for _, base := range setAsideFor(f) {
			if err := o.bringBack(networkdDir + path.Base(base)); err != nil {
				return State{}, err
			}
		}
	}
	return o.State, nil
}

type originals struct {
	State
	copies map[string][]File
}

func edited(name, format string, args ...any) error {
	return &plan.Refusal{Subject: "/" + name, Reason: fmt.Sprintf(format, args...), Err: ErrEdited}
}

// takeBack removes a file of ours, or puts the copy of what was there in its
// place.
func (o *originals) takeBack(f File) error {
	// What has no place for the marker has none for a sum.
	if _, marked, _ := unsealed(f.Content); f.Target == "" && marked >= 0 && !sealed(f.Content) {
		return edited(f.Path, "was changed since it was written, and would be lost; take out by hand what belongs to the bridge, or bring back the copy that is beside it, if there is one")
	}
	copies := o.copies[f.Path]
	switch {
	case len(copies) > 1:
		return edited(f.Path, "has %d copies beside it, because it was changed by hand between two of ours; put the right one in its place by hand", len(copies))
	case len(copies) == 1:
		o.restore(copies[0], f.Path)
	case f.own():
		o.remove(f.Path)
	default:
		return edited(f.Path, "has lost the copy that was kept beside it; take out by hand what belongs to the bridge")
	}
	return nil
}

// restore puts a kept file in its place.
func (o *originals) restore(f File, name string) {
	o.remove(f.Path)
	f.Path = name
	o.put(f)
}

// bringBack renames a file back that was set aside, if that is not done yet.
func (o *originals) bringBack(name string) error {
	f, there := o.File(name)
	end := strings.LastIndex(name, "NO")
	if !there || end < 0 {
		return nil
	}
	if _, taken := o.File(name[:end]); taken {
		return edited(name[:end], "was put there since /%s was set aside; take one of the two away by hand", name)
	}
	o.restore(f, name[:end])
	return nil
}

// alike compares files without their permissions.
func alike(a, b File) bool {
	a.Mode = b.Mode
	return a.same(b)
}
