#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs in the guest: each case named in /payload/cases in turn, its files in /out/CASE. What they say is judged
# on the host.
ip() { /sbin/ip "$@"; } # the shell prefers its own
tc() { /sbin/tc "$@"; }

. /payload/cases # cases="conservation …" packets=N flows=N connections=N kinds="prefork …" few=N few_kinds="mapped …" many=N …

# Interfaces must not speak of their own accord.
quiet_up() { # INTERFACE [ip options]
	interface=$1
	shift
	ip "$@" link set dev "$interface" addrgenmode none
	ip "$@" link set dev "$interface" up
}

pair() { # a veth pair, both ends here
	ip link add name east type veth peer name west
	for end in east west; do
		echo 1 >/proc/sys/net/ipv6/conf/$end/disable_ipv6
		quiet_up $end
	done
}

start() { # CASE: the next rheod of the case; returns when it meters
	folder=/out/$1
	starts=$((starts + 1))
	/sbin/rheod --config "/payload/$1.toml" >"$folder/stderr.$starts" 2>&1 &
	rheod=$!
	tries=0
	until grep -qs '^rheod: metering ' "$folder/stderr.$starts"; do
		kill -0 $rheod 2>/dev/null || { wait $rheod; echo "$1: rheod exited with $?"; return 1; }
		tries=$((tries + 1))
		[ $tries -lt 600 ] || { echo "$1: rheod is not metering after 60 s"; return 1; }
		usleep 100000
	done
}

stop() { # as systemd does
	kill -TERM $rheod
	wait $rheod
	echo $? >"$folder/exit"
}

killed() {
	kill -KILL $rheod
	wait $rheod
}

send() { # REPORT INTERFACE OPTION…
	report=$1 interface=$2
	shift 2
	packet_source --interface "$interface" --protocols udp,tcp --families 4,6 "$@" >"$folder/$report"
}

# Both directions at full rate.
conservation() {
	pair
	start conservation || return
	send sent.1 east --packets "$packets" --flows "$flows"
	send sent.2.inward west --packets "$packets" --flows "$flows" --swap-ends --size 200
	stop
	ip link delete dev east
}

# kill -9 twice under traffic that never pauses; what is pinned goes on counting.
restart() {
	pair
	start restart || return
	packet_source --interface east --protocols udp,tcp --families 4,6 --rate 4000 --flows "$flows" \
		--both-directions >"$folder/sent.1" &
	source=$!
	for round in 1 2; do
		sleep 1
		killed
		usleep 500000
		start restart || { kill -TERM $source; return; }
	done
	sleep 1
	kill -TERM $source
	wait $source
	stop
	ip link delete dev east
}

shown() { # FILE: what is attached and pinned
	{
		tc qdisc show dev east
		for way in ingress egress; do
			tc filter show dev east $way
		done
		find "/sys/fs/bpf/$case" -mindepth 1
	} >"$folder/$1" 2>&1
}

# Killed while it meters and, in a build with fault points, while the next one takes over; that the one after it
# has put right. Killed again, and detached by hand; what was counted until then is the last one's to report.
left_behind() {
	pair
	start left_behind || return
	send sent.1 east --packets 2000 --flows 100
	killed
	for point in link-updated filter-attached; do
		RHEO_FAULT=$point:1 /sbin/rheod --config /payload/left_behind.toml >"$folder/crash.$point" 2>&1 &
		rheod=$!
		tries=0
		until grep -qs '^rheod: metering ' "$folder/crash.$point" || ! kill -0 $rheod 2>/dev/null || [ $tries -ge 600 ]; do
			tries=$((tries + 1))
			usleep 100000
		done
		killed
		echo $? >"$folder/crash_exit.$point"
	done
	start left_behind || return
	shown attached
	send sent.2 east --packets 2000 --flows 100
	killed
	send sent.3 east --packets 2000 --flows 100
	/sbin/rheod --detach --config /payload/left_behind.toml >"$folder/detach" 2>&1
	echo $? >"$folder/detach_exit"
	shown detached
	start left_behind || return
	stop
	ip link delete dev east
}

# Links without a link-layer header, each with a tunnel to a namespace of its own, and 20 pings through it.
tunnel_address() { # NUMBER: both ends' addresses, and the far end up
	ip address add "10.9.$1.1/24" dev "link$1"
	ip -n far address add "10.9.$1.2/24" dev "link$1"
	ip -n far link set dev "link$1" up
	quiet_up "link$1"
}

# A pair of outer addresses for each: ipip and sit would take each other's packets.
tunnel() { # NUMBER KIND
	ip address add "192.0.2.1$1/24" dev east
	ip -n far address add "192.0.2.2$1/24" dev west
	ip link add "link$1" type "$2" local "192.0.2.1$1" remote "192.0.2.2$1" &&
		ip -n far link add "link$1" type "$2" local "192.0.2.2$1" remote "192.0.2.1$1" &&
		tunnel_address "$1"
}

# GRE to many: the outer header is the device's link-layer header, its neighbours are outer addresses.
multipoint() { # NUMBER
	ip address add "192.0.2.1$1/24" dev east
	ip -n far address add "192.0.2.2$1/24" dev west
	ip link add "link$1" type gre local "192.0.2.1$1" &&
		ip -n far link add "link$1" type gre local "192.0.2.2$1" &&
		tunnel_address "$1"
	ip neighbour add "10.9.$1.2" lladdr "192.0.2.2$1" dev "link$1"
	ip -n far neighbour add "10.9.$1.1" lladdr "192.0.2.1$1" dev "link$1"
}

wireguard() { # NUMBER
	[ -x /sbin/wg ] || return
	ip link add "link$1" type wireguard && ip -n far link add "link$1" type wireguard || return
	umask 077
	wg genkey >/run/near.key
	wg genkey >/run/far.key
	wg set "link$1" listen-port 51820 private-key /run/near.key peer "$(wg pubkey </run/far.key)" \
		allowed-ips 10.9.0.0/16 endpoint 192.0.2.2:51820
	ip netns exec far /sbin/wg set "link$1" listen-port 51820 private-key /run/far.key \
		peer "$(wg pubkey </run/near.key)" allowed-ips 10.9.0.0/16
	tunnel_address "$1"
}

# east, here, and west in the namespace far, with addresses: what the tunnels go over.
underlay() {
	[ ! -e /run/netns/far ] || return
	ip netns add far
	ip link add name east type veth peer name west netns far
	ip -n far link set dev west up
	ip link set dev east up
	ip address add 192.0.2.1/24 dev east
	ip -n far address add 192.0.2.2/24 dev west
	for interface in all default east; do
		echo 1 >/proc/sys/net/ipv6/conf/$interface/disable_ipv6
	done
}

ping_through() { # CASE NUMBER…: 20 pings through each link while rheod meters them
	case=$1
	shift
	for number in "$@"; do # before anyone counts: neighbours, the handshake
		ping -q -c 1 -W 2 "10.9.$number.2"
	done
	start "$case" || return
	for number in "$@"; do
		ping -q -A -c 20 -s 100 -W 2 "10.9.$number.2" >"$folder/ping.$number"
	done
	stop
}

links() {
	underlay
	tunnel 1 ipip
	tunnel 2 gre
	tunnel 3 sit
	wireguard 4
	ping_through links 1 2 3 4
}

gre_to_many() {
	underlay
	multipoint 5
	ping_through gre_to_many 5
}

# What passes a WireGuard tunnel is seen on it, and encrypted, as another flow, on the link below.
under_wireguard() {
	underlay
	[ -e /sys/class/net/link4 ] || wireguard 4
	ping_through under_wireguard 4
}

# A VLAN on a bond of one port: each packet passes all three, in both directions.
stack() { # CASE
	for which in all default; do
		echo 1 >/proc/sys/net/ipv6/conf/$which/disable_ipv6
	done
	ip link add north type veth peer name south
	ip link add bond7 type bond mode active-backup miimon 100
	ip link set dev north master bond7
	ip link add link bond7 name bond7.5 type vlan id 5
	ip link add link south name south.5 type vlan id 5
	for interface in south north bond7 bond7.5 south.5; do
		quiet_up $interface
	done
	tries=0
	until [ "$(cat /sys/class/net/bond7.5/operstate)" = up ] || [ $tries -gt 100 ]; do
		tries=$((tries + 1))
		usleep 50000
	done
	start "$1" || return
	send sent.1 bond7.5 --packets "$packets" --flows "$flows"
	send sent.2.inward south.5 --packets "$packets" --flows "$flows" --swap-ends --size 200
	stop
	ip link delete dev bond7.5
	ip link delete dev bond7
	ip link delete dev north
}

vlan_on_bond() { stack vlan_on_bond; }
vlan_on_bond_none() { stack vlan_on_bond_none; }

# IPFIX over SCTP, which the host's kernel may not have: the unit tests of the transport, then rheod.
sctp() {
	ip link set dev lo up
	unit_ipfix_transport_stream --gtest_filter='IpfixSctp.*' >"$folder/tests" 2>&1
	echo $? >"$folder/tests_exit"
	pair
	sctp_collector 4739 "$folder/flows.ipfix" &
	collector=$!
	start sctp || { kill $collector; return; }
	send sent.1 east --packets "$packets" --flows "$flows"
	stop
	wait $collector
	echo $? >"$folder/collector"
	ip link delete dev east
}

converse() { # KIND PORT NUMBER
	program=socket_pairs serves=$1 own=$groups servers=$groups/system.slice/servers.service
	# By its name and cgroup a service manager, which accepts for others.
	[ "$1" != systemd ] || program=systemd serves=prefork own=$groups/init.scope servers=$groups/init.scope
	(
		sh -c 'echo $PPID' >$own/cgroup.procs
		exec $program $serves "$2" "$3" $groups/user.slice/clients.scope $servers
	) >"/out/owners/pairs.$2" || echo "owners: $1: exit $?"
}

converse_each() { # NUMBER KIND…: one port after the other
	number=$1
	shift
	for kind in "$@"; do
		port=$((port + 1))
		converse "$kind" $port "$number"
	done
}

# Conversations on loopback between short-lived clients and servers of several kinds, each in a cgroup of its own.
owners() {
	ip link set dev lo up
	groups=/sys/fs/cgroup
	for group in user.slice/clients.scope system.slice/servers.service init.scope; do
		mkdir -p "$groups/$group"
	done
	ln /sbin/socket_pairs /sbin/systemd
	port=7001
	converse older $port 16 & # half of them are there before rheod is
	older=$!
	until [ "$(grep -cs accept /out/owners/pairs.$port)" = 8 ] || ! kill -0 $older 2>/dev/null; do
		usleep 100000
	done
	start owners || return
	: >/run/go
	wait $older
	converse_each $connections $kinds
	converse_each $few $few_kinds
	converse_each $many $many_kinds
	stop
}

bulk_socket() { # what ss says of the connection
	ss -H -t -i -n -O state established "( dport = :5000 )"
}

# A connection over a link of 20 ms that loses packets, and what ss says of it when all is acknowledged. The segment after
# that is a record's last one.
lossy_link() {
	underlay
	ip link set dev east gso_max_segs 1
	tc qdisc add dev east root netem delay 20ms loss 2% limit 10000
	start lossy_link || return
	mkfifo /run/bulk /run/silence
	exec 8<>/run/silence # else the server has nothing to say, and closes
	ip netns exec far nc -l -p 5000 <&8 >/dev/null &
	tries=0
	until [ -n "$(ip netns exec far ss -H -l -t -n "( sport = :5000 )")" ] || [ $tries -ge 300 ]; do
		tries=$((tries + 1))
		usleep 100000
	done
	nc 192.0.2.2 5000 </run/bulk &
	bulk=$!
	exec 7>/run/bulk
	head -c 1000000 /dev/zero >&7
	tries=0
	until bulk_socket | grep -q 'bytes_acked:1000001 ' || [ $tries -ge 300 ]; do
		tries=$((tries + 1))
		usleep 100000
	done
	bulk_socket >"$folder/said"
	echo >&7
	sleep 5 # a record ends every two seconds
	exec 7>&- 8>&-
	kill $bulk
	stop
	tc qdisc del dev east root
}

for case in $cases; do
	starts=0
	folder=/out/$case
	mkdir -p "$folder"
	echo "== $case"
	$case
	echo "== $case ended at $(cut -d ' ' -f 1 /proc/uptime) s"
done
