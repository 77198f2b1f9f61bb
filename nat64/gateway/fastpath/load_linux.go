package fastpath

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
)

// load brings the programs and their maps into the kernel. Maps of an earlier
// load that fit are used on.
func load(s Settings, device, guestLink int, way string, earlier map[string]*ebpf.Map) (*programsObjects, error) {
	spec, err := loadPrograms()
	if err != nil {
		return nil, fmt.Errorf("read the programs: %w", err)
	}
	if way == wayClsact {
		for _, p := range spec.Programs {
			p.AttachType = ebpf.AttachNone // kernels before TCX know no other
		}
	}
	hi, lo, bits := prefixWords(s.Prefix)
	for name, value := range map[string]any{
		programsVarPrefixHi: hi, programsVarPrefixLo: lo, programsVarPrefixBits: bits,
		programsVarDevice: uint32(device), programsVarGuestLink: uint32(guestLink),
		programsVarMtu6: uint32(s.MTU6), programsVarCoarse: coarse(s.Denied),
	} {
		v := spec.Variables[name]
		if v == nil {
			return nil, fmt.Errorf("set %s of the programs: they have no such variable", name)
		}
		if err := v.Set(value); err != nil {
			return nil, fmt.Errorf("set %s of the programs: %w", name, err)
		}
	}
	// The list is known and stays; the trie takes memory for what is in it.
	spec.Maps[programsMapDenied].MaxEntries = uint32(max(1, len(s.Denied)))
	var objects programsObjects
	// A map of another shape than these programs know is not theirs to use.
	for name, m := range earlier {
		if spec.Maps[name] == nil || spec.Maps[name].Compatible(m) != nil {
			delete(earlier, name)
		}
	}
	if err := spec.LoadAndAssign(&objects, &ebpf.CollectionOptions{MapReplacements: earlier}); err != nil {
		return nil, fmt.Errorf("load the programs: %w", err)
	}
	for _, p := range s.Denied {
		var key [8]byte
		binary.NativeEndian.PutUint32(key[:], uint32(p.Bits()))
		a := p.Addr().As4()
		copy(key[4:], a[:])
		if err := objects.Denied.Put(key, uint8(1)); err != nil {
			objects.Close()
			return nil, fmt.Errorf("tell the programs that %s is denied: %w", p, err)
		}
	}
	return &objects, nil
}
