package main

import (
	"context"
	"fmt"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/plan"
)

// refuseManager refuses an uplink that a network manager is in charge of from
// which package handover can't take over: it would put its own configuration back
// on the link after the next carrier flap or upgrade, when nobody watches any
// more.
func refuseManager(ctx context.Context, uplink string) error {
	manager, err := bridge.Manager(ctx, uplink)
	if err != nil || manager == "" || manager == bridge.Networkd {
		return err
	}
	way := fmt.Sprintf("tell it to leave %s alone first", uplink)
	switch manager {
	case "NetworkManager":
		way = fmt.Sprintf("have netplan or systemd-networkd configure %s, and name it in unmanaged-devices of NetworkManager.conf(5), first", uplink)
	case "dhclient", "dhcpcd", "udhcpc":
		way = "end it so that it leaves the address there, and set static, first"
	}
	return &plan.Refusal{Subject: "uplink " + uplink, Reason: fmt.Sprintf("%s is in charge of it and would undo the move; taking over from it is not possible, so %s", manager, way)}
}
