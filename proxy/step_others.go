//go:build !unix

package proxy

// step reads once and passes it on.
func (d *direction) step() (int, error) {
	buf := d.buffers.take()
	defer d.buffers.give(buf)
	n, err := d.src.Read(buf[:])
	if n > 0 {
		if err := d.write(buf[:n]); err != nil {
			return n, err
		}
	}
	return n, err
}
