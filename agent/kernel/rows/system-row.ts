/**
 * Rows about privileges, other processes, mounts and modules, and the machine. Tested in rows.test.ts and
 * ../probes/system.test.ts.
 */
import { families, socketName } from './net-row.js';
import { endpointsOf, pathOf, textOf } from '../records/record.js';
import type { KernelRecord } from '../records/record.js';
import { aboveOf, marksOf, noted, outcomeOf, place, reasonOf, signalNames, unconfirmed, unknownRow } from './row-facts.js';
import type { Data, Row } from './row-facts.js';
import { opNames } from '../probes/syscalls.js';

/** include/uapi/linux/capability.h, in bit order. */
const capabilityNames = [
  'chown',
  'dac_override',
  'dac_read_search',
  'fowner',
  'fsetid',
  'kill',
  'setgid',
  'setuid',
  'setpcap',
  'linux_immutable',
  'net_bind_service',
  'net_broadcast',
  'net_admin',
  'net_raw',
  'ipc_lock',
  'ipc_owner',
  'sys_module',
  'sys_rawio',
  'sys_chroot',
  'sys_ptrace',
  'sys_pacct',
  'sys_admin',
  'sys_boot',
  'sys_nice',
  'sys_resource',
  'sys_time',
  'sys_tty_config',
  'mknod',
  'lease',
  'audit_write',
  'audit_control',
  'setfcap',
  'mac_override',
  'mac_admin',
  'syslog',
  'wake_alarm',
  'block_suspend',
  'audit_read',
  'perfmon',
  'bpf',
  'checkpoint_restore',
];
const capabilitySets = ['inheritable', 'permitted', 'effective', 'bounding', 'ambient'] as const;
const ALL_CAPABILITIES = (1n << BigInt(capabilityNames.length)) - 1n;

/** `none`, `all`, or the names of the capabilities set. */
function capabilitiesOf(bits: bigint): string {
  if (bits === 0n) return 'none';
  if ((bits & ALL_CAPABILITIES) === ALL_CAPABILITIES) return 'all';
  const names = capabilityNames.filter((_, bit) => ((bits >> BigInt(bit)) & 1n) === 1n);
  const unknown = bits & ~ALL_CAPABILITIES;
  return [...names, ...(unknown === 0n ? [] : [`0x${unknown.toString(16)}`])].join(',');
}

export function privilegeRow(record: KernelRecord): Row {
  const op = opNames.get(record.op);
  if (op === undefined) return unknownRow(record);
  const data: Data = { ...noted(record), uid: record.a, euid: record.b, gid: record.c, egid: record.d };
  const texts = record.text(0);
  if (op === 'capset' && texts.length >= 8 * capabilitySets.length) {
    capabilitySets.forEach((name, i) => {
      data[name] = capabilitiesOf(texts.readBigUInt64LE(8 * i));
    });
    return {
      kind: 'privilege',
      name: op,
      ...reasonOf(`effective ${String(data['effective'])}`, ...unconfirmed(record)),
      outcome: outcomeOf(record),
      data,
    };
  }
  if (op === 'setgroups') data['groups'] = Array.from({ length: texts.length >>> 2 }, (_, i) => texts.readUInt32LE(4 * i));
  return { kind: 'privilege', name: op, ...reasonOf(...unconfirmed(record)), outcome: outcomeOf(record), data };
}

const ptraceRequests = new Map([
  [0, 'traceme'],
  [4, 'poketext'],
  [5, 'pokedata'],
  [6, 'pokeuser'],
  [13, 'setregs'],
  [16, 'attach'],
  [0x4205, 'setregset'],
  [0x4206, 'seize'],
]);
const bpfCommands = new Map([
  [0, 'map_create'],
  [2, 'map_update_elem'],
  [3, 'map_delete_elem'],
  [5, 'prog_load'],
  [6, 'obj_pin'],
  [7, 'obj_get'],
  [8, 'prog_attach'],
  [9, 'prog_detach'],
  [13, 'prog_get_fd_by_id'],
  [14, 'map_get_fd_by_id'],
  [17, 'raw_tracepoint_open'],
  [18, 'btf_load'],
  [19, 'btf_get_fd_by_id'],
  [21, 'map_lookup_and_delete_elem'],
  [24, 'map_lookup_batch'],
  [25, 'map_lookup_and_delete_batch'],
  [26, 'map_update_batch'],
  [27, 'map_delete_batch'],
  [28, 'link_create'],
  [29, 'link_update'],
  [30, 'link_get_fd_by_id'],
  [32, 'enable_stats'],
  [33, 'iter_create'],
  [34, 'link_detach'],
  [35, 'prog_bind_map'],
  [36, 'token_create'],
]);
const prctlOptions = new Map([
  [4, 'dumpable'],
  [8, 'keepcaps'],
  [22, 'seccomp'],
  [24, 'drop_bounding_capability'],
  [28, 'securebits'],
  [35, 'mm'],
  [38, 'no_new_privs'],
  [47, 'ambient_capabilities'],
  [0x59616d61, 'ptracer'],
]);
const keyCommands = new Map([
  [1, 'join_session_keyring'],
  [2, 'update'],
  [3, 'revoke'],
  [4, 'chown'],
  [5, 'setperm'],
  [7, 'clear'],
  [8, 'link'],
  [9, 'unlink'],
  [11, 'read'],
  [12, 'instantiate'],
  [15, 'set_timeout'],
  [18, 'session_to_parent'],
  [21, 'invalidate'],
]);
const limits = [
  'cpu',
  'fsize',
  'data',
  'stack',
  'core',
  'rss',
  'nproc',
  'nofile',
  'memlock',
  'as',
  'locks',
  'sigpending',
  'msgqueue',
  'nice',
  'rtprio',
  'rttime',
];

/** The process acted on: `asked` is its number as seen by the caller. */
function targetOf(record: KernelRecord, asked?: number): Data {
  const exe = pathOf(record.text(3));
  return {
    ...(asked === undefined ? {} : { target: asked }),
    ...(record.c === 0
      ? {}
      : {
          target: record.c,
          target_name: textOf(record.text(2)).text,
          target_in_session: record.d === 1,
          ...(record.holds(3) ? { target_exe: exe.text } : {}),
        }),
  };
}

const signed = (value: number): number => value | 0;
const signalOf = (number: number): string => signalNames.get(number) ?? `signal ${number}`;

export function systemRow(record: KernelRecord): Row {
  const op = opNames.get(record.op);
  if (op === undefined) return unknownRow(record);
  const base = { kind: 'system', name: op, outcome: outcomeOf(record), ...reasonOf(...unconfirmed(record)) } as const;
  const data = noted(record);
  const named = (i: 1 | 3 = 1): string => textOf(record.text(i)).text;
  const because = (...parts: readonly string[]): { readonly reason?: string } => reasonOf(...parts, ...unconfirmed(record));
  const about = (asked: number | undefined, ...parts: readonly string[]): Row => ({
    ...base,
    ...because(...parts),
    data: { ...data, ...targetOf(record, asked) },
  });
  const at = (i: 0 | 2): { readonly path: string; readonly marks: readonly string[] } => {
    const where = place(record, i);
    return { path: where.text, marks: marksOf(where) };
  };
  switch (op) {
    case 'ptrace':
      return about(record.b, ptraceRequests.get(record.a) ?? String(record.a));
    case 'process_vm_writev':
    case 'process_vm_readv':
      return about(record.a);
    case 'kill':
    case 'tkill':
      return about(signed(record.a), signalOf(record.b & 0xff));
    case 'tgkill':
      return about(signed(record.a), signalOf(record.b & 0xff));
    case 'pidfd_send_signal':
      return about(undefined, signalOf(record.b & 0xff));
    case 'prlimit':
      return about(undefined, `${limits[record.a] ?? `limit ${record.a}`} ${record.b >= 2 ** 63 ? 'unlimited' : record.b}`);
    case 'pidfd_getfd':
      return { ...about(undefined), ...(record.holds(0) ? { path: pathOf(record.text(0)).text } : {}) };
    case 'mount': {
      const { path, marks } = at(0);
      return {
        ...base,
        path,
        ...because(textOf(record.text(3)).text, ...marks),
        data: { ...data, source: textOf(record.text(2)).text, flags: record.a },
      };
    }
    case 'chroot': {
      const { path, marks } = at(0);
      // If the call succeeded, record the namespace of the new root: a root in another namespace is `/` as well.
      return { ...base, path, ...because(...marks), data: base.outcome === 'success' ? { ...data, mnt_ns: record.c } : data };
    }
    case 'umount':
    case 'swapon':
    case 'swapoff': {
      const { path, marks } = at(0);
      return { ...base, path, ...because(...marks), data };
    }
    case 'acct':
      return record.holds(1) ? { ...base, path: at(0).path, ...because(...at(0).marks), data } : { ...base, ...because('off'), data };
    case 'open_tree':
    case 'mount_setattr': {
      const { path, marks } = at(0);
      return { ...base, path, ...because(...marks), data: { ...data, flags: record.a } };
    }
    case 'fanotify_mark': {
      const { path, marks } = at(0);
      return { ...base, path, ...because(...marks), data: { ...data, flags: record.a, mask: record.b } };
    }
    case 'pivot_root': {
      // If the call succeeded, both paths begin in different folders now, so use the requested ones.
      const whole = record.holds(0);
      return {
        ...base,
        path: whole ? at(0).path : named(1),
        ...because(...(whole ? at(0).marks : ['as asked'])),
        data: { ...data, put_old: whole ? at(2).path : named(3) },
      };
    }
    case 'move_mount': {
      const to = at(2);
      const from = at(0);
      return {
        ...base,
        path: to.path,
        ...because(...to.marks, ...from.marks.map((mark) => `from ${mark}`)),
        data: { ...data, from: from.path },
      };
    }
    case 'setns':
    case 'finit_module': {
      const reached = pathOf(record.text(0));
      const more = op === 'setns' ? { mnt_ns: record.c } : {};
      return { ...base, path: reached.text, ...because(...aboveOf(reached)), data: { ...data, flags: record.b, ...more } };
    }
    case 'memfd_create':
    case 'delete_module':
    case 'module':
    case 'sethostname':
    case 'setdomainname':
    case 'fsopen':
      return { ...base, ...because(named()), data };
    case 'add_key':
    case 'request_key':
      return { ...base, ...because(`${named()} ${named(3)}`), data };
    case 'keyctl':
      return { ...base, ...because(keyCommands.get(record.a) ?? String(record.a)), data: { ...data, key: signed(record.b) } };
    case 'bpf':
      return { ...base, ...because(bpfCommands.get(record.a) ?? String(record.a)), data };
    case 'prctl':
      return { ...base, ...because(prctlOptions.get(record.a) ?? String(record.a)), data: { ...data, value: record.b } };
    case 'seccomp':
      return { ...base, ...because(record.a === 0 ? 'strict' : 'filter'), data: { ...data, flags: record.b } };
    case 'personality':
      return { ...base, ...because(`0x${record.a.toString(16)}`), data };
    case 'unshare':
      return { ...base, data: { ...data, flags: record.a } };
    case 'socket': {
      const family = families.get(record.a) ?? `family ${record.a}`;
      return {
        ...base,
        ...because(record.b === 3 && (record.a === 2 || record.a === 10) ? `raw ${family}` : family),
        data: { ...data, type: record.b, protocol: record.c },
      };
    }
    case 'descriptor_received':
    case 'descriptor_sent': {
      const ends = endpointsOf(record.text(0));
      const path = pathOf(record.text(2));
      const remote = ends === null || ends.remote === '' || ends.remotePort === 0 ? {} : { address: ends.remote, port: ends.remotePort };
      return {
        ...base,
        outcome: 'success',
        path: path.text,
        ...remote,
        ...because(
          ...(ends === null
            ? []
            : [`${socketName(ends)}${ends.remote === '' || ends.remotePort === 0 ? '' : ` ${ends.remote}:${ends.remotePort}`}`]),
          ...aboveOf(path),
        ),
        data: { ...data, descriptor: record.result, ...(ends === null ? {} : { local_address: ends.local, local_port: ends.localPort }) },
      };
    }
    default:
      return { ...base, data };
  }
}
