// Package seed writes the ISO 9660 image by which cloud-init's NoCloud data
// source configures a guest: the files of guest.Guest.SeedFiles in a volume
// named cidata.
//
// The same files give the same image, octet by octet. It needs no privileges,
// and a folder for temporary files. Errors are those of writing.
package seed

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/kdomanski/iso9660"

	"github.com/sixhost/sixhost/guest"
)

// volume is the label that cloud-init looks for.
const volume = "cidata"

// Write writes the image of the files.
func Write(w io.Writer, files []guest.SeedFile) (err error) {
	iw, err := iso9660.NewWriter()
	if err != nil {
		return fmt.Errorf("write seed image: %w", err)
	}
	defer func() {
		if e := iw.Cleanup(); e != nil && err == nil {
			err = fmt.Errorf("write seed image: %w", e)
		}
	}()
	for _, f := range files {
		if err := iw.AddFile(strings.NewReader(f.Content), f.Name); err != nil {
			return fmt.Errorf("write %s of seed image: %w", f.Name, err)
		}
	}
	var b bytes.Buffer
	if err := iw.WriteTo(&b, volume); err != nil {
		return fmt.Errorf("write seed image: %w", err)
	}
	image := b.Bytes()
	forgetTime(image)
	if _, err := w.Write(image); err != nil {
		return fmt.Errorf("write seed image: %w", err)
	}
	return nil
}

// forgetTime replaces the times at which the volume was made, changed and
// becomes valid by "not specified": 16 digits zero and an offset of zero
// (ECMA-119, 8.4.26 to 8.4.30). The primary volume descriptor is in the 17th
// sector.
func forgetTime(image []byte) {
	const descriptor, first, each, times = 16 * 2048, 813, 17, 4
	at := image[descriptor+first:][:each*times]
	for i := range at {
		at[i] = '0'
		if i%each == each-1 {
			at[i] = 0
		}
	}
}
