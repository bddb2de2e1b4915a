/**
 * The kinds of events and their sources: the single list from which validators, the event store, the command line, the page
 * and docs/events.md derive.
 *
 * A kind that is not listed for the source that names it comes from a newer Steno. Its event is stored as `unknown` and keeps
 * the name in `raw_kind`: it is shown and counted under that name, never as another kind. Tested in kinds.test.ts.
 */

/** The observer of the event: the gateway's recorder, the kernel of a node, or the Kubernetes front end. */
export const eventSources = ['recording', 'kernel', 'kubernetes'] as const;
export type EventSource = (typeof eventSources)[number];

interface Kind {
  readonly sources: readonly EventSource[];
  /** Describes what happened, for people. */
  readonly text: string;
}

export const kinds = {
  exec: { sources: ['recording', 'kernel'], text: 'a program, command, shell or subsystem was started' },
  exit: { sources: ['recording', 'kernel'], text: 'a process, or the session, ended' },
  file: { sources: ['recording', 'kernel'], text: 'a file was opened, changed, renamed, deleted or transferred' },
  connect: { sources: ['kernel'], text: 'a connection was opened' },
  listen: { sources: ['recording', 'kernel'], text: 'a socket began to accept connections' },
  dns: { sources: ['kernel'], text: 'a name was looked up' },
  sftp: { sources: ['recording'], text: 'an SFTP operation on a file' },
  kube: { sources: ['kubernetes'], text: 'a request to a Kubernetes API' },
  forward: { sources: ['recording'], text: 'a forwarded connection opened or closed' },
  gap: { sources: eventSources, text: 'something was not captured, and why' },
  participant: { sources: ['recording'], text: 'somebody joined or left the session' },
  signal: { sources: ['recording'], text: 'a signal was sent to the program' },
  shell: { sources: ['recording'], text: 'the shell marked the start or end of a command (OSC 133)' },
  marker: { sources: ['recording'], text: 'a marker was set' },
  stream: { sources: ['recording'], text: 'the total and digest of one direction of a stream' },
  kernel: { sources: ['kernel'], text: 'recording of kernel events began or ended' },
  fork: { sources: ['kernel'], text: 'a process forked another' },
  accept: { sources: ['kernel'], text: 'a connection was accepted' },
  send: { sources: ['kernel'], text: 'a datagram was sent' },
  privilege: { sources: ['kernel'], text: 'a process changed its user, groups or capabilities' },
  system: { sources: ['kernel'], text: 'a module, program, mount, namespace or trace of the system changed' },
  escape: { sources: ['kernel'], text: 'something outside the process tree of the session was asked to run a program' },
  login: { sources: ['kernel'], text: 'somebody logged in on the node without a Steno session' },
  unknown: { sources: eventSources, text: 'a kind that a newer version of Steno sent; `raw_kind` has its name' },
} as const satisfies Readonly<Record<string, Kind>>;

export type EventKind = keyof typeof kinds;
export const eventKinds = Object.keys(kinds) as readonly EventKind[] as readonly [EventKind, ...EventKind[]];

type KindsOf<S extends EventSource> = { [K in EventKind]: S extends (typeof kinds)[K]['sources'][number] ? K : never }[EventKind];
export type KernelKind = Exclude<KindsOf<'kernel'>, 'unknown'>;

/** The kinds of a source; a store turns all others into `unknown`. */
export function kindsOf(source: EventSource): readonly EventKind[] {
  return eventKinds.filter((kind) => kind !== 'unknown' && (kinds[kind].sources as readonly EventSource[]).includes(source));
}

/** Form of all names of kinds, including those of later versions. */
export const kindPattern = /^[a-z][a-z0-9_]{0,31}$/;

const kindsBySource: Readonly<Record<EventSource, ReadonlySet<string>>> = {
  recording: new Set(kindsOf('recording')),
  kernel: new Set(kindsOf('kernel')),
  kubernetes: new Set(kindsOf('kubernetes')),
};

/** The kind under which an event named by `source` is stored. */
export function storedKind(source: EventSource, name: string): { readonly kind: EventKind; readonly raw_kind: string } {
  return kindsBySource[source].has(name) ? { kind: name as EventKind, raw_kind: '' } : { kind: 'unknown', raw_kind: name };
}
