package main

import "flag"

// hostCommand begins a command about this host: it parses the flags, -f and what
// define adds, reads the file, and refuses whoever may not look at the network or
// change it. The kernel shows nftables' rules to root alone.
func (a app) hostCommand(name string, args []string, define func(*flag.FlagSet)) (c config, path string, err error) {
	if err := a.flags(name, args, func(fs *flag.FlagSet) {
		configFlag(fs, &path)
		if define != nil {
			define(fs)
		}
	}); err != nil {
		return c, path, err
	}
	if c, err = loadConfig(path); err != nil {
		return c, path, err
	}
	return c, path, checkPrivilege()
}
