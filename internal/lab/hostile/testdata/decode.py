# Reads frames, one hexadecimal line each, and writes for each one line of JSON:
# the layers scapy sees, and whether the ICMPv6 checksum is right (null where
# there is none to see).
import json, logging, sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.l2 import Ether
from scapy.layers.inet6 import IPv6, in6_chksum
from scapy.layers import dhcp, dhcp6, inet, inet6, l2  # bind the layers
from scapy.contrib import cdp, lldp

for line in sys.stdin:
    frame = Ether(bytes.fromhex(line.strip()))
    layers = [layer.__name__ for layer in frame.layers()]
    good = None
    if frame.haslayer(IPv6):
        ip = frame[IPv6]
        body = bytes(ip)[40 : 40 + ip.plen]
        if ip.nh == 58 and len(body) == ip.plen and len(body) >= 4:
            good = in6_chksum(58, ip, body) in (0, 0xFFFF)
    print(json.dumps({"layers": layers, "checksum": good}))
