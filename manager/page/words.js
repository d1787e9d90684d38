/* Plain words for error numbers, reasons and states, and what to do about them. */

const ERRNO = {
  1: "not permitted: a policy on the node", 4: "interrupted", 11: "no free local port", 13: "forbidden: a policy on the node",
  32: "broken pipe", 99: "address not available", 101: "network unreachable", 103: "aborted by the program",
  104: "reset by the far end", 105: "no buffer space", 110: "timed out: nobody answered",
  111: "refused: nobody listens on that port", 112: "host is down", 113: "no route to the host", 125: "cancelled",
};

export function errnoText(number) {
  return `${ERRNO[number] || "error"} (errno ${number})`;
}

/* reason -> [in words, what to do]; a reason that is not here is shown as it is. */
const REASONS = {
  // an address whose owner is not certain
  several_services: ["several Services have this address", "Give each Service an address of its own (externalIPs, load balancer)."],
  several_owners: ["several pods had this address in the window", "Nothing: a pod's address went to the next pod. A longer-lived pod resolves."],
  owner_not_certain: ["the address changed hands around the connect", "Nothing: it resolves in the next window unless pods restart all the time."],
  not_watched_then: ["the collector did not watch at that time", "Look at why the collector restarted: kubectl logs deploy/podsonar-collector."],
  no_owner_at_that_time: ["an address of the cluster that nobody had", "The program uses an address of a pod that is gone: look for cached addresses."],
  cluster_range_unknown: ["it is not known which addresses are the cluster's", "Let the collector list nodes and services (RBAC)."],
  namespaced: ["the collector may read some namespaces only", "Use the ClusterRole if far ends in other namespaces should have names."],
  pod_unknown: ["a pod that is in no inventory", "It lived between two lists; a shorter cron window finds it."],
  no_inventory: ["there was no inventory of that window", "Look at the collector: kubectl logs deploy/podsonar-collector."],
  not_asked: ["the collector could not be asked", "Check that agents reach the collector (NetworkPolicy, its Service)."],
  source_unknown: ["the source's address has no certain owner", "Usually a process on the node's network; see troubleshooting."],
  source_pod_unknown: ["the source's pod is in no inventory", "It lived between two lists; a shorter cron window finds it."],
  neither_address_nor_pod: ["neither an address nor a pod is known", "Report it with the capture."],
  no_service_or_pod_in_log: ["the replayed log names no owner", "Nothing: a log has less than a capture."],
  // nodes
  no_report: ["the node sent nothing for this window", "Check the agent's pod on that node, and that it reaches the manager."],
  batch_missing: ["a batch of the node has not come", "It may still wait at the node. If it stays so: podsonar_spool_dropped_batches_total there says why."],
  started_late: ["the agent started within the window", "Nothing: the next window is whole."],
  stopped: ["the agent stopped within the window", "Look at why its pod ended: kubectl describe pod."],
  capability_missing: ["the agent lacks a capability", "Allow PERFMON and BPF for the node agent."],
  seccomp_denied: ["the runtime's seccomp profile forbids bpf()", "Update the runtime, or nodeAgent.seccompProfile.type=Unconfined."],
  lsm_denied: ["AppArmor or SELinux forbids bpf()", "See the node's audit log for bpf."],
  headers_missing: ["no kernel headers to compile with", "Use the image of deploy/images; it brings headers."],
  btf_missing: ["the kernel has no BTF", "Use a kernel that is built with BTF."],
  kernel_too_old: ["the kernel is older than 5.12", "Update the node's kernel."],
  lockdown_confidentiality: ["the kernel is locked down", "Boot with lockdown=integrity, or go without that node."],
  user_namespace: ["the pod runs in a user namespace", "Leave hostUsers: false out for the node agent."],
  // lost
  flows_full: ["the kernel's table of flows was full", "Raise nodeAgent.flowCapacity or lower nodeAgent.drainSeconds."],
  unseen_by_program: ["the kernel's own counters have more than the program saw", "Report it: the program missed runs that nothing else counts."],
  accepted_unseen_by_program: ["the kernel's own counters have more accepted connections than the program saw", "Report it."],
  outcome_unseen_by_program: ["the kernel's own counters have more failed connects than the program saw", "Report it."],
  accepted_full: ["the kernel's table of accepted connections was full", "Raise nodeAgent.flowCapacity."],
  pending_full: ["the kernel's table of pending connects was full", "Raise nodeAgent.flowCapacity."],
  outcome_full: ["the kernel's table of outcomes was full", "Raise nodeAgent.flowCapacity."],
  unreadable: ["a socket could not be read", "Nothing: sockets that close while they are read. Report it if there are many."],
  program_missed: ["the kernel skipped runs of the program", "nodeAgent.method=raw_tracepoint skips none."],
  // filtered on purpose
  source_not_a_pod: ["from a process of the node, not a pod", ""],
  loopback: ["within one pod", ""],
  namespace_not_observed: ["from a namespace that is not observed", "data.observedNamespaces lists those that are."],
  namespace_blacklisted: ["from a namespace that is left out", "data.blacklistedNamespaces lists them."],
  orphaned_pod: ["from a pod without a controller", "data.enableOrphanedPod shows them."],
  batch_pod: ["from a pod of a job", "data.enableBatchResources shows them."],
  own_traffic: ["by Podsonar itself", ""],
  other_node: ["by a pod of another node on the same kernel", ""],
  scan: ["beyond the share of one pod, known in sums only", "See the pods below: a pod with so many far ends scans, or crawls."],
  // accepted and not comparable
  remote_is_a_node: ["from a node itself (probes, host programs)", ""],
  remote_outside_cluster: ["from outside the cluster", ""],
  remote_pod_not_observed: ["from pods that are not observed", "Observe their namespace to compare both ends."],
  node_without_agent: ["from nodes without an agent", "See the nodes that are not observed."],
  node_observed_in_part: ["from nodes that were observed in part", ""],
  remote_identity_conflict: ["from a pod's address, by another pod's process", "A proxy or nsenter at work in that pod's network, or a made-up cgroup name."],
  remote_holder_unknown: ["from a network in which another pod's process works", "Let the agent share the node's pid namespace (hostPID): the holder is read then."],
  remote_shared_socket: ["from a pod whose connection another pod holds, too", "Nothing: its owner is not certain."],
  remote_not_a_pod: ["from a pod's address, by a process of the node", "A program of the node works in that pod's network (nsenter)."],
  remote_source_unknown: ["from a pod's address, by a process that is not known", "See source_unknown above."],
  remote_pod_scans: ["from pods that scan", "See the pods with more flows than their share."],
  too_many_connections: ["the window has more connections than are compared", "Use shorter windows."],
  // known less well, though nothing is lost
  names_full: ["cgroups whose names found no room", "Raise node.cgroupCapacity; their flows go by address meanwhile."],
  recent_full: ["too many connections were made while the open ones were read", "Raise nodeAgent.flowCapacity; none of the open ones is recorded."],
  outcome_unmatched: ["outcomes of attempts made before the window", "Nothing: their attempts belong to the window before."],
  // open before the window, and left out or not read
  direction_unknown: ["which end of the connection it is cannot be told", "Nothing: the next handshake shows it."],
  shared_namespace: ["several pods, or the node, share the network", "Let the agent share the node's pid namespace (hostPID): the holder is read then."],
  shared_socket: ["two pods hold one socket", "Nothing: its owner is not certain."],
  too_many_sockets: ["more open sockets than are read at once", "Let the agent share the node's pid namespace (hostPID)."],
  holder_unknown: ["another pod's process works in that network", "Let the agent share the node's pid namespace (hostPID): the holder is read then."],
  pod_without_table: ["no process of the pod shows its sockets", "Usually a pod whose processes ended, or in a nested network namespace."],
  time_over: ["reading took too long", "Let the agent share the node's pid namespace (hostPID)."],
  proc_unreadable: ["/proc of the node could not be read", "Check node.procFolder and the mount of /proc."],
  process_unreadable: ["a process could not be read", "Usually it ended meanwhile; else a security module forbids it."],
  processes_hidden: ["/proc hides processes (hidepid)", "Mount the node's /proc without hidepid, or with the agent's group in gid=."],
  identity_conflict: ["the cgroup names one pod, the address was another's", "A proxy or nsenter at work in another pod's network, or a made-up cgroup name. Look at who may do that on the node."],
};

export function reasonText(reason) {
  return (REASONS[reason] || [String(reason || "unknown").replaceAll("_", " ")])[0];
}

export function whatToDo(reason) {
  return (REASONS[reason] || ["", "See docs/troubleshooting.md."])[1];
}

/* Why the collector did not list a kind whole: reason -> [in words, what to do]. */
const KIND_REASONS = {
  forbidden: ["the collector may not list it", "Grant the ClusterRole of the chart: kubectl describe clusterrole."],
  unauthorized: ["the API server refused the collector's token", "Look at the collector's service account and its token."],
  unsupported: ["the API server does not serve it", "Nothing: an older or smaller API server. Its answers stay uncertain."],
  disabled: ["left out by a setting", "data.enableBatchResources lists jobs and cron jobs."],
  namespaced: ["the collector may read some namespaces only", "Use the ClusterRole if far ends in other namespaces should have names."],
  expired: ["its list expired while it was read", "Look at the API server's load; the next window tries again."],
  "namespaces unknown": ["which namespaces are selected is not known", "Let the collector list namespaces (RBAC)."],
  "objects without an identity": ["objects without a name or UID", "Look at podsonar_collector_rejected_total; an aggregated API server may serve them."],
};

export function kindReasonText(reason) {
  return (KIND_REASONS[String(reason).split(" in ")[0]] || [String(reason || "unknown").replaceAll("_", " ")])[0];
}

export function whatToDoForKind(reason) {
  return (KIND_REASONS[String(reason).split(" in ")[0]] || ["", "Look at the collector: kubectl logs deploy/podsonar-collector."])[1];
}

export function bothEndsText(value) {
  if (value === null || value === undefined) return "far end not observable";
  return value ? "seen from both ends" : "seen by the client only";
}

export function windowText(id) {
  return id ? id.replace("T", " ").replace("Z", " UTC") : "no window yet";
}

export const KINDS = ["Service", "Workload", "External", "Node", "Unresolved"];
