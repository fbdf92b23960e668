# SPDX-License-Identifier: Apache-2.0
# Completion of rheoctl for bash.

__rheoctl_names() { rheoctl --no-legend --no-pager "$1" 2>/dev/null | awk '{print $1}'; }

_rheoctl() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} word command='' choices=''
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case $word in
		-*) ;;
		*)
			command=$word
			break
			;;
		esac
	done
	case $previous in
	--sort | -s) choices='bytes packets start end rate packet-rate' ;;
	--by) choices='unit process user container class peer port interface' ;;
	--limit | -n) ;;
	unit | user | uid | process | pid | container | class) ;;
	interface) choices=$(__rheoctl_names interfaces) ;;
	attach) choices=$(ls /sys/class/net) ;;
	detach) choices=$(__rheoctl_names interfaces) ;;
	flush | enable | disable) choices=$(__rheoctl_names exporters) ;;
	*)
		case $command in
		'') choices='status interfaces exporters flows stats losses orphans log-level drain reload monitor' ;;
		interfaces) choices='list attach detach' ;;
		orphans) choices='list clean' ;;
		exporters) choices='list enable disable flush' ;;
		flows) choices='list top show tcp udp icmp icmpv6 sctp proto ip ip6 vlan interface src dst host net port class unit user uid process pid container and or not' ;;
		stats) choices=$(__rheoctl_names stats) ;;
		log-level) choices='error warning notice info debug' ;;
		esac
		;;
	esac
	[[ $current != -* ]] || choices='--json --limit --sort --by --persist --no-legend --no-pager --help --version'
	mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$current")
}
complete -F _rheoctl rheoctl
