package vm

import (
	"context"
	"fmt"
)

// cloudSize is that of a cloud image's disk.
const cloudSize = "2G"

// NewCloudRoot installs a Debian as providers of cloud images do: with Debian's
// cloud kernel, cloud-init and an SSH server, and not a word about the machine it
// is going to be. It is found again below the folder.
func NewCloudRoot(ctx context.Context, cache string) (*Root, error) {
	return install(ctx, cache, append(packages(), "cloud-init", "openssh-server"))
}

// CloudImage makes a raw image of the root with files, and returns the kernel and
// the initial RAM disk that boot it.
func (r *Root) CloudImage(ctx context.Context, image string, files map[string]File) (kernel, initrd string, err error) {
	if err := r.disk(ctx, image, cloudSize, files); err != nil {
		return "", "", fmt.Errorf("make disk: %w", err)
	}
	return r.boot()
}
